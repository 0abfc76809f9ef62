"""Conditioned networks: torch, libsonho and the NumPy twin begin and go on alike; labels and vectors become rows."""

import dataclasses

import numpy as np
import pytest

from sonho.config import DataConfig, ModelConfig
from sonho.decoding import Model, build_stepper
from sonho.decoding.state import stack_rows, take_rows
from sonho.errors import ModelFileError, UsageError
from sonho.native import library
from sonho.storage.condition import Condition, condition_from_json
from sonho.storage.model_file import ModelFile, load_model_file, save_model_file
from sonho.storage.shapes import expected_shapes
from sonho.text import fit_tokenizer

LABELS = Condition(mean=(0.5, 0.3, 0.2), scale=(1.0, 1.0, 1.0), labels=("Money", "Sport", "World"), separator=";")
VECTORS = Condition(mean=(1.0, -2.0), scale=(2.0, 0.5))
NETWORKS = [
    {"cell": cell, "hidden_size": 17, "num_layers": layers, "embedding_dim": embedding, "condition_into": into}
    for cell in ("lstm", "gru", "rnn")
    for layers, embedding in ((1, 0), (2, 5))
    for into in ("state", "input", "both")
]


def make_file(condition=LABELS, **settings):
    kind = "label" if condition.labels else "vector"
    config = ModelConfig(**{"hidden_size": 17, **settings}, condition=kind)
    tokenizer = fit_tokenizer(["abcdefgh "], DataConfig())
    rng = np.random.default_rng(1)
    shapes = expected_shapes(config, tokenizer.vocab_size, condition_size=condition.size)
    arrays = {name: (rng.standard_normal(shape) * 0.3).astype(np.float32) for name, shape in shapes.items()}
    return ModelFile(config, tokenizer, "records", arrays, condition=condition)


def draw_rows(count, size=3):
    return np.random.default_rng(2).standard_normal((count, size)).astype(np.float32)


@pytest.mark.skipif(not library.available(), reason="the kernels were not built")
@pytest.mark.parametrize("weights", ["float32", "int8"])
@pytest.mark.parametrize("settings", NETWORKS, ids=str)
def test_libsonho_and_the_twin_give_the_same_logits_and_states(isa, monkeypatch, settings, weights):
    file = make_file(**settings)
    native = build_stepper(file, weights=weights)
    monkeypatch.setenv("SONHO_ENGINE", "library")
    twin = build_stepper(file, weights=weights)
    tokens, rows = np.random.default_rng(0).integers(1, native.vocab_size, (6, 70)), draw_rows(6)
    logits, state = native.forward(tokens, native.initial_state(6, rows))
    expected, after = twin.forward(tokens, twin.initial_state(6, rows))
    atol = 2e-5 if weights == "float32" else 2e-3  # 8 bits round the inputs too
    np.testing.assert_allclose(logits, expected, atol=atol)
    for array, other in zip(state, after, strict=True):
        np.testing.assert_allclose(array, other, atol=atol)
    stepped, _ = twin.step(tokens[:, 0], twin.initial_state(6, rows))
    np.testing.assert_allclose(stepped, expected[:, 0], atol=2e-5)


@pytest.mark.parametrize("settings", NETWORKS, ids=str)
def test_torch_gives_the_same_logits(settings):
    torch = pytest.importorskip("torch")
    from sonho.models.language_model import LanguageModel, load_arrays

    file = make_file(**settings)
    stepper = build_stepper(file)
    network = LanguageModel(file.model, stepper.vocab_size, [0], condition_size=3)
    load_arrays(network, file.arrays)
    tokens, rows = np.random.default_rng(0).integers(1, stepper.vocab_size, (6, 9)), draw_rows(6)
    logits, _ = stepper.forward(tokens, stepper.initial_state(6, rows))
    with torch.no_grad():
        expected, _ = network.eval()(torch.from_numpy(tokens), network.initial_state(6, torch.from_numpy(rows)))
    np.testing.assert_allclose(logits[..., 1:], expected.numpy()[..., 1:], atol=2e-5)


@pytest.mark.parametrize("weights", ["float32", "int8"])
@pytest.mark.parametrize("settings", NETWORKS[::4], ids=str)
def test_a_row_has_the_same_bits_beside_rows_of_other_labels(each_engine, settings, weights):
    stepper, rows = build_stepper(make_file(**settings), weights=weights), draw_rows(5)
    tokens = np.random.default_rng(0).integers(1, stepper.vocab_size, (5, 6))
    together = stepper.advance(tokens, stepper.initial_state(5, rows))
    for row in range(5):
        alone = stepper.advance(tokens[[row]], stepper.initial_state(1, rows[[row]]))
        for array, other in zip(take_rows(together, [row]), alone, strict=True):
            np.testing.assert_array_equal(array, other)
    regrouped = stack_rows([take_rows(together, [3]), take_rows(together, [1])])
    logits, _ = stepper.step(tokens[[3, 1], 0], regrouped)
    expected, _ = stepper.step(tokens[:, 0], together)
    np.testing.assert_array_equal(logits, expected[[3, 1]])


