"""The held-out end is learned last, where that helps, and only after it has been measured."""

import numpy as np
import pytest

from sonho.api import evaluate
from sonho.storage.model_file import load_model_file
from sonho.training import session
from sonho.training.ending import LEAST_TOKENS, tokens_to_read
from sonho.training.run import train

PLAIN = "".join(f"the cat number {i * 7919 % 97} sat on the mat of {i * 31 % 13}\n" for i in range(400))
NAMES = ("Ophelia", "Horatio", "Laertes", "Yorick")
# Towards its end the text speaks of people who were not there before.
CHANGED = PLAIN + "".join(f"{NAMES[i * 7919 % 4]} met {NAMES[i * 31 % 3]} in {i * 17 % 61}\n" for i in range(400))
SETTINGS = {
    "model": {"hidden_size": 16},
    "data": {"batch_size": 8, "bptt": 16, "validation": 0.25},
    "training": {"steps": 60, "threads": 1},
    "sampling": {"max_tokens": 5},
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Train by steps, but with an end to learn as a run by the clock has it."""

    def run(text, name, tokens=4000, **training):
        path = tmp_path / f"{name}.txt"
        path.write_text(text)
        told = []
        monkeypatch.setattr(session.Session, "end_tokens_by_hand", tokens, raising=False)
        settings = {**SETTINGS, "training": {**SETTINGS["training"], **training}}
        result = train([str(path)], tmp_path / name, settings, say=told.append)
        return result, tmp_path / name, told

    made = session.Session.__init__

    def with_an_end(self, *args, **kwargs):
        made(self, *args, **kwargs)
        self.end_tokens = self.end_tokens_by_hand

    monkeypatch.setattr(session.Session, "__init__", with_an_end)
    return run


def test_an_end_that_speaks_of_others_is_learned_after_it_was_measured(run, tmp_path):
    result, folder, told = run(CHANGED, "changed")
    tail = tmp_path / "tail.txt"
    tail.write_text(CHANGED[-3000:])
    assert any("learned from the held-out end" in line for line in told)
    before, after = (evaluate(folder / name, str(tail)).loss for name in (session.BEFORE_END_NAME, "model.safetensors"))
    assert after < before - 0.05
    kept, ended = load_model_file(folder / session.BEFORE_END_NAME), load_model_file(folder)
    assert ended.record["end_tokens"] == 4000
    assert ended.record["validation_loss"] == kept.record["validation_loss"] == result.validation.loss
    assert "end_tokens" not in kept.record


def test_an_end_like_the_rest_leaves_the_model_as_it_was(run, monkeypatch):
    monkeypatch.setattr("sonho.training.ending.AdaptiveStepper", _worse)
    _, folder, told = run(CHANGED, "same")
    assert not (folder / session.BEFORE_END_NAME).exists()
    assert "end_tokens" not in load_model_file(folder).record
    assert not any("held-out end" in line for line in told)


def test_a_longer_run_goes_on_from_what_has_not_learned_the_end(run):
    _, folder, _ = run(CHANGED, "longer", learning_rate=0.003)
    before = load_model_file(folder / session.BEFORE_END_NAME)
    first = load_model_file(folder)
    assert any(np.any(first.arrays[name] != array) for name, array in before.arrays.items())
    again = train([], folder, resume=True)
    assert again.validation.loss == before.record["validation_loss"]
    second = load_model_file(folder)
    assert {k: v.tobytes() for k, v in second.arrays.items()} == {k: v.tobytes() for k, v in first.arrays.items()}


def test_what_a_longer_run_keeps_is_its_own_best(run):
    _, folder, _ = run(CHANGED, "extended")
    short = load_model_file(folder / session.BEFORE_END_NAME).record
    result = train([], folder, {"training": {"steps": 180}}, resume=True)
    kept = load_model_file(folder / session.BEFORE_END_NAME).record
    assert kept["step"] > short["step"]
    assert result.validation.loss == kept["validation_loss"] < short["validation_loss"]


def test_little_time_reads_less_and_a_short_end_is_left_alone(run):
    part = type("Part", (), {"num_tokens": 15_000})()
    assert tokens_to_read(part, 100.0, 1e-3) == 15_000
    assert tokens_to_read(part, 8.0, 1e-3) == 8_000
    assert tokens_to_read(part, 1e-3 * (LEAST_TOKENS - 1), 1e-3) == 0


class _worse:
    """An adaptation that unlearns."""

    def __init__(self, model_file):
        from dataclasses import replace

        arrays = {name: array * 3.0 for name, array in model_file.arrays.items()}
        self.model_file, self.vocab_size = replace(model_file, arrays=arrays), model_file.tokenizer.vocab_size

    def initial_state(self, batch_size, condition=None):
        return ()

    def advance(self, tokens, state):
        return ()
