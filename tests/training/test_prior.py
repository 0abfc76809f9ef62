"""Training with `model.prior=ngram`: counts in the model file, a gate from held-out tokens, figures of their own."""

import json

import numpy as np
import pytest

from sonho.cli.main import main
from sonho.config import build_config
from sonho.data.corpus import build_corpus
from sonho.errors import UsageError
from sonho.evaluation.evaluate import evaluate
from sonho.evaluation.prior_counts import num_bytes
from sonho.storage.model_file import load_model_file
from sonho.text import masked_ids
from sonho.training.prior import count_parts, learn_gate, prior_advice
from sonho.training.run import train

SETTINGS = {"model": {"hidden_size": 8, "prior": "ngram"}, "training": {"steps": 20, "threads": 1}}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdef"), 5)) for _ in range(30)]
    path = tmp_path_factory.mktemp("prior") / "text.txt"
    path.write_text(" ".join(words[i] for i in rng.zipf(1.4, 4000) % 30))
    return path


@pytest.fixture(scope="module")
def run(text, tmp_path_factory):
    """(run folder, result, what was said)"""
    said = []
    folder = tmp_path_factory.mktemp("prior") / "run"
    settings = {**SETTINGS, "data": {"test": "0.1"}}
    return folder, train([str(text)], folder, settings, say=said.append), said


def test_the_prior_has_figures_of_its_own_and_helps(run):
    folder, result, _ = run
    assert result.validation_with_prior.loss < result.validation.loss
    assert result.test_with_prior.loss < result.test.loss
    record = load_model_file(folder).record
    assert record["validation_loss"] == result.validation.loss
    assert record["validation_with_prior_loss"] == result.validation_with_prior.loss
    assert record["test_with_prior_bits_per_char"] == result.test_with_prior.bits_per_char


def test_its_size_is_told_and_at_most_four_times_the_text(run, text):
    folder, _, said = run
    stored = load_model_file(folder)
    assert stored.record["prior_bytes"] == num_bytes(stored.prior) <= 4 * len(text.read_bytes())
    assert [line for line in said if line.startswith("The n-gram prior holds") and "MB of the model file" in line]


def test_the_gate_leans_on_what_predicts_better(run, text):
    stored = load_model_file(run[0])
    config = build_config({}).data
    corpus = build_corpus([text], config, seed=1, tokenizer=stored.tokenizer)
    masked = list(masked_ids(stored.tokenizer, stored.data_kind))
    stored.prior = count_parts([corpus.train], stored.tokenizer, masked, 5)
    half = evaluate(stored, corpus.validation).loss
    stored.prior["gate"] = learn_gate(stored, corpus.validation)
    alone = evaluate(stored, corpus.validation, prior=False).loss
    assert evaluate(stored, corpus.validation).loss < half < alone
    noise = np.random.default_rng(1).permutation(len(stored.prior["probs"]))
    stored.prior["probs"] = stored.prior["probs"][noise]
    stored.prior["gate"] = learn_gate(stored, corpus.validation)
    assert evaluate(stored, corpus.validation).loss < alone + 0.01


def test_without_held_out_text_both_have_half_a_say(text, tmp_path):
    settings = {**SETTINGS, "data": {"validation": 0.0}, "training": {"steps": 1}}
    train([str(text)], tmp_path / "run", settings)
    gate = load_model_file(tmp_path / "run").prior["gate"]
    assert (gate[:, :-2] == 0.5).all()
    assert (gate[:, -2:] == 0).all()


def test_records_have_a_prior_too(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("\n".join(["anna", "hanna", "johanna", "susanna"] * 60))
    result = train([str(path)], tmp_path / "run", {**SETTINGS, "data": {"kind": "records"}})
    assert result.validation_with_prior.loss < result.validation.loss


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": {"task": "classify", "prior": "ngram"}}, "leave it out of model.task=classify"),
        ({"model": {"cell": "ngram", "prior": "ngram"}}, "leave out model.prior"),
        ({"model": {"prior": "ngram"}, "data": {"objective": "last"}}, "leave out data.objective=last"),
    ],
)
def test_a_model_beside_which_no_prior_can_stand_is_refused(text, tmp_path, settings, message):
    with pytest.raises(UsageError, match=message):
        train([str(text)], tmp_path / "run", settings)


def test_a_model_without_a_prior_can_start_one_with_it(text, tmp_path):
    plain = {**SETTINGS, "model": {"hidden_size": 8}}
    train([str(text)], tmp_path / "first", plain)
    train([str(text)], tmp_path / "second", {**SETTINGS, "model": {"prior": "ngram"}}, init=str(tmp_path / "first"))
    assert not load_model_file(tmp_path / "first").prior
    assert load_model_file(tmp_path / "second").prior


@pytest.mark.parametrize(
    ("model", "data", "advised"),
    [
        ({"hidden_size": 8}, {}, True),
        ({"hidden_size": 8, "prior": "ngram"}, {}, False),
        ({"hidden_size": 8}, {"objective": "last", "window": 8}, False),
    ],
)
def test_a_network_that_its_counts_beat_is_told_of_them(text, tmp_path, model, data, advised):
    settings = {"model": model, "data": data, "training": {"steps": 1, "threads": 1}}
    result = train([str(text)], tmp_path / "run", settings)
    assert min(result.baselines.values()) < result.validation.bits_per_char
    assert ("--prior ngram" in result.advice) == advised


def test_a_network_that_beats_its_counts_is_told_nothing():
    names = {"7-gram Kneser-Ney": 2.0, "xz": 1.0}
    config = build_config({})
    assert prior_advice(config, 1.9, names) == ""
    assert prior_advice(config, 2.1, names).startswith("7-gram Kneser-Ney does better")


@pytest.fixture
def told(capsys):
    """What a command writes."""

    def run(*arguments):
        assert main(list(map(str, arguments))) == 0
        return capsys.readouterr().out

    return run


def test_evaluate_shows_the_network_alone_and_with_its_prior(run, text, told):
    found = json.loads(told("evaluate", run[0], text, "--no-baselines", "--adapt", "--limit", "2000", "--json"))
    assert found["with_prior"]["loss"] < found["loss"]
    assert found["adapted_with_prior"]["loss"] < found["adapted"]["loss"]
    table = told("evaluate", run[0], text, "--no-baselines", "--limit", "2000")
    assert "this model" in table
    assert "with n-gram prior" in table


def test_inspect_tells_of_the_prior(run, told):
    shown = told("inspect", run[0])
    assert "N-gram prior: " in shown
    assert "With the n-gram prior: " in shown
    assert json.loads(told("inspect", run[0], "--json"))["prior"]["gate"] == [2, 9]


def test_score_and_generate_use_the_prior_unless_told_not_to(run, text, told):
    first, second = (told("score", run[0], text, *flag) for flag in ((), ("--no-prior",)))
    assert first != second
    options = ("generate", run[0], "--seed", "1", "-m", "60")
    assert told(*options) == told(*options) != told(*options, "--no-prior")
