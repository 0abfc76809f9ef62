"""The networks, native and in NumPy, against PyTorch's layers, against themselves, and against trouble."""

import warnings

import numpy as np
import pytest

from sonho.decoding import build_stepper, feed, network, stack_rows, take_rows
from sonho.errors import ModelFileError

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.usefixtures("each_engine")

NETWORKS = [
    {"cell": "lstm"},
    {"cell": "lstm", "num_layers": 3, "hidden_size": 130},
    {"cell": "gru", "num_layers": 2, "embedding_dim": 5},
    {"cell": "gru", "num_layers": 2, "layer_norm": True},
    {"cell": "rnn", "embedding_dim": 7, "tied": True},
    {"cell": "rnn", "num_layers": 2, "nonlinearity": "relu"},
    {"cell": "conv", "num_layers": 3, "kernel_size": 2},
    {"cell": "conv", "num_layers": 2, "embedding_dim": 7, "layer_norm": True},
    {"cell": "conv", "num_layers": 2, "embedding_dim": 4, "kernel_size": 1},
    {
        "cell": "conv",
        "num_layers": 6,
        "hidden_size": 14,
    },  # one-hot input of 14 = hidden: residual from the start
]


def tokens_of(model_file, *shape):
    return np.random.default_rng(5).integers(1, model_file.tokenizer.vocab_size - 1, shape)


@pytest.mark.parametrize("config", NETWORKS, ids=str)
def test_forward_gives_the_logits_of_the_training_network(make_file, config):
    from sonho.models.language_model import LanguageModel, load_arrays
    from sonho.text import masked_ids

    file = make_file(scale=0.3, **config)
    twin = LanguageModel(file.model, file.tokenizer.vocab_size, masked_ids(file.tokenizer, file.data_kind)).eval()
    load_arrays(twin, file.arrays)
    tokens = tokens_of(file, 2, 11)
    stepper = build_stepper(file)
    logits, _ = stepper.forward(tokens, stepper.initial_state(2))
    with torch.no_grad():
        expected, _ = twin(torch.from_numpy(tokens), twin.initial_state(2))
    np.testing.assert_allclose(logits, expected.numpy(), atol=2e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_hidden_outputs_are_those_of_the_library_layer(make_file, cell, monkeypatch):
    monkeypatch.setenv("SONHO_ENGINE", "library")
    file = make_file(cell=cell, num_layers=2, embedding_dim=5)
    layer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[cell](5, 7, 2, batch_first=True)
    for index in range(2):
        for name in ("weight_ih", "weight_hh"):
            getattr(layer, f"{name}_l{index}").data = torch.from_numpy(file.arrays[f"layers.{index}.{name}"])
        getattr(layer, f"bias_ih_l{index}").data = torch.from_numpy(file.arrays[f"layers.{index}.bias"])
        getattr(layer, f"bias_hh_l{index}").data.zero_()
    tokens = tokens_of(file, 2, 9)
    stepper = build_stepper(file)
    hidden, _ = stepper.hidden(tokens, stepper.initial_state(2))
    expected = layer(torch.from_numpy(file.arrays["embedding.weight"][tokens]))[0].detach().numpy()
    np.testing.assert_allclose(hidden, expected, atol=1e-5)


@pytest.mark.parametrize("config", NETWORKS, ids=str)
def test_steps_give_the_logits_of_one_forward(make_file, config):
    file = make_file(scale=0.3, **config)
    stepper, tokens = build_stepper(file), tokens_of(file, 3, 11)
    whole, end = stepper.forward(tokens, stepper.initial_state(3))
    state = stepper.initial_state(3)
    for t in range(11):
        logits, state = stepper.step(tokens[:, t], state)
        np.testing.assert_allclose(logits, whole[:, t], atol=2e-5)
    for stepped, forwarded in zip(state, end, strict=True):
        np.testing.assert_allclose(stepped, forwarded, atol=2e-5)


@pytest.mark.parametrize("config", NETWORKS, ids=str)
def test_a_carried_state_equals_the_whole(make_file, config):
    file = make_file(scale=0.3, **config)
    stepper, tokens = build_stepper(file), tokens_of(file, 2, 13)
    whole, _ = stepper.forward(tokens, stepper.initial_state(2))
    first, state = stepper.forward(tokens[:, :4], stepper.initial_state(2))
    second, _ = stepper.forward(tokens[:, 4:], state)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, atol=2e-5)


