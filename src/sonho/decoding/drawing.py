"""Rows of text that grow side by side: one token at a time in Python, or many a call in libsonho.

Shapes: N rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from sonho.decoding.native_stepper import NativeStepper, make_samplers
from sonho.decoding.sampler import Sampler, Source, nothing_to_draw
from sonho.decoding.settings import Settings
from sonho.decoding.state import Array, State, take_rows
from sonho.decoding.stepper import Stepper
from sonho.native.network import Failure


class Rows(Protocol):
    """Rows at the same position of their texts. The text of a row does not depend on the others."""

    def draw(self, count: int) -> list[list[int]]:
        """Between one and `count` more tokens for each row; a row that draws <eos> ends with it.

        Raises ModelFileError when the logits are not numbers, UsageError when every token is ruled out.
        """

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only."""


def start_rows(
    stepper: Stepper,
    logits: Array,
    state: State,
    settings: Settings,
    sources: Sequence[Source],
    *,
    bias: Array | None,
    forced: Mapping[int, int],
    eos_id: int,
) -> Rows:
    """Rows that go on from `logits` (N, V) and `state`, drawn as `settings` say, one source each.

    `bias` (V,) is added to all logits; `forced`: position -> id.
    """
    if isinstance(stepper, NativeStepper):
        return NativeRows(stepper, logits, state, settings, sources, bias=bias, forced=forced, eos_id=eos_id)
    return SteppedRows(stepper, logits, state, Sampler(settings, sources, bias=bias, forced=forced))


class SteppedRows:
    """The readable twin: one token a call, whatever `count` is."""

    def __init__(self, stepper: Stepper, logits: Array, state: State, sampler: Sampler) -> None:
        self._stepper, self._logits, self._state, self._sampler = stepper, logits, state, sampler
        self._position, self._tokens = 0, np.empty(0, np.int64)

    def draw(self, count: int) -> list[list[int]]:
        if self._position:
            self._logits, self._state = self._stepper.step(self._tokens, self._state)
        self._tokens = self._sampler.draw(self._logits, self._position)
        self._sampler.record(self._tokens.tolist())
        self._position += 1
        return [[token] for token in self._tokens.tolist()]

    def keep(self, rows: Sequence[int]) -> None:
        self._tokens, self._state = self._tokens[list(rows)], take_rows(self._state, rows)
        self._sampler.keep(rows)


class NativeRows:
    """As many tokens a call as wanted, without the interpreter in between."""

    def __init__(
        self,
        stepper: NativeStepper,
        logits: Array,
        state: State,
        settings: Settings,
        sources: Sequence[Source],
        *,
        bias: Array | None,
        forced: Mapping[int, int],
        eos_id: int,
    ) -> None:
        self._network, self._logits, self._state = stepper.network, logits, state
        self._settings, self._forced, self._position = settings, forced, 0
        self._samplers = make_samplers(settings, sources, bias=bias, vocab_size=stepper.vocab_size, eos_id=eos_id)
        self._error: Exception | None = None

    def draw(self, count: int) -> list[list[int]]:
        if self._error is not None:
            raise self._error
        temperatures = self._temperatures(count)
        rows, count = len(self._samplers), len(temperatures)
        tokens, drawn, failures, self._logits, self._state = self._network.draw(
            self._state, self._logits, self._samplers, np.tile(temperatures, (rows, 1)), self._forced_ids(rows, count)
        )
        if failures.any():
            # Nothing goes on after the first draw that failed; what came before it is handed out first.
            first = int(drawn[failures != Failure.NONE].min())
            broken = Failure.NOT_NUMBERS in failures[(failures != Failure.NONE) & (drawn == first)]
            self._error = nothing_to_draw(self._position + first, broken=broken)
            if first == 0:
                raise self._error
            drawn = np.minimum(drawn, first)
        self._position += count
        return [row[:length] for row, length in zip(tokens.tolist(), drawn.tolist(), strict=True)]

    def keep(self, rows: Sequence[int]) -> None:
        self._samplers = [self._samplers[row] for row in rows]
        self._logits, self._state = self._logits[list(rows)], take_rows(self._state, rows)

    def _temperatures(self, count: int) -> Array:
        """Those of the next positions: all, or as many as there are before one that cannot be had."""
        if not callable(self._settings.temperature):
            return np.full(count, self._settings.temperature, np.float64)
        values: list[float] = []
        for position in range(self._position, self._position + count):
            try:
                values.append(self._settings.temperature_at(position))
            except Exception:
                if not values:
                    raise
                break  # the text may end before it gets there
        return np.array(values, np.float64)

    def _forced_ids(self, rows: int, count: int) -> Array | None:
        wanted = [self._forced.get(self._position + i, -1) for i in range(count)] if self._forced else []
        return np.tile(np.array(wanted, np.int64), (rows, 1)) if wanted else None
