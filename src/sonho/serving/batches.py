"""Texts drawn side by side that join and leave between two draws. A text does not depend on the others.

Shapes: N rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sonho.decoding.native_stepper import NativeStepper, make_samplers
from sonho.decoding.sampler import Sampler, nothing_to_draw
from sonho.decoding.state import Array, State, stack_rows, take_rows
from sonho.decoding.stepper import Stepper
from sonho.native.network import Failure
from sonho.native.network import Sampler as NativeSampler
from sonho.serving.text_row import TextRow


@dataclass(frozen=True)
class Drawn:
    """Tokens of each row, what went wrong with it after them, and where all rows stood before."""

    tokens: list[list[int]]
    errors: list[Exception | None]
    logits: Array  # (N, V)
    state: State


class Batch(Protocol):
    rows: list[TextRow]

    def join(self, rows: Sequence[TextRow], logits: Sequence[Array], states: Sequence[State]) -> None:
        """Take in rows that stand at `logits` (1, V) and `states` of one row, one each."""

    def draw(self, count: int) -> Drawn:
        """Between one and `count` more tokens for each row; a row that draws <eos> ends with it."""

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only."""


def make_batch(stepper: Stepper, eos_id: int) -> Batch:
    return NativeBatch(stepper, eos_id) if isinstance(stepper, NativeStepper) else SteppedBatch(stepper)


class NativeBatch:
    """As many tokens a call as wanted, the interpreter free meanwhile."""

    def __init__(self, stepper: NativeStepper, eos_id: int) -> None:
        self.rows: list[TextRow] = []
        self._stepper, self._eos_id = stepper, eos_id
        self._samplers: list[NativeSampler] = []
        self._logits = np.empty((0, stepper.vocab_size), np.float32)
        self._state = stepper.initial_state(0)

    def join(self, rows: Sequence[TextRow], logits: Sequence[Array], states: Sequence[State]) -> None:
        vocab_size = self._stepper.vocab_size
        for row in rows:
            self._samplers += make_samplers(
                row.settings, [row.source], bias=row.bias, vocab_size=vocab_size, eos_id=self._eos_id
            )
        self.rows += rows
        self._logits = np.concatenate([self._logits, *logits])
        self._state = stack_rows([self._state, *states])

    def draw(self, count: int) -> Drawn:
        temperatures = np.repeat([[row.settings.temperature_at(0)] for row in self.rows], count, axis=1)  # (N, count)
        logits, state = self._logits, self._state
        tokens, drawn, failures, self._logits, self._state = self._stepper.network.draw(
            state, logits, self._samplers, temperatures, None
        )
        errors = [
            None if failure == Failure.NONE else nothing_to_draw(at, broken=failure == Failure.NOT_NUMBERS)
            for at, failure in zip(drawn.tolist(), failures.tolist(), strict=True)
        ]
        counted = [row[:length] for row, length in zip(tokens.tolist(), drawn.tolist(), strict=True)]
        return Drawn(counted, errors, logits, state)

    def keep(self, rows: Sequence[int]) -> None:
        self.rows, self._samplers = [self.rows[i] for i in rows], [self._samplers[i] for i in rows]
        self._logits, self._state = self._logits[list(rows)], take_rows(self._state, rows)


class SteppedBatch:
    """The readable twin: one token a call, whatever `count` is; also for what libsonho does not run."""

    def __init__(self, stepper: Stepper) -> None:
        self.rows: list[TextRow] = []
        self._stepper = stepper
        self._samplers: list[Sampler] = []
        self._positions: list[int] = []
        self._logits = np.empty((0, stepper.vocab_size), np.float32)
        self._state = stepper.initial_state(0)

    def join(self, rows: Sequence[TextRow], logits: Sequence[Array], states: Sequence[State]) -> None:
        self.rows += rows
        self._samplers += [Sampler(row.settings, [row.source], bias=row.bias, forced={}) for row in rows]
        self._positions += [0] * len(rows)
        self._logits = np.concatenate([self._logits, *logits])
        self._state = stack_rows([self._state, *states])

    def draw(self, count: int) -> Drawn:
        logits, state = self._logits, self._state
        tokens, errors = np.zeros(len(self.rows), np.int64), list[Exception | None]()
        for i, sampler in enumerate(self._samplers):
            try:
                tokens[i] = sampler.draw(logits[i : i + 1], self._positions[i])[0]
                sampler.record([int(tokens[i])])
                errors.append(None)
            except Exception as error:
                errors.append(error)
            self._positions[i] += 1
        self._logits, self._state = self._stepper.step(tokens, state)
        pairs = zip(tokens.tolist(), errors, strict=True)
        return Drawn([[token] if error is None else [] for token, error in pairs], errors, logits, state)

    def keep(self, rows: Sequence[int]) -> None:
        self.rows, self._samplers = [self.rows[i] for i in rows], [self._samplers[i] for i in rows]
        self._positions = [self._positions[i] for i in rows]
        self._logits, self._state = self._logits[list(rows)], take_rows(self._state, rows)
