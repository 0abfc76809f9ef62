"""The loop that draws: rows side by side, each ending by itself, pieces of text as they come.

A row's text is the same whether it runs alone or beside others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sonho.decoding.sampler import Sampler
from sonho.decoding.state import Array, State, stack_rows, take_rows
from sonho.decoding.stepper import Stepper, feed
from sonho.decoding.stopping import StopMatcher
from sonho.text import IncrementalDecoder
from sonho.text.incremental import WholeDecoder

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some more text. The last piece of a text, which may be empty, says why it ended.

    `num_tokens` counts the tokens drawn in all; `seed` repeats the text.
    """

    text: str
    finish_reason: FinishReason | None = None
    seed: int | None = None
    num_tokens: int = 0

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Generation:
    """A whole text and how it came about."""

    text: str
    finish_reason: FinishReason
    seed: int
    num_tokens: int

    def __str__(self) -> str:
        return self.text


class RowWriter:
    """Turns the tokens of one row into text that can be shown, and knows when the text has ended."""

    def __init__(self, decoder: IncrementalDecoder, stops: Sequence[str], eos_id: int, max_tokens: int) -> None:
        self._decoder, self._matcher = decoder, StopMatcher(stops)
        self._eos_id, self._max_tokens = eos_id, max_tokens
        # Tokens that are whole characters always read the same.
        self._texts: dict[int, str] | None = {} if isinstance(decoder, WholeDecoder) else None
        self.num_tokens = 0
        self.finish_reason: FinishReason | None = None

    def push(self, token: int) -> str:
        """Take a drawn token; return the text that it sets free."""
        self.num_tokens += 1
        if token == self._eos_id:
            self.finish_reason = "stop"
            return self._flush()
        text = self._matcher.push(self._decoded(token))
        if self._matcher.stopped:
            self.finish_reason = "stop"
        elif self.num_tokens == self._max_tokens:
            self.finish_reason = "length"
            text += self._flush()
        return text

    def _decoded(self, token: int) -> str:
        if self._texts is None:
            return self._decoder.push((token,))
        if token not in self._texts:
            self._texts[token] = self._decoder.push((token,))
        return self._texts[token]

    def _flush(self) -> str:
        text = self._matcher.push(self._decoder.flush())
        if self._matcher.stopped:
            self.finish_reason = "stop"
        return text + self._matcher.flush()


def feed_rows(stepper: Stepper, prompts: Sequence[Array]) -> tuple[Array, State]:
    """Feed each prompt (T_n,) to the zero state, alone. Returns logits (N, V) and the state of N rows."""
    fed: dict[bytes, tuple[Array, State]] = {}
    for ids in prompts:
        if ids.tobytes() not in fed:  # several texts from one prompt read it once
            fed[ids.tobytes()] = feed(stepper, ids, stepper.initial_state(1))
    results = [fed[ids.tobytes()] for ids in prompts]
    return np.concatenate([logits for logits, _ in results]), stack_rows([state for _, state in results])


def draw_rows(
    stepper: Stepper, logits: Array, state: State, sampler: Sampler, writers: Sequence[RowWriter]
) -> Iterator[tuple[int, str]]:
    """Draw until every writer has ended; yields (row, text), last of a row once its writer has ended.

    `logits` (N, V) and `state` are those of N fed rows, one writer each.
    """
    running = list(enumerate(writers))
    position = 0
    while True:
        tokens = sampler.draw(logits, position)  # (N,)
        drawn = tokens.tolist()
        for (row, writer), token in zip(running, drawn, strict=True):
            text = writer.push(token)
            if text or writer.finish_reason:
                yield row, text
        sampler.record(drawn)
        going = [slot for slot, (_, writer) in enumerate(running) if writer.finish_reason is None]
        if len(going) < len(running):
            if not going:
                return
            running = [running[slot] for slot in going]
            tokens, state = tokens[going], take_rows(state, going)
            sampler.keep(going)
        logits, state = stepper.step(tokens, state)
        position += 1