@pytest.mark.parametrize("config", NETWORKS, ids=str)
def test_a_row_has_the_same_bits_alone_and_among_others(make_file, config):
    file = make_file(**config)
    stepper, tokens = build_stepper(file), tokens_of(file, 5, 8)
    state = stepper.advance(tokens[:, :-1], stepper.initial_state(5))
    together, after = stepper.step(tokens[:, -1], state)
    for row in range(5):
        alone, alone_after = feed(stepper, tokens[row], stepper.initial_state(1))
        np.testing.assert_array_equal(alone[0], together[row])
        for array, other in zip(alone_after, take_rows(after, [row]), strict=True):
            np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("config", NETWORKS, ids=str)
def test_a_step_leaves_the_old_state_as_it_was(make_file, config):
    file = make_file(**config)
    stepper, tokens = build_stepper(file), tokens_of(file, 2, 6)
    state = stepper.advance(tokens[:, :3], stepper.initial_state(2))
    before = [array.copy() for array in state]
    stepper.step(tokens[:, 3], state)
    stepper.forward(tokens[:, 3:], state)
    for array, copy in zip(state, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_states_can_be_stacked_and_taken_apart(make_file):
    file = make_file(num_layers=2)
    stepper, tokens = build_stepper(file), tokens_of(file, 3, 4)
    states = [feed(stepper, row, stepper.initial_state(1))[1] for row in tokens]
    for array, expected in zip(take_rows(stack_rows(states), [2, 0]), stack_rows([states[2], states[0]]), strict=True):
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("cell", ["lstm", "conv"])
def test_a_vocabulary_too_large_for_a_table_gives_the_same_logits(make_file, monkeypatch, cell):
    file = make_file(cell=cell, num_layers=2, embedding_dim=5)
    with_table, tokens = build_stepper(file), tokens_of(file, 2, 6)
    monkeypatch.setattr(network, "MAX_TABLE_SIZE", 10)
    without = build_stepper(file)
    expected, _ = with_table.forward(tokens, with_table.initial_state(2))
    logits, _ = without.forward(tokens, without.initial_state(2))
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    stepped, _ = without.step(tokens[:, 0], without.initial_state(2))
    np.testing.assert_allclose(stepped, expected[:, 0], atol=1e-5)


@pytest.mark.parametrize(("data_kind", "masked"), [("stream", [0, 13]), ("windows", [0, 13]), ("records", [0])])
def test_ids_that_can_never_be_drawn_have_no_logit(make_file, data_kind, masked):
    stepper = build_stepper(make_file(data_kind=data_kind))
    logits, _ = stepper.step(np.array([1]), stepper.initial_state(1))
    assert np.flatnonzero(np.isneginf(logits[0])).tolist() == masked


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "conv"])
def test_weights_of_thousands_neither_warn_nor_break(make_file, cell):
    file = make_file(cell=cell, scale=3000.0)
    stepper = build_stepper(file)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        logits, state = stepper.step(np.array([1, 2]), stepper.initial_state(2))
        logits, _ = stepper.step(np.array([3, 4]), state)
    assert not np.isnan(logits).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_no_number_is_refused_by_name(make_file, value):
    file = make_file()
    file.arrays["layers.0.weight_hh"][2, 3] = value
    with pytest.raises(ModelFileError, match=r"array layers\.0\.weight_hh holds NaN or infinity"):
        build_stepper(file)
