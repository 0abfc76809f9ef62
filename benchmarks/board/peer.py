"""An entrant of the board, seen from both ends. Needs the standard library and NumPy only.

A peer is a module that ends with `serve(train)`. It is told, line by line, as JSON,

    {"do": "train", ...}                     learn until the deadline; answers how it went, in how many seconds
    {"do": "score", "test": FILE}            answers {"stream": nats, "cold": nats, ...}; until now the file was unknown
    {"do": "write", "prompt": "The ", ...}   answers {"sample": ...}

The seconds of a budget count from the start of the process: loading libraries is part of what a person waits for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np

HERE = Path(__file__).parent.parent
TEMPERATURE = 0.8


@dataclass
class Job:
    """What is to be learned, and until when. `began` is a time.time()."""

    fit: str
    train: str
    validation: str
    kind: str
    share: float  # of `fit` that is the validation part
    seconds: float
    seed: int
    began: float
    settings: dict[str, Any]
    curve: list[list[float]] = field(default_factory=list)  # [seconds since the start, validation nats per character]
    seconds_used: float = 0.0  # where something follows that is not part of the learning

    def elapsed(self) -> float:
        return time.time() - self.began

    def note(self, loss: float) -> None:
        """A point of the learning curve."""
        self.curve.append([round(self.elapsed(), 2), round(loss, 5)])

    def characters(self) -> tuple[Characters, np.ndarray, np.ndarray]:
        """The symbols of what may be learned from, and the ids of its training and validation part."""
        symbols = Characters(Path(self.fit).read_text(encoding="utf-8"))
        return symbols, symbols.read(self.train), symbols.read(self.validation)


class Characters:
    """Characters to ids 0..V-1 and back."""

    def __init__(self, text: str) -> None:
        self.symbols = sorted(set(text))
        self._ids = {symbol: number for number, symbol in enumerate(self.symbols)}

    def __len__(self) -> int:
        return len(self.symbols)

    def encode(self, text: str) -> np.ndarray:
        return np.array([self._ids[symbol] for symbol in text if symbol in self._ids], np.int64)

    def decode(self, ids: list[int]) -> str:
        return "".join(self.symbols[number] for number in ids)

    def read(self, path: str, kind: str = "stream") -> np.ndarray:
        """The ids (L,) of a file; of records with a newline in front, so that their first character is predicted."""
        text = Path(path).read_text(encoding="utf-8")
        return self.encode("\n" + text if kind == "records" else text)


class Trained(Protocol):
    """What a peer has learned: the weights that did best on the validation part."""

    parameters: int

    def score(self, test: str, kind: str) -> dict[str, float | None]:
        """Nats per character of each protocol of scoring.py."""

    def write(self, prompt: str, length: int, seed: int) -> str:
        """A text that goes on from `prompt`, drawn at TEMPERATURE."""


def write_text(
    step: Callable[[list[int]], np.ndarray], symbols: Characters, prompt: str, length: int, seed: int
) -> str:
    """Draw `length` characters; `step` takes the ids that are new to it and gives the logits (V,) of the next."""
    rng = np.random.default_rng(seed)
    new = symbols.encode(prompt or "\n").tolist() or [0]
    written: list[int] = []
    for _ in range(length):
        logits = step(new).astype(np.float64) / TEMPERATURE
        shares = np.exp(logits - logits.max())
        new = [int(rng.choice(len(shares), p=shares / shares.sum()))]
        written += new
    return prompt + symbols.decode(written)


def serve(train: Callable[[Job], Trained]) -> None:
    """Answer the driver until it closes the line."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    trained: Trained | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        verb = asked.pop("do")
        if verb == "train":
            job = Job(**asked)
            trained = train(job)
            seconds = round(job.seconds_used or job.elapsed(), 2)
            answer: dict[str, Any] = {"seconds": seconds, "parameters": trained.parameters, "curve": job.curve}
        else:
            assert trained is not None
            if verb == "score":
                answer = dict(trained.score(asked["test"], asked["kind"]))
            else:
                answer = {"sample": trained.write(**asked)}
        answers.write(json.dumps(answer) + "\n")


class Peer:
    """The driver's end of a peer's process. Use it in a `with`."""

    def __init__(self, module: str, python: str) -> None:
        self.began = time.time()
        self._module = module
        command = [python, "-m", module]
        self._process = subprocess.Popen(command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, verb: str, **values: Any) -> dict[str, Any]:
        """Raises RuntimeError where the process has ended; its own error is on standard error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": verb, **values}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._module} ended with {self._process.wait()}; its error is above")
        return dict(json.loads(line))

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
