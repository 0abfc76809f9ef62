"""Networks, samplers and the drawing loop of libsonho against their twins in NumPy."""

import numpy as np
import pytest

from sonho.decoding import Model, build_stepper, feed
from sonho.decoding.native_stepper import make_samplers
from sonho.decoding.rounding import round_weights
from sonho.decoding.sampler import Sampler, Source
from sonho.decoding.settings import Settings
from sonho.decoding.state import take_rows
from sonho.errors import ModelFileError, UsageError
from sonho.native import library
from sonho.native.network import LayerSpec, Logits, Network

pytestmark = pytest.mark.skipif(not library.available(), reason="the kernels were not built")

# Sizes around the tiles of every instruction set.
NETWORKS = [
    {"cell": "lstm", "hidden_size": 1},
    {"cell": "lstm", "hidden_size": 16, "num_layers": 2, "layer_norm": True},
    {"cell": "lstm", "hidden_size": 130, "num_layers": 3, "embedding_dim": 5},
    {"cell": "gru", "hidden_size": 33, "num_layers": 2},
    {"cell": "gru", "hidden_size": 65, "embedding_dim": 65, "tied": True},
    {"cell": "rnn", "hidden_size": 31, "num_layers": 2},
    {"cell": "rnn", "hidden_size": 9, "num_layers": 2, "nonlinearity": "relu"},
    {"cell": "conv", "hidden_size": 17, "num_layers": 6},
    {"cell": "conv", "hidden_size": 14, "num_layers": 2, "kernel_size": 1},
    {"cell": "conv", "hidden_size": 40, "num_layers": 3, "embedding_dim": 40, "layer_norm": True},
    {"cell": "lstm", "hidden_size": 111, "networks": 3},
    {"cell": "gru", "hidden_size": 138, "num_layers": 2, "networks": 2},
    {"cell": "rnn", "hidden_size": 90, "embedding_dim": 9, "networks": 9},
]
SAMPLERS = [
    {},
    {"temperature": 0.0},
    {"temperature": 1e-9},
    {"temperature": 1e9},
    {"temperature": 1.7, "top_k": 3},
    {"top_p": 0.8},
    {"top_p": 1e-9},
    {"typical_p": 0.7},
    {"min_p": 0.2},
    {"top_k": 6, "typical_p": 0.9, "top_p": 0.9, "min_p": 0.01},
    {"uniform": True},
    {"repetition_penalty": 1.8},
    {"frequency_penalty": 0.7, "presence_penalty": 0.4, "repetition_window": 5},
    {"repetition_penalty": 0.5, "repetition_window": 0, "temperature": 0.0},
    {"no_repeat_ngram": 1},
    {"no_repeat_ngram": 3, "temperature": 0.2},
]


@pytest.fixture
def steppers(make_file, monkeypatch):
    """(native, twin) of one model."""

    def make(weights="float32", **config):
        # Small enough that rounding does not grow over time, as it does in a chaotic network.
        file = make_file(scale=min(0.3, 0.8 / config["hidden_size"] ** 0.5), **config)
        native = build_stepper(file, weights=weights)
        monkeypatch.setenv("SONHO_ENGINE", "library")
        return native, build_stepper(file, weights=weights)

    return make


@pytest.mark.parametrize("config", NETWORKS, ids=str)
def test_logits_and_states_are_those_of_the_twin(isa, steppers, config):
    native, twin = steppers(**config)
    tokens = np.random.default_rng(0).integers(0, native.vocab_size, (14, 75))  # longer than one piece of a run
    logits, state = native.forward(tokens, native.initial_state(14))
    expected, after = twin.forward(tokens, twin.initial_state(14))
    np.testing.assert_allclose(logits, expected, atol=3e-5)
    for array, other in zip(state, after, strict=True):
        np.testing.assert_allclose(array, other, atol=3e-5)
        assert array.dtype == other.dtype


@pytest.mark.parametrize("bits", [32, 8])
@pytest.mark.parametrize("config", NETWORKS, ids=str)
def test_pieces_steps_rows_and_threads_give_the_same_bits(isa, make_file, monkeypatch, config, bits):
    stepper = build_stepper(make_file(**config), weights={32: "float32", 8: "int8"}[bits])
    tokens = np.random.default_rng(0).integers(0, stepper.vocab_size, (27, 9))
    monkeypatch.setenv("SONHO_THREADS", "1")
    whole, end = stepper.forward(tokens, stepper.initial_state(27))
    monkeypatch.setenv("SONHO_THREADS", "3")
    state = stepper.advance(tokens[:, :5], stepper.initial_state(27))
    for t in range(5, 9):
        logits, state = stepper.step(tokens[:, t], state)
        np.testing.assert_array_equal(logits, whole[:, t])
    alone, after = feed(stepper, tokens[13], stepper.initial_state(1))
    np.testing.assert_array_equal(alone[0], whole[13, -1])
    np.testing.assert_array_equal(stepper.last(tokens, stepper.initial_state(27)), whole[:, -1])
    for array, stepped, single in zip(end, state, after, strict=True):
        np.testing.assert_array_equal(array, stepped)
        np.testing.assert_array_equal(array[13], single[0])


