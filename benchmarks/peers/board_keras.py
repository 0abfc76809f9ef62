"""The board's textbook network: one-hot windows of 60, stride 3, an LSTM of 128, RMSprop 0.01, batches of 128.

It is scored as it is used: each character from the 60 before it, from fewer where there are no more.
Shapes: N rows, T time, V vocabulary.
"""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import math
import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from board.peer import Characters, Job, Trained, serve, write_text
from board.scoring import Bounds, cold_bounds, nats, stream_bounds

WINDOW, STRIDE, BATCH, UNITS, RATE = 60, 3, 128, 128, 0.01
LOOKS, LOOK_WINDOWS = 8, 2048
ROWS = 1024  # windows that are predicted at once
SPARE_SECONDS = 0.2


class Textbook:
    """The network that is trained, and the same with a prediction at every position."""

    def __init__(self, symbols: Characters) -> None:
        self.symbols, self.one_hot = symbols, np.eye(len(symbols), dtype=np.float32)
        lstm = keras.layers.LSTM(UNITS, return_sequences=True)
        output = keras.layers.Dense(len(symbols), activation="softmax")
        window = keras.Input((WINDOW, len(symbols)))
        hidden = lstm(window)  # (N, T, H)
        self.network = keras.Model(window, output(hidden[:, -1]))
        self.everywhere = keras.Model(window, output(hidden))
        self.network.compile(optimizer=keras.optimizers.RMSprop(RATE), loss="categorical_crossentropy")
        self.parameters = int(self.network.count_params())

    def learn(self, ids: np.ndarray, starts: np.ndarray) -> None:
        self.network.train_on_batch(self._windows(ids, starts), self.one_hot[ids[starts + WINDOW]])

    def next_logits(self, ids: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Logits (N, V) of what follows each window."""
        pieces = [self._run(self.network, ids, starts[at : at + ROWS]) for at in range(0, len(starts), ROWS)]
        return np.concatenate(pieces)

    def score(self, test: str, kind: str) -> dict[str, float | None]:
        ids = self.symbols.read(test, kind)
        return {"stream": self._score(ids, stream_bounds(ids)), "cold": self._score(ids, cold_bounds(ids))}

    def write(self, prompt: str, length: int, seed: int) -> str:
        seen: list[int] = []

        def step(new: list[int]) -> np.ndarray:
            seen.extend(new)
            if len(seen) < WINDOW:
                padded = np.array(seen + [0] * (WINDOW - len(seen)))
                return np.asarray(self._run(self.everywhere, padded, np.zeros(1, np.int64))[0, len(seen) - 1])
            return np.asarray(self._run(self.network, np.array(seen[-WINDOW:]), np.zeros(1, np.int64))[0])

        return write_text(step, self.symbols, prompt, length, seed)

    def _score(self, ids: np.ndarray, bounds: Bounds) -> float:
        total = 0.0
        # The first predictions of a piece are those at every position of its first window: no window need be filled up.
        firsts = np.array([start - 1 for start, _ in bounds])
        padded = np.append(ids, np.zeros(WINDOW, np.int64))
        for at in range(0, len(firsts), ROWS):
            logits = self._run(self.everywhere, padded, firsts[at : at + ROWS])  # (N, T, V)
            for row, (start, stop) in zip(logits, bounds[at : at + ROWS], strict=True):
                targets = ids[start : min(start + WINDOW, stop)]
                total += nats(row[: len(targets)], targets)
        starts = np.concatenate([np.arange(start, stop - WINDOW) for start, stop in bounds])
        if len(starts):
            total += nats(self.next_logits(ids, starts), ids[starts + WINDOW])
        return total / sum(stop - start for start, stop in bounds)

    def _run(self, network: Any, ids: np.ndarray, starts: np.ndarray) -> np.ndarray:
        # Always as many rows: JAX would compile a program for every other number.
        rows = ROWS if len(starts) > 1 else 1
        filled = np.append(starts, np.full(rows - len(starts), starts[0]))
        shares = np.asarray(network.predict_on_batch(self._windows(ids, filled)))[: len(starts)]
        return np.asarray(np.log(np.maximum(shares, 1e-30)))

    def _windows(self, ids: np.ndarray, starts: np.ndarray) -> np.ndarray:
        return np.asarray(self.one_hot[ids[starts[:, None] + np.arange(WINDOW)]])


def train(job: Job) -> Trained:
    keras.utils.set_random_seed(job.seed)
    symbols, ids, validation = job.characters()
    textbook = Textbook(symbols)
    looked = np.linspace(0, len(validation) - WINDOW - 1, LOOK_WINDOWS).astype(np.int64)
    batches = endless_batches(ids, np.random.default_rng(job.seed))
    textbook.learn(ids, next(batches))

    def look() -> float:
        return nats(textbook.next_logits(validation, looked), validation[looked + WINDOW]) / len(looked)

    look()  # compiles
    began = time.perf_counter()
    look()
    look_seconds = time.perf_counter() - began
    deadline, last_look = job.seconds - look_seconds - SPARE_SECONDS, job.elapsed()
    every = max((deadline - last_look) / LOOKS, 10 * look_seconds)
    best, kept = math.inf, textbook.network.get_weights()
    while True:
        last = job.elapsed() >= deadline
        if last or job.elapsed() - last_look >= every:
            loss = look()
            job.note(loss)
            last_look = job.elapsed()
            if loss < best:
                best, kept = loss, textbook.network.get_weights()
        if last:
            break
        textbook.learn(ids, next(batches))
    textbook.network.set_weights(kept)
    return textbook


def endless_batches(ids: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The starts of windows, shuffled for every pass."""
    while True:
        starts = np.arange(0, len(ids) - WINDOW, STRIDE)
        rng.shuffle(starts)
        for at in range(0, len(starts) - BATCH + 1, BATCH):
            yield starts[at : at + BATCH]


if __name__ == "__main__":
    serve(train)
