"""Classifiers and taggers from the text to the answer, on tiny data, and that they learn what can be learned."""

import json
import random

import numpy as np
import pytest

from sonho.cli.main import main
from sonho.errors import UsageError
from sonho.storage.container import read_container
from sonho.training.run import train
from tests.training.stopping import StopAt

SMALL = {"threads": 1, "learning_rate": 0.02}


@pytest.fixture
def order(tmp_path):
    """Which of a and b comes first among noise: the letters and their neighbours say nothing, their order all."""
    rng, rows = random.Random(1), {}
    while len(rows) < 800:
        letters = [rng.choice("uvw") for _ in range(rng.randint(6, 14))]
        first, second = sorted(rng.sample(range(len(letters)), 2))
        label = rng.choice("ab")
        letters[first], letters[second] = (label, "ba"["ab".index(label)])
        rows["".join(letters)] = label
    path = tmp_path / "order.jsonl"
    path.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows.items()))
    return path


@pytest.fixture
def brackets(tmp_path):
    """Each closing bracket is tagged by a capital where it closes the outermost: the depth must be counted."""
    rng, lines = random.Random(2), set()
    while len(lines) < 400:
        depth, line = 0, ""
        while len(line) < 16 and (depth or len(line) < 10):
            opens = depth == 0 or (depth < 4 and rng.random() < 0.5)
            depth += 1 if opens else -1
            line += "a" if opens else ("B" if depth == 0 else "b")
        lines.add(line)
    path = tmp_path / "brackets.txt"
    path.write_text("\n".join(sorted(lines)))
    return path


def settings(task="classify", **sections):
    made = {
        "model": {"task": task, "hidden_size": 24, "embedding_dim": 0, "num_layers": 1, "dropout": 0.0},
        "data": {"batch_size": 16},
        "training": {**SMALL, "steps": 250},
    }
    made["model"]["dropout_tokens"] = 0.0
    for name, values in sections.items():
        made[name].update(values)
    return made


@pytest.mark.parametrize(("pooling", "bidirectional"), [("last", False), ("max", True)])
def test_a_classifier_remembers_what_came_first(order, tmp_path, pooling, bidirectional):
    result = train([str(order)], tmp_path / "run", settings(model={"pooling": pooling, "bidirectional": bidirectional}))
    assert result.validation.accuracy >= 0.99
    assert max(result.baselines.values()) < 0.95


def test_a_tagger_counts_brackets(brackets, tmp_path):
    wanted = settings("tag", data={"strip": "case"}, model={"bidirectional": False})
    result = train([str(brackets)], tmp_path / "run", wanted)
    assert result.validation.accuracy >= 0.99


@pytest.mark.parametrize("task", ["classify", "tag"])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(order, brackets, tmp_path, task):
    path = str(order if task == "classify" else brackets)
    wanted = settings(task, training={"steps": 30, "checkpoint_every": 7, "validate_every": 10, "threads": 1})
    wanted["model"] |= {"dropout": 0.2, "dropout_tokens": 0.2}
    if task == "tag":
        wanted["data"]["strip"] = "case"
    train([path], tmp_path / "whole", wanted)
    train([path], tmp_path / "broken", wanted, callbacks=[StopAt(11)])
    train([], tmp_path / "broken", resume=True)
    for name, kind in (("model", "model"), ("checkpoint", "checkpoint")):
        whole, broken = (read_container(tmp_path / run / f"{name}.safetensors", kind)[1] for run in ("whole", "broken"))
        for key, array in whole.items():
            np.testing.assert_array_equal(array, broken[key], err_msg=key)
    lines = [(tmp_path / run / "metrics.jsonl").read_text().splitlines() for run in ("whole", "broken")]
    losses = [[json.loads(line).get("validation_accuracy") for line in run] for run in lines]
    assert losses[0] == losses[1]
    assert sum(loss is not None for loss in losses[0]) == 3


def test_the_best_accuracy_is_kept_and_patience_ends_the_run(order, tmp_path):
    wanted = settings(training={"steps": 400, "validate_every": 10, "patience": 3, "learning_rate": 1e-7})
    result = train([str(order)], tmp_path / "run", wanted)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] < 400
    assert result.validation.accuracy == max(line.get("validation_accuracy", 0) for line in lines)


def test_balanced_classes_find_the_rare_label(tmp_path):
    rows = [{"text": f"{word} {n}", "label": label} for n in range(100) for word, label in (("ab", "x"), ("ba", "x"))]
    rows += [{"text": f"cd {n}", "label": "rare"} for n in range(10)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    wanted = settings(training={"steps": 60, "class_weights": "balanced"}, data={"validation": 0.2})
    assert train([str(tmp_path / "a.jsonl")], tmp_path / "run", wanted).validation.macro_f1 == 1.0


def test_a_language_model_is_the_start_of_a_classifier(order, tmp_path):
    language = {"model": {"hidden_size": 24}, "data": {"kind": "records"}, "training": {**SMALL, "steps": 5}}
    train([str(order)], tmp_path / "language", language)
    said = []
    wanted = {"model": {"task": "classify"}, "training": {**SMALL, "steps": 2}}
    train([str(order)], tmp_path / "run", wanted, init=str(tmp_path / "language"), say=said.append)
    assert any("Started from the model of --init: layers.0.weight_ih" in line for line in said)
    assert any("lstm 1 x 24, one direction" in line for line in said)
    train([str(order)], tmp_path / "again", wanted, init=str(tmp_path / "run"), say=said.append)
    with pytest.raises(UsageError, match=r"model\.hidden_size is 24 in the model of --init and cannot become 9"):
        train([str(order)], tmp_path / "no", settings(model={"hidden_size": 9}), init=str(tmp_path / "language"))
    with pytest.raises(UsageError, match=r"the model of --init has model\.task=classify"):
        train([str(order)], tmp_path / "no", {"data": {"kind": "records"}}, init=str(tmp_path / "run"))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"model": {"task": "tag"}}, "--task tag needs to know what to restore"),
        ({"model": {"task": "classify"}, "data": {"kind": "stream"}}, "reads records, not data.kind=stream"),
        ({"model": {"bidirectional": True}}, "need --task classify or tag"),
    ],
)
def test_what_a_task_cannot_do_is_told_in_one_line(order, tmp_path, wanted, message):
    with pytest.raises(UsageError, match=message):
        train([str(order)], tmp_path / "run", wanted)


def test_a_single_label_is_nothing_to_tell_apart(tmp_path, capsys):
    (tmp_path / "only.txt").write_text("one\ntwo\nthree\nfour\nfive\n")
    assert main(["train", "--task", "classify", str(tmp_path / "only.txt"), "-o", str(tmp_path / "run")]) == 65
    assert "at least two labels are needed to tell apart, but the text has only" in capsys.readouterr().err