@pytest.mark.parametrize("config", NETWORKS, ids=str)
def test_eight_bits_are_those_of_the_rounded_twin(isa, steppers, config):
    native, twin = steppers("int8", **config)
    tokens = np.random.default_rng(0).integers(0, native.vocab_size, (3, 20))
    logits, _ = native.forward(tokens, native.initial_state(3))
    expected, _ = twin.forward(tokens, twin.initial_state(3))
    np.testing.assert_allclose(logits, expected, atol=2e-3)


def test_products_of_integers_fill_their_32_bits_and_no_more():
    # Every weight and every input at its largest: the sum of 5000 products must neither wrap nor lose its size.
    size = 5000
    layer = LayerSpec("rnn_relu", 1, table=np.ones((2, 1)), weight_hh=np.zeros((1, 1)))
    wide = LayerSpec(
        "rnn_relu", size, weight_ih=np.ones((size, 1)), weight_hh=np.zeros((size, size)), bias=np.zeros(size)
    )
    network = Network([layer, wide], np.ones((3, size), np.float32), np.zeros(3), bits=8)
    states = (np.zeros((1, 1), np.float32), np.zeros((1, size), np.float32))
    logits, _ = network.run(np.array([[0]]), states, Logits.LAST)
    np.testing.assert_allclose(logits, np.full((1, 3), size), rtol=1e-3)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_state_that_is_no_number_gives_logits_that_are_none(isa, value):
    layer = LayerSpec("rnn_relu", 5, table=np.ones((2, 5)), weight_hh=np.eye(5))
    network = Network([layer], np.ones((3, 5), np.float32), np.zeros(3), bits=8)
    logits, _ = network.run(np.array([[0]]), (np.array([[1, 2, value, 0, 0]], np.float32),), Logits.LAST)
    assert not np.isfinite(logits).any()


def test_rounded_weights_cost_little(make_file):
    file = make_file(hidden_size=64)
    arrays = round_weights(file.model, file.arrays)
    assert arrays["layers.0.weight_ih"] is file.arrays["layers.0.weight_ih"]
    for name in ("layers.0.weight_hh", "output.weight"):
        error = np.abs(arrays[name] - file.arrays[name])
        assert 0 < error.max() <= np.abs(file.arrays[name]).max() / 254 * 1.001


@pytest.mark.parametrize("options", SAMPLERS, ids=str)
def test_samplers_draw_what_their_twin_draws(isa, options):
    """The same logits at every position, so that nothing but the samplers can differ."""
    vocab_size, rows, count = 23, 6, 60
    rng = np.random.default_rng(1)
    bias = rng.standard_normal(vocab_size).astype(np.float32) * 2
    bias[[0, 22]] = -np.inf
    # A network of zeros: every logit is the output's bias, whatever was drawn.
    layer = LayerSpec("rnn_tanh", 1, table=np.zeros((vocab_size, 1)), weight_hh=np.zeros((1, 1)))
    network = Network([layer], np.zeros((vocab_size, 1), np.float32), bias)
    settings = Settings(**options)
    sources = [Source(99, stream, (3, 4, 5, 3, 4)) for stream in range(rows)]
    extra = np.where(np.arange(vocab_size) == 7, 0.5, 0.0) if "top_p" in options else None
    twin = Sampler(settings, sources, bias=extra, forced={4: 9})
    logits = np.tile(bias, (rows, 1))
    expected = []
    for position in range(count):
        expected.append(twin.draw(logits, position))
        twin.record(expected[-1].tolist())
    forced = np.full((rows, count), -1)
    forced[:, 4] = 9
    samplers = make_samplers(settings, sources, bias=extra, vocab_size=vocab_size, eos_id=22)
    temperatures = np.full((rows, count), settings.temperature)
    tokens, drawn, failures, _, _ = network.draw(
        (np.zeros((rows, 1), np.float32),), logits, samplers, temperatures, forced
    )
    assert drawn.tolist() == [count] * rows
    assert not failures.any()
    np.testing.assert_array_equal(tokens, np.stack(expected, axis=1))


@pytest.mark.parametrize(
    "config", [{"cell": "lstm"}, {"cell": "gru", "num_layers": 2}, {"cell": "conv", "num_layers": 2}], ids=str
)
@pytest.mark.parametrize("data_kind", ["stream", "records"])
def test_texts_are_those_of_the_twin(make_file, monkeypatch, config, data_kind):
    file = make_file(data_kind=data_kind, hidden_size=24, **config)
    options = {"max_tokens": 150, "seed": 3, "n": 5, "temperature": 0.9, "repetition_penalty": 1.1}
    native = Model(file).generate("ab", **options)
    monkeypatch.setenv("SONHO_ENGINE", "library")
    assert native == Model(file).generate("ab", **options)
    lengths = {text.num_tokens for text in native}
    assert len(lengths) > 1 if data_kind == "records" else lengths == {150}


