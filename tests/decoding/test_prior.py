"""The n-gram prior beside a network: libsonho against its twin, and what mixing means."""

import numpy as np
import pytest

from sonho.decoding import Model, build_stepper, stack_rows, take_rows
from sonho.decoding.prior import Prior, native_prior
from sonho.errors import ModelFileError, UsageError
from sonho.evaluation.prior_counts import count_prior
from sonho.native import library
from sonho.storage.model_file import load_model_file, save_model_file
from sonho.storage.prior import unpack_prior
from sonho.text import masked_ids

needs_native = pytest.mark.skipif(not library.available(), reason="the kernels were not built")
TEXT = "a bad cab had a bad bag; a fab dad had a cab. " * 30


@pytest.fixture
def counted(make_file):
    """A random network with counts of a text and a gate in which every number matters."""

    def make(**config):
        file = make_file(**config)
        ids = file.tokenizer.encode(TEXT, "skip")
        masked = list(masked_ids(file.tokenizer, file.data_kind))
        file.prior = count_prior(ids, 5, file.tokenizer.vocab_size, most_bytes=1e9, masked=masked)
        rng = np.random.default_rng(4)
        file.prior["gate"] = rng.uniform(0.3, 0.9, file.prior["gate"].shape).astype(np.float32)
        file.prior["gate"][:, -2:] *= 0.1
        return file

    return make


@pytest.fixture
def priors(counted):
    """(native, twin, vocabulary size) of one model's counts."""
    file = counted()
    trie = unpack_prior(file.prior, file.tokenizer.vocab_size)
    masked = masked_ids(file.tokenizer, file.data_kind)
    return native_prior(trie, masked), Prior(trie, masked), trie.vocab_size


@needs_native
def test_the_twins_follow_and_mix_alike(isa, priors):
    native, twin, vocab_size = priors
    rng = np.random.default_rng(5)
    tokens = rng.integers(0, vocab_size, (3, 200))
    tokens[0] = np.resize(tokens[0, :7], 200)  # contexts come back
    nodes = twin.advance(tokens, np.zeros(3, np.int64))
    np.testing.assert_array_equal(native.advance(tokens, np.zeros(3, np.int64)), nodes)
    assert len(np.unique(nodes)) > 20
    logits = rng.standard_normal((600, vocab_size)).astype(np.float32)
    expected = logits.copy()
    twin.mix(expected, nodes.ravel())
    native.mix(logits, nodes.ravel())
    np.testing.assert_allclose(logits, expected, atol=1e-5)


@needs_native
def test_nodes_and_ids_that_are_none_are_refused(priors):
    native, _, vocab_size = priors
    with pytest.raises(UsageError):
        native.advance(np.array([[vocab_size]]), np.zeros(1, np.int64))
    for node in (-1, 10**9):
        with pytest.raises(UsageError):
            native.advance(np.array([[1]]), np.array([node]))
        with pytest.raises(UsageError):
            native.mix(np.zeros((1, vocab_size), np.float32), np.array([node]))


@needs_native
def test_a_state_with_a_node_that_is_none_is_refused(counted):
    stepper = build_stepper(counted())
    *states, nodes = stepper.initial_state(2)
    with pytest.raises(UsageError):
        stepper.step(np.array([1, 2]), (*states, nodes + 10**9))


@pytest.mark.parametrize(
    "config",
    [
        {"cell": "lstm", "hidden_size": 20},
        {"cell": "gru", "hidden_size": 9, "num_layers": 2, "embedding_dim": 5},
        {"cell": "rnn", "hidden_size": 8},
        {"cell": "conv", "hidden_size": 11, "num_layers": 3},
    ],
    ids=str,
)
@needs_native
def test_logits_and_states_are_those_of_the_twin(isa, counted, monkeypatch, config):
    file = counted(scale=0.2, **config)
    native = build_stepper(file)
    monkeypatch.setenv("SONHO_ENGINE", "library")
    twin = build_stepper(file)
    tokens = np.random.default_rng(0).integers(0, native.vocab_size, (14, 75))  # longer than one piece of a run
    logits, state = native.forward(tokens, native.initial_state(14))
    expected, after = twin.forward(tokens, twin.initial_state(14))
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    for array, other in zip(state, after, strict=True):
        np.testing.assert_allclose(array, other, atol=3e-5)
        assert array.dtype == other.dtype


