"""From logits to the next token of each row. Knows ids and numbers, not text.

Shapes: N rows, V vocabulary. The order: bias and bans, penalties, repeats, forced symbols, temperature,
truncation, draw. Everything is float64. What is switched off costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sonho.decoding import processors
from sonho.decoding.history import History
from sonho.decoding.philox import uniforms
from sonho.decoding.settings import Settings
from sonho.decoding.state import Array
from sonho.errors import ModelFileError, UsageError

# Random numbers are made this many positions at a time.
BLOCK = 256


@dataclass(frozen=True)
class Source:
    """Where a row's random numbers come from, and the ids of its prompt."""

    seed: int
    stream: int
    prompt_ids: Sequence[int] = ()


class Sampler:
    """Draws one token a row and position. `bias` (V,) is added to all logits; `forced`: position -> id."""

    def __init__(
        self, settings: Settings, sources: Sequence[Source], *, bias: Array | None, forced: Mapping[int, int]
    ) -> None:
        self._settings, self._sources, self._bias, self._forced = settings, list(sources), bias, forced
        self._truncation = settings.truncation()
        self._penalties = settings.penalties()
        self._ngram = settings.no_repeat_ngram or 0
        self._histories: list[History] | None = None
        self._block, self._uniforms = -1, np.empty((len(sources), 0))

    def draw(self, logits: Array, position: int) -> Array:
        """`logits` (N, V) to token ids (N,) int64; ties at temperature 0 go to the lowest id.

        Raises ModelFileError when the logits are not numbers, UsageError when every token is ruled out.
        """
        return invert(self.weights(logits, position), self._uniforms_at(position))

    def weights(self, logits: Array, position: int) -> Array:
        """What the tokens' chances at `position` are in proportion to, (N, V) float64. Raises as `draw` does."""
        scores = self._adjust(logits.astype(np.float64), position)
        peak = scores.max(axis=1, keepdims=True)
        if not np.isfinite(peak).all():
            raise nothing_to_draw(position, broken=bool(np.isnan(logits).any() or np.isposinf(logits).any()))
        temperature = self._settings.temperature_at(position)
        if self._settings.uniform:
            scores = processors.uniform()(scores)
        elif temperature == 0:
            greedy = np.zeros_like(scores)
            greedy[np.arange(len(scores)), scores.argmax(axis=1)] = 1
            return greedy
        else:
            scores -= peak
            scores /= max(temperature, processors.LEAST_TEMPERATURE)
            for processor in self._truncation:
                scores = processor(scores)
        np.exp(scores, out=scores)
        return scores

    def record(self, tokens: Iterable[int]) -> None:
        """Tell the penalties which tokens the rows now have."""
        if self._histories is not None:
            for history, token in zip(self._histories, tokens, strict=True):
                history.push(token)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only."""
        self._sources = [self._sources[row] for row in rows]
        self._uniforms = self._uniforms[rows]
        if self._histories is not None:
            self._histories = [self._histories[row] for row in rows]

    def _adjust(self, scores: Array, position: int) -> Array:
        if self._bias is not None:
            scores += self._bias
        if self._penalties or self._ngram:
            histories = self._started_histories(scores.shape[1])
            if self._penalties:
                counts = np.stack([history.counts for history in histories])
                for penalty in self._penalties:
                    scores = penalty(scores, counts)
            if self._ngram:
                for row, history in zip(scores, histories, strict=True):
                    if repeats := history.repeats():
                        _ban_unless_all(row, repeats)
        if position in self._forced:
            forced = np.full_like(scores, -np.inf)
            forced[:, self._forced[position]] = 0
            return forced
        return scores

    def _started_histories(self, vocab_size: int) -> list[History]:
        if self._histories is None:
            window = self._settings.repetition_window
            self._histories = [History(vocab_size, window=window, ngram=self._ngram) for _ in self._sources]
            for history, source in zip(self._histories, self._sources, strict=True):
                history.extend(source.prompt_ids)
        return self._histories

    def _uniforms_at(self, position: int) -> Array:
        """(N, 1) numbers in [0, 1)."""
        block, column = divmod(position, BLOCK)
        if block != self._block:
            self._block, start = block, block * BLOCK
            self._uniforms = np.stack([uniforms(s.seed, s.stream, start, BLOCK) for s in self._sources])
        return self._uniforms[:, column, None]


def invert(weights: Array, uniform: Array) -> Array:
    """The token (N,) in whose part of the running total of `weights` (N, V) the share `uniform` (N, 1) falls.

    A token of weight 0 has no part, so it cannot be drawn.

    >>> invert(np.array([[0.0, 1.0, 0.0, 3.0]] * 3), np.array([[0.0], [0.24], [0.25]])).tolist()
    [1, 1, 3]
    """
    totals = weights.cumsum(axis=1)
    tokens: Array = (totals > uniform * totals[:, -1:]).argmax(axis=1)
    return tokens


def _ban_unless_all(row: Array, tokens: list[int]) -> None:
    """Rule out `tokens` in one row (V,), unless nothing would be left: then the rule gives way."""
    before = row[tokens]
    row[tokens] = -np.inf
    if row.max() == -np.inf:
        row[tokens] = before


def nothing_to_draw(position: int, *, broken: bool) -> Exception:
    """Why the draw at `position` failed: `broken` logits, or settings that rule out every token."""
    if broken:
        return ModelFileError(
            f"the logits are not numbers at token {position}; the weights are unusable, train the model again"
        )
    return UsageError(f"no symbol is left to draw at token {position}; loosen banned, allowed or logit_bias")
