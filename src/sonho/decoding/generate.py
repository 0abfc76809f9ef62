"""The loop that draws: rows side by side, each ending by itself, pieces of text as they come.

A row's text is the same whether it runs alone or beside others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sonho.decoding.drawing import Rows
from sonho.decoding.state import Array, State, stack_rows
from sonho.decoding.stepper import Stepper, feed
from sonho.decoding.stopping import StopMatcher
from sonho.text import IncrementalDecoder
from sonho.text.incremental import WholeDecoder

FinishReason = Literal["stop", "length"]
# Tokens drawn in one call of the engine: many enough that calls cost nothing, few enough for text to flow.
MOST_TOKENS_A_CALL = 64


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
        self._texts = decoder.texts if isinstance(decoder, WholeDecoder) else None
        self._at_once = self._texts is not None and not stops
        self.num_tokens = 0
        self.finish_reason: FinishReason | None = None

    @property
    def room(self) -> int:
        """Tokens that may still come."""
        return self._max_tokens - self.num_tokens

    def extend(self, tokens: Sequence[int]) -> str:
        """Take drawn tokens, of which only the last may be <eos>; return the text that they set free."""
        pieces = []
        if self._at_once and self._texts is not None:  # nothing is held back, so only the last token can end the text
            most = min(len(tokens), self.room) - 1
            pieces.append("".join(map(self._texts.__getitem__, tokens[:most])))
            self.num_tokens += most
            tokens = tokens[most:]
        for token in tokens:
            pieces.append(self.push(token))
            if self.finish_reason is not None:
                break
        return "".join(pieces)

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
        return self._decoder.push((token,)) if self._texts is None else self._texts[token]

    def _flush(self) -> str:
        text = self._matcher.push(self._decoder.flush())
        if self._matcher.stopped:
            self.finish_reason = "stop"
        return text + self._matcher.flush()


def feed_rows(stepper: Stepper, prompts: Sequence[Array], conditions: Sequence[Array | None]) -> tuple[Array, State]:
    """Feed each prompt (T_n,) to the first state of its condition (1, F), alone; None is the zero or mean state.

    Returns logits (N, V) and the state of N rows.
    """
    fed: dict[tuple[bytes, bytes], tuple[Array, State]] = {}
    results = []
    for ids, condition in zip(prompts, conditions, strict=True):
        key = ids.tobytes(), b"" if condition is None else condition.tobytes()
        if key not in fed:  # several texts from one prompt read it once
            fed[key] = feed(stepper, ids, stepper.initial_state(1, condition))
        results.append(fed[key])
    return np.concatenate([logits for logits, _ in results]), stack_rows([state for _, state in results])


def draw_rows(rows: Rows, writers: Sequence[RowWriter]) -> Iterator[tuple[int, str]]:
    """Draw until every writer has ended, one writer a row.

    Yields (row, text), last of a row once its writer has ended.
    """
    running = list(enumerate(writers))
    count = 1  # the first token at once, then more and more a call
    while running:
        drawn = rows.draw(min(count, *(writer.room for _, writer in running)))
        for (row, writer), tokens in zip(running, drawn, strict=True):
            text = writer.extend(tokens)
            if text or writer.finish_reason:
                yield row, text
        going = [slot for slot, (_, writer) in enumerate(running) if writer.finish_reason is None]
        if going and len(going) < len(running):
            rows.keep(going)
        running = [running[slot] for slot in going]
        count = min(2 * count, MOST_TOKENS_A_CALL)