@pytest.mark.parametrize("config", [{"cell": "lstm"}, {"cell": "conv", "num_layers": 2}], ids=str)
def test_rows_may_come_and_go_between_calls(make_file, config):
    """A row draws the same alone, from the start or beside others, in calls of any size."""
    stepper = build_stepper(make_file(hidden_size=20, data_kind="records", **config))
    prompts = [np.array([13, 1, 2]), np.array([13]), np.array([13, 5, 5, 5, 1])]
    eos = 13

    def start(row):
        logits, state = feed(stepper, prompts[row], stepper.initial_state(1))
        return logits, state, make_samplers(Settings(), [Source(row, 0)], bias=None, vocab_size=14, eos_id=eos)

    def draw(logits, state, samplers, count):
        return stepper.network.draw(state, logits, samplers, np.full((len(samplers), count), 1.5), None)

    alone = []
    for row in range(3):
        tokens, drawn, *_ = draw(*start(row), 40)
        alone.append(tokens[0, : drawn[0]].tolist())
    # Row 0 begins, row 1 joins after 3 tokens, row 2 after 3 more; whoever has ended leaves.
    texts, running = {0: [], 1: [], 2: []}, []
    for row in range(3):
        running.append((row, *start(row)))
        for _ in range(3 if row < 2 else 40):
            if not running:
                break
            logits = np.concatenate([each[1] for each in running])
            state = tuple(np.concatenate(arrays) for arrays in zip(*(each[2] for each in running), strict=True))
            tokens, drawn, _, logits, state = draw(logits, state, [each[3][0] for each in running], 1)
            after = []
            for slot, (number, _, _, samplers) in enumerate(running):
                texts[number].append(int(tokens[slot, 0]))
                if tokens[slot, 0] != eos and len(texts[number]) < 40:
                    after.append((number, logits[slot : slot + 1], take_rows(state, [slot]), samplers))
            running = after
    assert [texts[row] for row in range(3)] == alone


def test_a_row_that_ends_leaves_the_others_as_they_were(isa, make_file):
    stepper = build_stepper(make_file(hidden_size=24, num_layers=2, data_kind="records"))
    rows, count = 30, 50
    logits, state = feed(stepper, np.array([13]), stepper.initial_state(1))
    sources = [Source(1, stream) for stream in range(rows)]

    def draw(chosen):
        samplers = make_samplers(Settings(), [sources[row] for row in chosen], bias=None, vocab_size=14, eos_id=13)
        many = tuple(np.repeat(array, len(chosen), axis=0) for array in state)
        temperatures = np.full((len(chosen), count), 1.0)
        return stepper.network.draw(many, np.repeat(logits, len(chosen), axis=0), samplers, temperatures, None)

    tokens, drawn, _, last, after = draw(range(rows))
    assert len(set(drawn.tolist())) > 5
    for row in (0, 7, 29):
        single, length, _, single_last, single_after = draw([row])
        assert length[0] == drawn[row]
        np.testing.assert_array_equal(single[0, : length[0]], tokens[row, : length[0]])
        if length[0] == count:
            np.testing.assert_array_equal(single_last[0], last[row])
            for array, other in zip(single_after, after, strict=True):
                np.testing.assert_array_equal(array[0], other[row])


def test_a_failure_comes_after_the_text_before_it(make_model):
    model = make_model()
    pieces = model.stream("ab", temperature=lambda position: 1.0 if position < 9 else -1.0, max_tokens=50, seed=1)
    text = ""
    with pytest.raises(UsageError, match="temperature"):  # noqa: PT012
        for piece in pieces:
            text += piece.text
    assert len(text) == 2 + 9


def test_an_exploding_network_says_where(make_file):
    file = make_file(cell="rnn", nonlinearity="relu", scale=1e9)
    with pytest.raises(ModelFileError, match="not numbers at token"):
        Model(file).generate("ab", temperature=1.0, max_tokens=60)


def test_ids_outside_the_vocabulary_are_refused(make_file):
    stepper = build_stepper(make_file())
    for wrong in (-1, stepper.vocab_size):
        with pytest.raises(UsageError, match="id is not in the vocabulary"):
            stepper.step(np.array([wrong]), stepper.initial_state(1))


def test_nothing_to_do_is_no_error(make_file):
    stepper = build_stepper(make_file())
    assert stepper.forward(np.zeros((0, 4), np.int64), stepper.initial_state(0))[0].shape == (0, 4, 14)
    assert stepper.forward(np.zeros((2, 0), np.int64), stepper.initial_state(2))[0].shape == (2, 0, 14)


@pytest.mark.parametrize("engine", ["native", "library"])
def test_unknown_weights_are_refused(make_file, monkeypatch, engine):
    monkeypatch.setenv("SONHO_ENGINE", engine)
    with pytest.raises(UsageError, match="weights must be one of float32, int8, got 'int4'"):
        build_stepper(make_file(), weights="int4")
