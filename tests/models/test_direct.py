"""The gradients from the kernels alone against those of autograd on the same model."""

import pytest
import torch

from sonho.config import ModelConfig
from sonho.models.direct import DirectGradients
from sonho.models.language_model import LanguageModel, detach, flatten
from sonho.native import library

pytestmark = pytest.mark.skipif(not library.available(), reason="the kernels were not built")

V = 13
SHAPES = {
    "one-hot": {},
    "two layers": {"num_layers": 2},
    "three layers, dropout": {"num_layers": 3, "dropout": 0.4},
    "dropout": {"dropout": 0.3},
    "embedding": {"embedding_dim": 5},
    "embedding, two layers, dropout": {"embedding_dim": 7, "num_layers": 2, "dropout": 0.2},
    "tied": {"embedding_dim": 9, "tied": True},
    "dropout at every position": {"dropout": 0.3, "dropout_kind": "standard", "num_layers": 2},
    "layer norm, two layers": {"layer_norm": True, "num_layers": 2},
    "layer norm, dropout, weight drop": {"layer_norm": True, "dropout": 0.2, "weight_drop": 0.3, "num_layers": 2},
    "tied, two layers": {"embedding_dim": 9, "tied": True, "num_layers": 2},
}
CELLS = {"lstm": {}, "gru": {}, "rnn": {}, "rnn, relu": {"nonlinearity": "relu"}}


def make(cell="lstm", **settings):
    torch.manual_seed(0)
    config = ModelConfig(cell=cell.partition(",")[0], hidden_size=9, **CELLS.get(cell, {}), **settings)
    return LanguageModel(config, V, masked_ids=(0, 3))


def batches(count=3, shape=(4, 6)):
    torch.manual_seed(1)
    allowed = torch.tensor([id for id in range(V) if id not in (0, 3)])
    for _ in range(count):
        tokens, targets = torch.randint(0, V, shape), allowed[torch.randint(0, len(allowed), shape)]
        targets[1, 2] = -100
        yield tokens, targets


def by_autograd(model, tokens, targets, state):
    model.zero_grad()
    loss, state = model.loss(tokens, targets, state)
    loss.backward()
    return loss.item(), detach(state)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("shape", SHAPES)
def test_loss_state_and_every_gradient_are_those_of_autograd(cell, shape):
    model, twin = make(cell, **SHAPES[shape]), make(cell, **SHAPES[shape])
    direct = DirectGradients(model)
    state, expected = model.initial_state(4), twin.initial_state(4)
    for number, (tokens, targets) in enumerate(batches()):
        assert direct.suit(tokens)
        torch.manual_seed(10 + number)  # the masks of dropout are drawn alike
        loss, state = direct(tokens, targets, state)
        torch.manual_seed(10 + number)
        true, expected = by_autograd(twin, tokens, targets, expected)
        assert loss == pytest.approx(true, rel=1e-6)
        torch.testing.assert_close(flatten(state), flatten(expected))
        for (name, one), other in zip(model.named_parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, msg=lambda text, name=name: f"{name}: {text}")
        assert not any(tensor.requires_grad for tensor in flatten(state))


def test_windows_of_other_shapes_may_follow():
    model, twin = make(num_layers=2, dropout=0.2), make(num_layers=2, dropout=0.2)
    direct = DirectGradients(model)
    for shape in [(4, 6), (2, 9), (4, 6)]:
        [(tokens, targets)] = batches(1, shape)
        torch.manual_seed(3)
        loss, _ = direct(tokens, targets, model.initial_state(shape[0]))
        torch.manual_seed(3)
        assert loss == pytest.approx(by_autograd(twin, tokens, targets, twin.initial_state(shape[0]))[0], rel=1e-6)
        torch.testing.assert_close(model.layers[0].weight_hh.grad, twin.layers[0].weight_hh.grad)


def test_nothing_is_dropped_from_a_model_that_is_not_training():
    model, twin = make(dropout=0.5).eval(), make()
    [(tokens, targets)] = batches(1)
    loss, _ = DirectGradients(model)(tokens, targets, model.initial_state(4))
    assert loss == pytest.approx(by_autograd(twin, tokens, targets, twin.initial_state(4))[0], rel=1e-6)
    torch.testing.assert_close(model.output.weight.grad, twin.output.weight.grad)


def test_a_returned_state_stays_as_it_was():
    model = make("gru")
    direct = DirectGradients(model)
    (first, targets), (second, _) = batches(2)
    _, state = direct(first, targets, model.initial_state(4))
    before = [tensor.clone() for tensor in flatten(state)]
    direct(second, targets, state)
    assert all(map(torch.equal, flatten(state), before))


@pytest.mark.parametrize("settings", [{"cell": "conv"}, {"dropout_input": 0.2}], ids=str)
def test_what_is_not_possible_here_does_not_suit(settings):
    assert not DirectGradients(make(**settings)).suit(torch.zeros(4, 6, dtype=torch.int64))


@pytest.mark.parametrize("settings", [{}, {"embedding_dim": 5}, {"embedding_dim": 9, "tied": True}], ids=str)
def test_there_may_be_more_symbols_than_positions(settings):
    model, twin = make(**settings), make(**settings)
    [(tokens, targets)] = batches(1, (2, 4))
    loss, _ = DirectGradients(model)(tokens, targets, model.initial_state(2))
    assert loss == pytest.approx(by_autograd(twin, tokens, targets, twin.initial_state(2))[0], rel=1e-6)
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_another_engine_or_precision_does_not_suit(monkeypatch):
    tokens = torch.zeros(4, 6, dtype=torch.int64)
    assert not DirectGradients(make().double()).suit(tokens)
    monkeypatch.setenv("SONHO_ENGINE", "library")
    assert not DirectGradients(make()).suit(tokens)
