"""The softmax over a part of the vocabulary: what is in it, and that it estimates the whole one."""

import pytest
import torch

from sonho.config import ModelConfig
from sonho.models.direct import DirectGradients
from sonho.models.language_model import LanguageModel
from sonho.models.sampled_softmax import draw_words
from sonho.native import library

V = 200
MASKED = (0, 3)


def mask():
    mask = torch.zeros(V)
    mask[list(MASKED)] = -torch.inf
    return mask


def make(**settings):
    torch.manual_seed(0)
    return LanguageModel(ModelConfig(cell="gru", hidden_size=8, **settings), V, masked_ids=MASKED)


def batch(shape=(4, 6)):
    torch.manual_seed(1)
    tokens, targets = torch.randint(4, V, shape), torch.randint(4, 20, shape)
    targets[1, 2] = -100
    return tokens, targets


def test_the_part_has_the_words_of_the_targets_and_some_others_once():
    targets = torch.tensor([5, 9, -100, 5])
    words = draw_words(targets, mask(), 10)
    assert len(words.ids) == len(set(words.ids.tolist())) == 12
    assert words.ids[:2].tolist() == [5, 9]
    assert not set(words.ids.tolist()) & set(MASKED)
    assert words.targets.tolist() == [0, 1, -100, 0]
    # Each of the 10 stands for its share of the 196 others.
    torch.testing.assert_close(words.bias.exp(), torch.tensor([1.0] * 2 + [19.6] * 10))


def test_no_more_are_drawn_than_there_are():
    words = draw_words(torch.tensor([5]), mask(), 1000)
    assert len(words.ids) == V - len(MASKED)
    assert (words.bias == 0).all()


def test_with_all_words_it_is_the_whole_loss():
    model, (tokens, targets) = make(), batch()
    whole, _ = model.loss(tokens, targets, model.initial_state(4))
    part, _ = model.loss(tokens, targets, model.initial_state(4), softmax_samples=V)
    torch.testing.assert_close(part, whole)


def test_on_average_it_is_nearly_the_whole_loss():
    model, (tokens, targets) = make(), batch()
    whole = model.loss(tokens, targets, model.initial_state(4))[0].item()
    drawn = [model.loss(tokens, targets, model.initial_state(4), softmax_samples=40)[0].item() for _ in range(100)]
    assert sum(drawn) / len(drawn) == pytest.approx(whole, abs=0.02)


@pytest.mark.skipif(not library.available(), reason="the kernels were not built")
@pytest.mark.parametrize("settings", [{}, {"embedding_dim": 8, "tied": True}, {"embedding_dim": 5}], ids=str)
def test_direct_gradients_are_those_of_autograd(settings):
    model, twin, (tokens, targets) = make(**settings), make(**settings), batch()
    torch.manual_seed(2)
    loss, _ = DirectGradients(model, 30)(tokens, targets, model.initial_state(4))
    torch.manual_seed(2)
    true, _ = twin.loss(tokens, targets, twin.initial_state(4), softmax_samples=30)
    true.backward()
    assert loss == pytest.approx(true.item(), rel=1e-6)
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