@needs_native
@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_pieces_steps_rows_and_threads_give_the_same_bits(isa, counted, monkeypatch, weights):
    stepper = build_stepper(counted(hidden_size=33), weights=weights)
    tokens = np.random.default_rng(0).integers(0, stepper.vocab_size, (5, 30))
    monkeypatch.setenv("SONHO_THREADS", "1")
    whole, after = stepper.forward(tokens, stepper.initial_state(5))
    monkeypatch.setenv("SONHO_THREADS", "3")
    states = [take_rows(stepper.initial_state(5), [row]) for row in range(5)]
    for row, state in enumerate(states):
        for t in range(30):
            logits, state = stepper.step(tokens[row : row + 1, t], state)
            np.testing.assert_array_equal(logits[0], whole[row, t])
        states[row] = state
    for array, other in zip(stack_rows(states), after, strict=True):
        np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("data_kind", ["stream", "records"])
def test_texts_are_those_of_the_twin_and_of_rows_alone(counted, monkeypatch, data_kind):
    file = counted(data_kind=data_kind, hidden_size=24, scale=0.3)
    options = {"max_tokens": 150, "seed": 3, "temperature": 0.9}
    texts = Model(file).generate("ab", n=5, **options)
    assert str(Model(file).generate("ab", **options)) == str(texts[0])
    monkeypatch.setenv("SONHO_ENGINE", "library")
    assert list(map(str, Model(file).generate("ab", n=5, **options))) == list(map(str, texts))


def test_a_gate_that_leaves_the_network_alone_gives_its_logits(each_engine, counted):
    file = counted()
    file.prior["gate"][:] = 0
    file.prior["gate"][0, :-2] = 1
    tokens = np.random.default_rng(0).integers(1, 9, (2, 12))
    both, alone = build_stepper(file), build_stepper(file, prior=False)
    expected, _ = alone.forward(tokens, alone.initial_state(2))
    np.testing.assert_allclose(both.forward(tokens, both.initial_state(2))[0], expected, atol=1e-6)


def test_the_mixture_is_one_of_logarithms_and_what_is_barred_stays_barred(each_engine, counted):
    file = counted()
    file.prior["gate"][:, :-2], file.prior["gate"][:, -2:] = [[0.25], [0.75]], 0
    masked = list(masked_ids(file.tokenizer, file.data_kind))
    trie = unpack_prior(file.prior, file.tokenizer.vocab_size)
    both, alone, prior = build_stepper(file), build_stepper(file, prior=False), Prior(trie, masked)
    tokens = file.tokenizer.encode("a bad")[None].astype(np.int64)
    logits, state = both.forward(tokens, both.initial_state(1))
    expected, _ = alone.forward(tokens, alone.initial_state(1))
    for t in range(tokens.shape[1]):
        node = int(prior.advance(tokens[:, : t + 1], np.zeros(1, np.int64))[0, -1])
        log_probs = prior.features(node)[3]
        open_ids = np.isfinite(expected[0, t])
        wanted = 0.25 * expected[0, t] + 0.75 * log_probs
        np.testing.assert_allclose(logits[0, t][open_ids], wanted[open_ids], atol=1e-5)
        assert np.isneginf(logits[0, t][masked]).all()
    assert state[-1].tolist() == [node]


def test_weights_stay_within_their_bounds_whatever_the_gate_says(each_engine, counted):
    file = counted()
    tokens = file.tokenizer.encode("a bad cab")[None].astype(np.int64)
    for value in (-900.0, 900.0):
        file.prior["gate"][:] = value
        stepper = build_stepper(file)
        logits = stepper.forward(tokens, stepper.initial_state(1))[0]
        assert np.isfinite(logits[..., 1:5]).all()


def test_a_state_is_a_value(each_engine, counted):
    stepper = build_stepper(counted())
    state = stepper.advance(np.array([[1, 2, 3]]), stepper.initial_state(1))
    kept = [array.copy() for array in state]
    first, _ = stepper.step(np.array([4]), state)
    stepper.advance(np.array([[5, 6]]), state)
    for array, copy in zip(state, kept, strict=True):
        np.testing.assert_array_equal(array, copy)
    np.testing.assert_array_equal(stepper.step(np.array([4]), state)[0], first)


def test_a_model_file_keeps_its_prior_and_refuses_a_damaged_one(counted, tmp_path):
    file = counted()
    save_model_file(tmp_path / "m.safetensors", file)
    loaded = load_model_file(tmp_path / "m.safetensors")
    assert loaded.prior.keys() == file.prior.keys()
    assert Model(loaded).generate("a", seed=1).text == Model(file).generate("a", seed=1).text
    file.prior["tokens"][3] = 250
    save_model_file(tmp_path / "m.safetensors", file)
    with pytest.raises(ModelFileError, match="n-gram prior is not well formed"):
        Model(load_model_file(tmp_path / "m.safetensors"))


def test_a_prior_beside_an_ngram_or_windows_does_not_fit(counted, tmp_path):
    file = counted()
    file.window = 5
    save_model_file(tmp_path / "m.safetensors", file)
    with pytest.raises(ModelFileError, match="prior stands beside"):
        load_model_file(tmp_path / "m.safetensors")
