"""Learning from what is read, after it was scored."""

import numpy as np
import pytest

from sonho.config import DataConfig, ModelConfig
from sonho.errors import ModelFileError, UsageError
from sonho.evaluation.evaluate import target_nats
from sonho.evaluation.score import Scorer
from sonho.storage.model_file import ModelFile, load_model_file, save_model_file
from sonho.storage.shapes import expected_shapes
from sonho.text import fit_tokenizer
from sonho.training.adapt import Adaptation, AdaptiveStepper
from sonho.training.gradient_rms import decode_rms, encode_rms

EOS = 7


def make_file(data_kind="stream", seed=0, **config):
    tokenizer = fit_tokenizer(["abcdef"], DataConfig())  # <pad>, six letters, <eos>
    model = ModelConfig(**{"hidden_size": 9, **config})
    rng = np.random.default_rng(seed)
    shapes = expected_shapes(model, tokenizer.vocab_size)
    arrays = {name: (0.3 * rng.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}
    rms = {name: encode_rms(np.full(shape, 0.02)) for name, shape in shapes.items()}
    return ModelFile(model, tokenizer, data_kind, arrays, gradient_rms=rms)


def draw(*shape):
    return np.random.default_rng(1).integers(1, 7, shape)


def bits(stepper, tokens, state, targets):
    logits, state = stepper.forward(tokens, state)
    return target_nats(logits.reshape(-1, logits.shape[-1]), targets.ravel()).mean(), state


NETWORKS = [{}, {"cell": "gru", "num_layers": 2}, {"cell": "conv"}, {"embedding_dim": 9, "tied": True}]


@pytest.mark.parametrize("config", NETWORKS, ids=str)
def test_a_token_is_scored_by_weights_that_have_not_seen_it(config):
    file, tokens = make_file(**config), draw(1, 40)
    other = tokens.copy()
    other[0, 25:] = other[0, 25:] % 6 + 1  # every later token is another one
    logits = []
    for each in (tokens, other):
        stepper = AdaptiveStepper(file, Adaptation(interval=8))
        logits.append(stepper.forward(each, stepper.initial_state(1))[0])
    np.testing.assert_array_equal(logits[0][0, :25], logits[1][0, :25])
    assert not np.array_equal(logits[0][0, 25:], logits[1][0, 25:])


def test_the_first_piece_is_that_of_the_frozen_model():
    file, tokens = make_file(), draw(2, 30)
    frozen, adaptive = AdaptiveStepper(file, Adaptation(rate=0.0, interval=30)), AdaptiveStepper(file)
    np.testing.assert_array_equal(
        adaptive.forward(tokens, adaptive.initial_state(2))[0], frozen.forward(tokens, frozen.initial_state(2))[0]
    )


def test_advancing_learns_what_predicting_learns():
    file, tokens = make_file(), draw(2, 50)
    told, silent = (AdaptiveStepper(file, Adaptation(interval=8)) for _ in range(2))
    state = told.forward(tokens, told.initial_state(2))[1]
    after = silent.advance(tokens, silent.initial_state(2))
    for one, other in zip(state, after, strict=True):
        np.testing.assert_array_equal(one, other)
    for name, array in told.model_file.arrays.items():
        np.testing.assert_array_equal(silent.model_file.arrays[name], array)
        assert not np.array_equal(array, file.arrays[name])


def test_a_habit_of_the_text_is_picked_up():
    stepper = AdaptiveStepper(make_file(), Adaptation(rate=0.02, interval=16))
    tokens = np.tile([1, 2, 3, 4, 5, 6], 200)[None]
    state, nats = stepper.initial_state(1), []
    for at in range(0, 1152, 96):
        mean, state = bits(stepper, tokens[:, at : at + 96], state, tokens[:, at + 1 : at + 97])
        nats.append(mean)
    assert nats[0] > 1.5
    assert nats[-1] < 0.3


def test_pieces_of_a_text_teach_what_the_whole_teaches():
    """Cut between two steps of learning, so that nothing may differ, not even the token at the cut."""
    tokens = draw(1, 65)
    results = []
    for cuts in ([65], [16, 48, 65], [32, 33, 65]):
        stepper = AdaptiveStepper(make_file(), Adaptation(rate=0.01, interval=16))
        state, at = stepper.initial_state(1), 0
        for cut in cuts:
            _, state = stepper.forward(tokens[:, at:cut], state)
            at = cut
        results.append(stepper.model_file.arrays["layers.0.weight_hh"])
    np.testing.assert_allclose(results[1], results[0], atol=1e-6)
    assert np.abs(results[2] - results[0]).max() > 1e-6  # other steps, another way


def test_records_teach_their_end():
    stepper = AdaptiveStepper(make_file("records"), Adaptation(rate=0.05))
    before = stepper.model_file.arrays["output.bias"].copy()
    tokens = np.array([[EOS, 1, 2, 0], [EOS, 3, 0, 0]])  # two records, of two letters and of one
    for _ in range(5):
        stepper.forward(tokens, stepper.initial_state(2))
    moved = stepper.model_file.arrays["output.bias"] - before
    assert moved[EOS] > 0
    assert moved[0] == 0  # padding is not a target
    stream = AdaptiveStepper(make_file("stream"), Adaptation(rate=0.05))
    before = stream.model_file.arrays["output.bias"].copy()
    stream.forward(np.array([[1, 2, 3]]), stream.initial_state(1))
    assert (stream.model_file.arrays["output.bias"] - before)[EOS] <= 0


def test_weights_are_pulled_back_to_where_training_left_them():
    file, tokens = make_file(), draw(1, 3000)
    far = []
    for pull in (0.0, 0.5):
        stepper = AdaptiveStepper(file, Adaptation(rate=0.01, pull=pull))
        stepper.forward(tokens, stepper.initial_state(1))
        far.append(np.abs(stepper.model_file.arrays["output.weight"] - file.arrays["output.weight"]).mean())
    assert far[1] < far[0] / 5


def test_a_weight_that_moved_much_in_training_takes_small_steps():
    file, tokens = make_file(), draw(1, 64)
    file.gradient_rms["output.bias"] = encode_rms(np.array([0.02] * 4 + [0.2] * 4))
    stepper = AdaptiveStepper(file, Adaptation(pull=0.0))
    plain = AdaptiveStepper(make_file(), Adaptation(pull=0.0))
    moved = []
    for each in (stepper, plain):
        each.forward(tokens, each.initial_state(1))
        moved.append(each.model_file.arrays["output.bias"] - file.arrays["output.bias"])
    np.testing.assert_allclose(moved[0][1:4], moved[1][1:4], rtol=0.1)
    np.testing.assert_allclose(moved[0][4:7], moved[1][4:7] / 10, rtol=0.1)


@pytest.mark.parametrize(("longest", "least", "most"), [(3.0, 0.03, 0.030001), (1e9, 1.0, np.inf)])
def test_what_training_hardly_saw_is_not_thrown_away(longest, least, most):
    file = make_file()
    file.gradient_rms = {name: encode_rms(np.full(codes.shape, 1e-6)) for name, codes in file.gradient_rms.items()}
    stepper = AdaptiveStepper(file, Adaptation(rate=0.01, pull=0.0, interval=8, longest=longest))
    stepper.forward(draw(1, 9), stepper.initial_state(1))  # one step
    moved = [np.abs(stepper.model_file.arrays[name] - file.arrays[name]).max() for name in file.arrays]
    assert least * 0.999 <= max(moved) <= most


def test_steps_predict_and_do_not_learn():
    stepper = AdaptiveStepper(make_file(), Adaptation(rate=0.1))
    state = stepper.initial_state(1)
    for token in (1, 2, 3, 4):
        _, state = stepper.step(np.array([token]), state)
    np.testing.assert_array_equal(stepper.model_file.arrays["output.weight"], make_file().arrays["output.weight"])


def test_scoring_lines_learns_from_them():
    file = make_file()
    lines = ["abcdef"] * 400
    adaptive = Scorer(file, stepper=AdaptiveStepper(file, Adaptation(rate=0.05)))
    nats = [line.bits for line in adaptive.lines(lines)]
    assert nats[1] > 10
    assert nats[-1] < 3


def test_statistics_are_kept_in_the_model_file(tmp_path):
    file = make_file()
    save_model_file(tmp_path / "m.safetensors", file)
    loaded = load_model_file(tmp_path / "m.safetensors")
    assert loaded.gradient_rms.keys() == file.arrays.keys() == loaded.arrays.keys()
    for name, codes in file.gradient_rms.items():
        np.testing.assert_array_equal(loaded.gradient_rms[name], codes)
    file.gradient_rms["output.bias"] = file.gradient_rms["output.bias"][:2]
    save_model_file(tmp_path / "m.safetensors", file)
    with pytest.raises(ModelFileError, match=r"gradient_rms\.output\.bias is uint8 \(2,\)"):
        load_model_file(tmp_path / "m.safetensors")
    del file.gradient_rms["output.bias"]
    save_model_file(tmp_path / "m.safetensors", file)
    with pytest.raises(ModelFileError, match="for some arrays only"):
        load_model_file(tmp_path / "m.safetensors")


def test_codes_are_near_what_they_stand_for():
    values = np.array([0.0, 1e-12, 1e-9, 3e-4, 0.7, 1.0])
    found = decode_rms(encode_rms(values))
    np.testing.assert_allclose(found[2:], values[2:], rtol=0.045)
    assert found[0] == found[1] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [({"gradient_rms": {}}, "no gradient statistics"), ({"window": 5}, "last symbol of windows")],
)
def test_models_that_cannot_be_adapted_say_why(change, message):
    file = make_file()
    for name, value in change.items():
        setattr(file, name, value)
    with pytest.raises(UsageError, match=message):
        AdaptiveStepper(file)
