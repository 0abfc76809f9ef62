"""The sides of a comparison: processes that take turns, so that what else the machine does meets them all.

A side is a module that ends with `serve(prepare)`. It is told, line by line,

    case {"cell": "lstm", ...}   build that case and warm up; answers {"skip": "why not", or ""}
    run 0.3                      work for at least 0.3 s; answers {"units": 9, "count": 36864, "seconds": 0.31}

A unit is an optimiser step or a text, and counts its characters. Needs the standard library only, as some
sides live in another environment than sonho. Each has its own process because OMP_WAIT_POLICY and the like
are read once, when a library is loaded.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

HERE = Path(__file__).parent
TURN_SECONDS = 0.3
# OpenMP's threads spin for a while after their work; the next side must not meet that.
PAUSE_SECONDS = 0.3
LEAST_ROUNDS = 3

Case = dict[str, Any]
# One unit of work: {"count": characters}, and what else is to be told, in its own units.
Work = Callable[[], Mapping[str, float]]


class SkipCase(Exception):
    """This side cannot do the case; the words say why."""


@dataclass
class Turn:
    """What a side did in one turn. `extra` holds the medians of what else its units told."""

    units: int
    count: float
    seconds: float
    extra: dict[str, float]

    @property
    def rate(self) -> float:
        """Characters a second."""
        return self.count / self.seconds


class Worker:
    """One side, seen from the driver. Close it, or use it in a `with`."""

    def __init__(self, module: str, *, python: str = sys.executable, cores: int = 0, **environment: str) -> None:
        """Start `module`, pinned to so many cores (0 = all), with variables of its own; "" takes one away."""
        self.module = module
        variables = {**os.environ, **environment}

        def pin() -> None:
            if cores and hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cores:])

        self._process = subprocess.Popen(
            [python, "-m", module],
            cwd=HERE,
            env={name: value for name, value in variables.items() if value},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=pin,
        )

    def ask(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.module} ended with {self._process.wait()}; its error is above")
        return dict(json.loads(line))

    def case(self, **case: Any) -> str:
        """Build a case; returns why it cannot be done, or nothing."""
        self.ask("case " + json.dumps(case))
        return str(self.answer()["skip"])

    def begin(self, seconds: float = TURN_SECONDS) -> None:
        """Start a turn; `end` waits for it."""
        self.ask(f"run {seconds}")

    def end(self) -> Turn:
        answer = self.answer()
        return Turn(**{name: answer.pop(name) for name in ("units", "count", "seconds")}, extra=answer)

    def run(self, seconds: float = TURN_SECONDS) -> Turn:
        self.begin(seconds)
        return self.end()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(prepare: Callable[[Case], Work]) -> None:
    """The other end: answer the driver until it closes the line."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    work: Work | None = None
    for line in sys.stdin:
        verb, _, rest = line.partition(" ")
        answer: dict[str, Any] = {"skip": ""}
        if verb == "case":
            work = None  # the memory of the last case goes before the next is built
            gc.collect()
            try:
                work = prepare(json.loads(rest))
            except SkipCase as reason:
                answer["skip"] = str(reason)
        else:
            assert work is not None
            answer = _run(work, float(rest))
        answers.write(json.dumps(answer) + "\n")


def _run(work: Work, seconds: float) -> dict[str, float]:
    told: dict[str, list[float]] = {}
    units, began = 0, time.perf_counter()
    while not units or time.perf_counter() - began < seconds:
        for name, value in work().items():
            told.setdefault(name, []).append(value)
        units += 1
    taken = time.perf_counter() - began
    extra = {name: statistics.median(values) for name, values in told.items()}
    return {**extra, "units": units, "count": sum(told["count"]), "seconds": taken}


def take_turns(
    sides: Mapping[str, Worker], seconds: float, *, turn: float = TURN_SECONDS, pause: float = PAUSE_SECONDS
) -> dict[str, list[Turn]]:
    """Let the sides work in turn, for so many seconds in all; the turns of a round belong together."""
    turns: dict[str, list[Turn]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(max(LEAST_ROUNDS, round(seconds / (turn * len(names))))):
        first = number % len(names)  # who goes first changes: the second finds the caches of the first
        for name in names[first:] + names[:first]:
            time.sleep(pause)
            turns[name].append(sides[name].run(turn))
    return turns


def rate(turns: Sequence[Turn]) -> float:
    """Characters a second: the median of the turns."""
    return statistics.median(turn.rate for turn in turns)


def unit_seconds(turns: Sequence[Turn]) -> float:
    """Seconds a unit: the median of the turns."""
    return statistics.median(turn.seconds / turn.units for turn in turns)


def ratio(own: Sequence[Turn], other: Sequence[Turn]) -> tuple[float, list[float]]:
    """How many times as fast as the other: the median over the rounds, and the quartiles."""
    ratios = sorted(one.rate / two.rate for one, two in zip(own, other, strict=True))
    return statistics.median(ratios), [ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]]


# Keras on each of its back ends for CPUs: a side's name -> the variables of its process.
KERAS = {
    "keras on jax": {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
    "keras on tensorflow": {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2"},
}


def peers_python() -> str | None:
    """The Python of .venv-bench, which holds the peers of requirements.txt, if it was made."""
    python = HERE.parent / ".venv-bench" / "bin" / "python"
    return str(python) if python.exists() else None
