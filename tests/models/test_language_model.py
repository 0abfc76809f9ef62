import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sonho.config import ModelConfig
from sonho.errors import UsageError
from sonho.models.language_model import LanguageModel, detach, flatten, load_arrays, to_arrays, unflatten
from sonho.storage.shapes import expected_shapes

N, T, V = 2, 5, 9
CONFIGS = [
    ModelConfig(cell="lstm", hidden_size=7),
    ModelConfig(cell="lstm", hidden_size=6, num_layers=2, embedding_dim=6, tied=True, layer_norm=True),
    ModelConfig(cell="gru", hidden_size=7, num_layers=2, embedding_dim=4),
    ModelConfig(cell="rnn", hidden_size=7, nonlinearity="relu"),
    ModelConfig(cell="conv", hidden_size=7, num_layers=3, kernel_size=2, layer_norm=True),
]


def make(config, masked=(0,)):
    torch.manual_seed(3)
    return LanguageModel(config, V, masked).eval()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.cell}{c.num_layers}")
def test_parameters_have_the_names_and_shapes_of_the_model_file(config):
    model = make(config)
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert shapes == expected_shapes(config, V)


def test_the_notebook_network_has_119892_parameters():
    model = LanguageModel(ModelConfig(cell="lstm", hidden_size=128), 84)
    recurrent = sum(p.numel() for p in model.layers.parameters())
    assert (recurrent, sum(p.numel() for p in model.parameters())) == (109_056, 119_892)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.cell}{c.num_layers}")
def test_stepping_equals_the_whole_window(config):
    model = make(config)
    tokens = torch.randint(1, V, (N, T))
    whole, _ = model(tokens, model.initial_state(N))
    state = model.initial_state(N)
    for t in range(T):
        logits, state = model.step(tokens[:, t], state)
        torch.testing.assert_close(logits, whole[:, t], atol=1e-5, rtol=1e-4)


def test_masked_symbols_have_no_probability_and_no_gradient():
    model = make(CONFIGS[0], masked=(0, 8))
    logits, _ = model(torch.randint(1, 8, (N, T)), model.initial_state(N))
    assert torch.isinf(logits[..., [0, 8]]).all()
    F.cross_entropy(logits.flatten(0, 1), torch.randint(1, 8, (N * T,))).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    assert model.output.bias.grad[[0, 8]].tolist() == [0, 0]


def test_last_only_gives_the_last_position_of_the_whole():
    model = make(CONFIGS[0])
    tokens = torch.randint(1, V, (N, T))
    whole, _ = model(tokens, model.initial_state(N))
    last, _ = model(tokens, model.initial_state(N), last_only=True)
    torch.testing.assert_close(last, whole[:, -1:])


@pytest.mark.parametrize("kind", ["standard", "locked"])
def test_dropout_acts_only_while_training(kind):
    model = make(ModelConfig(hidden_size=7, dropout=0.5, dropout_input=0.5, dropout_kind=kind))
    tokens = torch.randint(1, V, (N, T))
    calm = model(tokens, model.initial_state(N))[0]
    assert torch.equal(calm, model(tokens, model.initial_state(N))[0])
    model.train()
    assert not torch.equal(calm, model(tokens, model.initial_state(N))[0])


def test_gradients_stop_at_a_detached_state():
    model = make(CONFIGS[1])
    _, state = model(torch.randint(1, V, (N, T)), model.initial_state(N))
    assert all(not tensor.requires_grad for tensor in flatten(detach(state)))


def test_a_state_survives_flattening():
    model = make(CONFIGS[1])
    _, state = model(torch.randint(1, V, (N, T)), model.initial_state(N))
    again = unflatten(flatten(state), model.initial_state(N))
    assert [type(layer) for layer in again] == [type(layer) for layer in state]
    assert all(torch.equal(a, b) for a, b in zip(flatten(again), flatten(state), strict=True))


def test_arrays_make_the_round_trip():
    one, two = make(CONFIGS[2]), LanguageModel(CONFIGS[2], V)
    load_arrays(two, to_arrays(one))
    for name, array in to_arrays(two).items():
        np.testing.assert_array_equal(array, to_arrays(one)[name])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ModelConfig(tied=True, embedding_dim=3, hidden_size=4), "got 3 and 4"),
        (ModelConfig(cell="ngram"), "counts instead of training"),
        (ModelConfig(cell="conv", weight_drop=0.1), "a conv layer has none"),
    ],
)
def test_impossible_combinations_are_refused(config, message):
    with pytest.raises(UsageError, match=message):
        LanguageModel(config, V)
