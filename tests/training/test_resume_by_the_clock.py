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
# The network that is killed, of how many, and after which of its steps.
KILLED = [(1, 1, 40), (1, 3, 10), (2, 3, 10), (3, 3, 12)]


def replay_the_step_times(monkeypatch):
    """Make every step take what its number says and everything else take no time."""
    now, learn = [0.0], Trainer._update

    def update(self, batch):
        now[0] += 0.25 + 0.05 * (self.counters.step * 7 % 5)
        return learn(self, batch)

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(Trainer, "_update", update)


class KillAt:
    """Ends the process as `kill -9` does, after so many steps of a network."""

    def __init__(self, network, step):
        self.network, self.step, self.seen = network, step, []

    def on_step(self, trainer, loss):
        if trainer not in self.seen:
            self.seen.append(trainer)
        if (len(self.seen), trainer.counters.step) == (self.network, self.step):
            os.kill(os.getpid(), signal.SIGKILL)

    def __getattr__(self, name):
        return lambda *_: None


def settings(networks):
    return {**SETTINGS, "training": {**SETTINGS["training"], "networks": networks}}


def be_killed(text, folder, network, networks, step):
    with pytest.MonkeyPatch.context() as monkeypatch:
        replay_the_step_times(monkeypatch)
        train([text], folder, settings(networks), callbacks=[KillAt(network, step)])


@pytest.mark.parametrize(("network", "networks", "step"), KILLED)
def test_a_killed_run_by_the_clock_ends_like_an_unbroken_one(tmp_path, monkeypatch, network, networks, step):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    context = multiprocessing.get_context("forkserver")
    arguments = (str(path), tmp_path / "killed", network, networks, step)
    process = context.Process(target=be_killed, args=arguments)
    process.start()
    process.join(100)
    assert process.exitcode == -signal.SIGKILL
    names = [".", *(f"network-{number}" for number in range(2, networks + 1))]
    at = load_checkpoint(tmp_path / "killed" / names[network - 1])[0]["counters"]
    assert 0 < at["step"] < step

    replay_the_step_times(monkeypatch)
    resumed = train([], tmp_path / "killed", resume=True)
    unbroken = train([str(path)], tmp_path / "unbroken", settings(networks))
    assert resumed.seconds == pytest.approx(unbroken.seconds, abs=1e-9)
    assert unbroken.seconds > 2 * at["seconds"]
    for name in names:
        killed, whole = (
            read_container(tmp_path / n / name / "checkpoint.safetensors", "checkpoint") for n in ("killed", "unbroken")
        )
        assert {k: v.tobytes() for k, v in killed[1].items()} == {k: v.tobytes() for k, v in whole[1].items()}
        curves = [header["counters"]["curve"] for header, _ in (killed, whole)]
        assert curves[0] == curves[1]
        assert name != "." or len(curves[0]) > 3
    models = [read_container(tmp_path / n / "model.safetensors", "model")[1] for n in ("killed", "unbroken")]
    assert {k: v.tobytes() for k, v in models[0].items()} == {k: v.tobytes() for k, v in models[1].items()}
