"""The decoder that attends: what its gradients reach, what padding cannot change, and its twin without torch."""

from itertools import product

import numpy as np
import pytest
import torch

from sonho.config import ModelConfig
from sonho.decoding.attentive import AttentiveDecoder as Twin
from sonho.decoding.state import take_rows
from sonho.errors import UsageError
from sonho.models.attentive_decoder import AttentiveDecoder
from sonho.models.encoder_decoder import EncoderDecoder
from sonho.models.language_model import to_arrays
from sonho.storage.shapes import expected_shapes

N, S, T, D, V = 3, 5, 4, 6, 11
LENGTHS = torch.tensor([5, 1, 3])


def config(**settings):
    return ModelConfig(task="translate", **{"cell": "gru", "hidden_size": 7, "embedding_dim": 8, **settings})


def made(**settings):
    torch.manual_seed(1)
    decoder = AttentiveDecoder(config(**settings), V, D).eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return decoder


def given():
    torch.manual_seed(2)
    return torch.randint(1, V, (N, T)), torch.randn(N, S, D)


ALL = [
    {"cell": cell, "attention": attention, "input_feeding": feeding, "num_layers": layers}
    for (cell, layers), attention, feeding in product(
        [("lstm", 1), ("gru", 2), ("rnn", 1)], ["multiplicative", "additive"], [False, True]
    )
]


@pytest.mark.parametrize("settings", [*ALL, {"tied": True}, {"embedding_dim": 0, "input_feeding": True}])
def test_the_twin_without_torch_gives_the_same_logits_and_attention(settings):
    decoder = made(**settings)
    tokens, values = given()
    with torch.no_grad():
        logits, weights = decoder(tokens, values, LENGTHS)
    arrays = {f"decoder.{name}": array for name, array in to_arrays(decoder).items()}
    attended = Twin(decoder.config, arrays).attend(values.numpy(), LENGTHS.numpy())
    state = take_rows(attended.initial_state(), [0, 0, 1, 1, 2, 2])  # two rows an item, as in a beam
    for t in range(T):
        found, state, looked = attended.step(np.repeat(tokens[:, t].numpy(), 2), state)
        for row in range(2):
            np.testing.assert_allclose(found[row::2], logits[:, t].numpy(), rtol=2e-5, atol=2e-5)
            np.testing.assert_allclose(looked[row::2], weights[:, t].numpy(), atol=1e-6)
    assert np.isneginf(found[:, 0]).all()  # <pad>


@pytest.mark.parametrize("settings", ALL[:4])
def test_what_stands_behind_a_memorys_length_changes_nothing(settings):
    decoder = made(**settings)
    tokens, values = given()
    other = values.clone()
    for row, length in enumerate(LENGTHS):
        other[row, length:] = 100.0
    with torch.no_grad():
        (logits, weights), (again, _) = decoder(tokens, values, LENGTHS), decoder(tokens, other, LENGTHS)
    torch.testing.assert_close(logits, again)
    assert (weights[1, :, 0] == 1).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(N, T))


@pytest.mark.parametrize("settings", ALL[4:8])
def test_a_token_is_predicted_from_those_before_it_alone(settings):
    decoder = made(**settings)
    tokens, values = given()
    other = tokens.clone()
    other[:, 2:] = 1
    with torch.no_grad():
        logits, again = decoder(tokens, values, LENGTHS)[0], decoder(other, values, LENGTHS)[0]
    torch.testing.assert_close(logits[:, :2], again[:, :2])
    assert not torch.allclose(logits[:, 2:], again[:, 2:])


@pytest.mark.parametrize("settings", [{}, {"attention": "additive", "input_feeding": True, "tied": True}])
def test_every_weight_gets_a_gradient_and_smoothing_is_that_of_torch(settings):
    decoder = made(**settings)
    tokens, values = given()
    targets = torch.randint(1, V, (N, T))
    targets[1, 2:] = -100
    loss = decoder.loss(tokens, targets, values, LENGTHS, label_smoothing=0.1)
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in decoder.parameters())
    with torch.no_grad():
        logits = decoder(tokens, values, LENGTHS)[0][:, :, 1:]  # <pad> is no target, and gets no share
    wanted = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.where(targets < 0, targets, targets - 1).flatten(), label_smoothing=0.1
    )
    torch.testing.assert_close(loss, wanted)


@pytest.mark.parametrize(
    ("settings", "source_size"),
    [({}, 9), ({"bidirectional": True, "tied": True, "cell": "lstm"}, 9), ({"bidirectional": True}, 0),
     ({"attention": "additive", "input_feeding": True, "num_layers": 2, "embedding_dim": 0}, 9)],
)  # fmt: skip
def test_the_shapes_are_those_that_a_model_file_must_have(settings, source_size):
    model = EncoderDecoder(config(**settings), source_size or V, V, shared=not source_size)
    shapes = {name: array.shape for name, array in to_arrays(model).items()}
    assert shapes == expected_shapes(config(**settings), V, source_size=source_size)


def test_scheduled_sampling_reads_what_the_model_would_write():
    torch.manual_seed(0)
    model = EncoderDecoder(config(), V, V).eval()
    sources, tokens, targets = (torch.randint(1, V, (N, T)) for _ in range(3))
    lengths = torch.tensor([4, 2, 3])
    with torch.no_grad():
        written = model(sources, lengths, tokens)[0].argmax(-1)
        fed = torch.cat([tokens[:, :1], written[:, :-1]], dim=1)
        wanted = model.loss(sources, lengths, fed, targets)
        found = model.loss(sources, lengths, tokens, targets, scheduled_sampling=0.999999)
        assert found != model.loss(sources, lengths, tokens, targets)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cell": "conv"}, "needs a recurrent cell, lstm, gru or rnn, not conv"),
        ({"layer_norm": True}, "model.layer_norm is of language models"),
        ({"tied": True, "embedding_dim": 0}, "give model.embedding_dim"),
    ],
)
def test_what_cannot_be_built_is_told_in_one_line(settings, message):
    with pytest.raises(UsageError, match=message):
        AttentiveDecoder(config(**settings), V, D)
