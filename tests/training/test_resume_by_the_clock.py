"""A run of minutes that was killed: with the same times of its steps it ends with the same weights and seconds."""

import multiprocessing
import os
import signal
import time

import pytest

from sonho.storage.container import read_container
from sonho.training.checkpoint import load_checkpoint
from sonho.training.run import train
from sonho.training.trainer import Trainer

TEXT = "".join(f"line {i}: the cat number {i * 7919 % 97} sat on the mat of {i * 31 % 13}\n" for i in range(200))
SETTINGS = {
    "model": {"hidden_size": 12, "dropout": 0.2},
    "data": {"batch_size": 4, "bptt": 16},
    "training": {"minutes": 0.5, "checkpoint_every": 7, "threads": 1},
    "sampling": {"max_tokens": 5},
}
KILLED_AT = 40


def replay_the_step_times(monkeypatch):
    """Make every step take what its number says and everything else take no time."""
    now, learn = [0.0], Trainer._update

    def update(self, batch):
        now[0] += 0.25 + 0.05 * (self.counters.step * 7 % 5)
        return learn(self, batch)

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(Trainer, "_update", update)


class KillAt:
    """Ends the process as `kill -9` does, after so many steps."""

    def on_step(self, trainer, loss):
        if trainer.counters.step == KILLED_AT:
            os.kill(os.getpid(), signal.SIGKILL)

    def __getattr__(self, name):
        return lambda *_: None


def be_killed(text, folder):
    with pytest.MonkeyPatch.context() as monkeypatch:
        replay_the_step_times(monkeypatch)
        train([text], folder, SETTINGS, callbacks=[KillAt()])


def test_a_killed_run_by_the_clock_ends_like_an_unbroken_one(tmp_path, monkeypatch):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=be_killed, args=(str(path), tmp_path / "killed"))
    process.start()
    process.join(100)
    assert process.exitcode == -signal.SIGKILL
    at = load_checkpoint(tmp_path / "killed")[0]["counters"]
    assert 0 < at["step"] < KILLED_AT

    replay_the_step_times(monkeypatch)
    resumed = train([], tmp_path / "killed", resume=True)
    unbroken = train([str(path)], tmp_path / "unbroken", SETTINGS)
    assert resumed.seconds == pytest.approx(unbroken.seconds, abs=1e-9)
    assert unbroken.seconds > 2 * at["seconds"]
    killed, whole = (
        read_container(tmp_path / n / "checkpoint.safetensors", "checkpoint") for n in ("killed", "unbroken")
    )
    assert {k: v.tobytes() for k, v in killed[1].items()} == {k: v.tobytes() for k, v in whole[1].items()}
    curves = [header["counters"]["curve"] for header, _ in (killed, whole)]
    assert curves[0] == curves[1]
    assert len(curves[0]) > 3
