"""Kill the trainer at random moments: what it makes in the end must not differ by a bit."""

import json
import multiprocessing
import random
import shutil
import time
from pathlib import Path

import pytest

from sonho.errors import UsageError
from sonho.storage.container import read_container
from sonho.training.run import train
from tests.training.stopping import StopAt

TEXT = "".join(f"line {i}: the cat number {i * 7919 % 97} sat on the mat of {i * 31 % 13}\n" for i in range(800))
SETTINGS = {
    "model": {"hidden_size": 24, "num_layers": 2, "dropout": 0.2},
    "data": {"batch_size": 8, "bptt": 16},
    "training": {
        "steps": 300,
        "checkpoint_every": 6,
        "validate_every": 30,
        "sample_every": 40,
        "log_every": 5,
        "threads": 1,
        "seed": 3,
    },
    "sampling": {"max_tokens": 10},
}


def run(text, folder, settings, resume):
    train([str(text)], folder, settings, resume=resume)


def outcome(folder: Path):
    """Everything that must be equal: the model file's bytes, all weights and states, the losses, the samples."""
    _, arrays = read_container(folder / "checkpoint.safetensors", "checkpoint")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["seconds"], line["tokens_per_second"]
    samples = (folder / "samples.jsonl").read_text()
    return (
        (folder / "model.safetensors").read_bytes(),
        {name: array.tobytes() for name, array in arrays.items()},
        lines,
        samples,
    )


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def kill_and_resume(tmp_path: Path, settings, kills: int, longest: float):
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sonho.training.run"])

    unbroken = tmp_path / "unbroken"
    process = context.Process(target=run, args=(text, unbroken, settings, False))
    process.start()
    process.join()
    assert process.exitcode == 0
    expected = outcome(unbroken)

    rng, done, learned = random.Random(), 0, 0
    folder = tmp_path / "broken"
    while done < kills:
        process = context.Process(target=run, args=(text, folder, settings, True))
        before = size_of(folder / "metrics.jsonl")
        process.start()
        if rng.random() < 0.8:  # most kills fall while it learns, the others while it starts
            while process.is_alive() and size_of(folder / "metrics.jsonl") <= before:
                time.sleep(0.002)
        process.join(rng.uniform(0.0, longest))
        if process.is_alive():
            learned += size_of(folder / "metrics.jsonl") > before
            process.kill()
            done += 1
        process.join()
        if process.exitcode == 0:
            assert outcome(folder) == expected
            shutil.rmtree(folder)
    process = context.Process(target=run, args=(text, folder, settings, True))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert outcome(folder) == expected
    assert learned > kills // 4, "too few kills fell into the learning to prove anything"


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_run_killed_at_ten_random_moments_equals_an_unbroken_one(tmp_path, cell):
    settings = {**SETTINGS, "model": {**SETTINGS["model"], "cell": cell}}
    kill_and_resume(tmp_path, settings, kills=10, longest=0.3)


@pytest.mark.soak
def test_a_run_killed_at_two_hundred_random_moments_equals_an_unbroken_one(tmp_path):
    kill_and_resume(tmp_path, SETTINGS, kills=200, longest=0.4)


def test_resuming_a_run_that_had_only_its_last_measurement_left_changes_nothing(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    settings = {**SETTINGS, "training": {**SETTINGS["training"], "steps": 12}}
    run(text, tmp_path / "run", settings, False)
    expected = outcome(tmp_path / "run")
    run(text, tmp_path / "run", settings, True)
    assert outcome(tmp_path / "run") == expected


def test_a_run_of_records_resumes_exactly(tmp_path):
    text = tmp_path / "names.txt"
    text.write_text("\n".join(f"name{i * i % 1009}" for i in range(300)))
    whole = {
        "model": {"hidden_size": 8, "embedding_dim": 4},
        "data": {"kind": "records", "batch_size": 16},
        "training": {"steps": 40, "checkpoint_every": 20, "validate_every": 10, "sample_every": 10, "threads": 1},
        "sampling": {"max_tokens": 5},
    }
    train([str(text)], tmp_path / "whole", whole)
    part = {**whole, "training": {**whole["training"], "steps": 40}}
    stop = StopAt(25)
    assert not train([str(text)], tmp_path / "part", part, callbacks=[stop]).finished
    # The stop itself wrote a checkpoint; the run goes on without being told where the text is.
    assert train([], tmp_path / "part", resume=True).finished
    assert outcome(tmp_path / "part") == outcome(tmp_path / "whole")


def test_a_run_is_neither_overwritten_nor_resumed_as_another(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT[:4000])
    settings = {"model": {"hidden_size": 8}, "training": {"steps": 3, "threads": 1}, "sampling": {"max_tokens": 5}}
    train([str(text)], tmp_path / "run", settings)
    before = outcome(tmp_path / "run")
    with pytest.raises(UsageError, match="already holds a run; go on with --resume"):
        train([str(text)], tmp_path / "run", settings)
    with pytest.raises(UsageError, match=r"model\.hidden_size was 8 and cannot become 9"):
        train([str(text)], tmp_path / "run", {"model": {"hidden_size": 9}}, resume=True)
    with pytest.raises(UsageError, match="unknown section 'modle'; did you mean 'model'"):
        train([str(text)], tmp_path / "run", {"modle": {"hidden_size": 8}}, resume=True)
    text.write_text(TEXT[:3990] + "different!")
    with pytest.raises(UsageError, match="is not the one that this run was trained on"):
        train([str(text)], tmp_path / "run", resume=True)
    with pytest.raises(UsageError, match=r"holds no checkpoint\.safetensors"):
        train([], tmp_path / "nothing", resume=True)
    assert outcome(tmp_path / "run") == before


def test_a_finished_run_can_be_given_more_steps(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT[:4000])
    settings = {"model": {"hidden_size": 8}, "training": {"epochs": 1, "threads": 1}, "sampling": {"max_tokens": 5}}
    train([str(text)], tmp_path / "run", settings)
    result = train([], tmp_path / "run", {"training": {"steps": 30}}, resume=True)
    assert result.finished
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 30