def test_rows_that_end_early_do_not_mix_up_the_labels_of_the_others(each_engine):
    model = Model(make_file())
    labels = ["Money", "Sport", "World", "Sport", "Money", "World"]
    batch = model.generate_batch([""] * 6, labels=labels, seeds=range(6), max_tokens=60)
    alone = [model.generate("", label=label, seed=seed, max_tokens=60) for seed, label in enumerate(labels)]
    assert [made.text for made in batch] == [made.text for made in alone]
    assert len({made.num_tokens for made in batch}) > 2


def test_a_label_changes_the_text_and_the_mean_is_a_label_of_its_own(each_engine):
    model = Model(make_file())

    def texts(**told):
        return [made.text for made in model.generate("", n=20, seed=3, temperature=1.0, **told)]

    assert len({tuple(texts(label=label)) for label in (None, "Money", "Sport", "World")}) == 4
    assert texts(label={"Money": 0.5, "Sport": 0.3, "World": 0.2}) == texts()
    assert texts(label="Sport", strength=0) == texts()
    assert texts(label="Sport", strength=2.0) not in (texts(), texts(label="Sport"))
    streamed = "".join(piece.text for piece in model.stream("", seed=3, temperature=1.0, label="Sport"))
    assert streamed == texts(label="Sport")[0]


def test_labels_become_rows_whose_weights_sum_to_one():
    mean = np.array(LABELS.mean)
    np.testing.assert_allclose(LABELS.label_row("Sport")[0] + mean, [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(LABELS.label_row(["World", "Money"])[0] + mean, [0.5, 0, 0.5], atol=1e-6)
    np.testing.assert_allclose(LABELS.label_row("World; Money")[0] + mean, [0.5, 0, 0.5], atol=1e-6)
    np.testing.assert_allclose(LABELS.label_row({"Sport": 7, "World": 3})[0] + mean, [0, 0.7, 0.3], atol=1e-6)


def test_vectors_are_standardised_with_the_stored_mean_and_scale():
    np.testing.assert_allclose(VECTORS.vector_row([3.0, -2.5]), [[1.0, -1.0]])
    model = Model(make_file(VECTORS))
    texts = [[made.text for made in model.generate("", n=20, vector=[x, 2], seed=1)] for x in (1.0, 1, 9)]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "Sprot"}, "unknown label 'Sprot'; did you mean 'Sport'?; known: Money, Sport, World"),
        ({"label": {"Sport": -1}}, "weights of labels are numbers of at least 0"),
        ({"label": {"Sport": 0}}, "weights of labels are numbers of at least 0, one of them above"),
        ({"label": []}, "weights of labels"),
        ({"label": "Sport", "strength": -1}, "strength must be a number from 0 to 10, got -1"),
        ({"label": 3}, "a label is a name, a list of names or weights by name, got 3"),
        ({"vector": [1.0, 2.0, 3.0]}, "the model was trained on labels, not on vectors; known: Money, Sport, World"),
        ({"label": "Sport", "vector": [1.0]}, "give a label or a vector, not both"),
    ],
)
def test_what_cannot_be_asked_of_labels_is_told_in_a_line(options, message):
    with pytest.raises(UsageError) as error:
        Model(make_file()).generate("", **options)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ([1.0], "the model was trained on vectors of 2 numbers, got 1"),
        ([1.0, float("nan")], "a vector holds NaN or infinity"),
        ("ab", "a vector is a list of numbers, got 'ab'"),
    ],
)
def test_what_cannot_be_asked_of_vectors_is_told_in_a_line(vector, message):
    with pytest.raises(UsageError) as error:
        Model(make_file(VECTORS)).generate("", vector=vector)
    assert message in str(error.value)


def test_a_model_without_a_condition_says_so(make_model):
    with pytest.raises(UsageError, match="the model was trained without labels or vectors"):
        make_model(data_kind="records").generate("", label="Sport")


def test_a_batch_has_a_label_for_each_prompt():
    with pytest.raises(UsageError, match="give 2 labels, one for each prompt, or label for all"):
        Model(make_file()).generate_batch(["", ""], labels=["Sport"])


@pytest.mark.parametrize("condition", [LABELS, VECTORS])
def test_a_model_file_keeps_its_condition(tmp_path, condition):
    save_model_file(tmp_path / "m.safetensors", make_file(condition))
    assert load_model_file(tmp_path / "m.safetensors").condition == condition


@pytest.mark.parametrize(
    "changes",
    [{"mean": [0.5]}, {"scale": [1, 0, 1]}, {"labels": ["a", "a", "b"]}, {"mean": "abc"}, {"separator": 3}],
)
def test_a_malformed_condition_is_refused(changes):
    with pytest.raises(Exception, match="the condition is malformed"):
        condition_from_json({**LABELS.to_json(), **changes})


def test_a_file_whose_settings_and_condition_differ_is_refused(tmp_path):
    file = make_file()
    for other in (dataclasses.replace(file, condition=None), dataclasses.replace(file, condition=VECTORS)):
        save_model_file(tmp_path / "m.safetensors", other)
        with pytest.raises(ModelFileError, match="does not fit together"):
            load_model_file(tmp_path / "m.safetensors")
