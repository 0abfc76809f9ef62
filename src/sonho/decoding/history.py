"""What stands in a row's text so far, kept up to date token by token for penalties and repeats."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from sonho.decoding.state import Array


class History:
    """The prompt's tokens and the drawn ones of one row.

    `counts` (V,) float64 counts the last `window` of them (all where window is 0). With `ngram` > 0
    it also remembers which token followed each run of ngram - 1 tokens.
    """

    def __init__(self, vocab_size: int, *, window: int = 0, ngram: int = 0) -> None:
        self.counts: Array = np.zeros(vocab_size)
        self._window, self._ngram = window, ngram
        self._ids: list[int] = []
        self._followers: defaultdict[tuple[int, ...], set[int]] = defaultdict(set)

    def extend(self, ids: Iterable[int]) -> None:
        for token in ids:
            self.push(token)

    def push(self, token: int) -> None:
        if self._ngram and len(self._ids) >= self._ngram - 1:
            self._followers[self._recent()].add(token)
        self._ids.append(token)
        self.counts[token] += 1
        if self._window and len(self._ids) > self._window:
            self.counts[self._ids[-1 - self._window]] -= 1

    def repeats(self) -> list[int]:
        """Tokens that would now complete an n-gram that is already there.

        >>> history = History(9, ngram=2)
        >>> history.extend([5, 7, 5])
        >>> history.repeats()
        [7]
        """
        if not self._ngram or len(self._ids) < self._ngram - 1:
            return []
        return sorted(self._followers.get(self._recent(), ()))

    def _recent(self) -> tuple[int, ...]:
        return tuple(self._ids[len(self._ids) - self._ngram + 1 :])
