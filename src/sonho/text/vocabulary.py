"""The list of known symbols and their ids, for the levels that have one (char and word).

Knows symbols as strings and how often they were seen, not how a text is cut into them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sonho.errors import DataError, UsageError
from sonho.text.strict import require_bool, require_list
from sonho.text.tokenizer import EOS, PAD, UNK, escape

MOST_SYMBOLS = 10_000_000


@dataclass(frozen=True)
class Vocabulary:
    """Symbols in the order of their ids, which begin at 1; 0 is `<pad>`, `<eos>` is the last.

    >>> Vocabulary(("a", "b"), has_unk=True).names
    ['<pad>', 'a', 'b', '<unk>', '<eos>']
    """

    symbols: tuple[str, ...]
    has_unk: bool

    @property
    def size(self) -> int:
        """V, special tokens included."""
        return len(self.symbols) + 2 + self.has_unk

    @property
    def unk_id(self) -> int | None:
        """The id that unknown symbols get, or None where they have none."""
        return self.size - 2 if self.has_unk else None

    @cached_property
    def ids(self) -> dict[str, int]:
        """Symbol to id."""
        return {symbol: id for id, symbol in enumerate(self.symbols, start=1)}

    @cached_property
    def names(self) -> list[str]:
        """Every id's text, special tokens included, length V."""
        return [PAD, *self.symbols, *([UNK] if self.has_unk else []), EOS]

    def token_text(self, id: int) -> str:
        """One id for display."""
        if not 0 <= id < self.size:
            raise DataError(f"token {id} is outside the vocabulary of {self.size}")
        return escape(self.names[id])

    def char_counts(self) -> np.ndarray:
        """Characters of each token, shape (V,)."""
        return self._with_specials([len(symbol) for symbol in self.symbols])

    def byte_counts(self) -> np.ndarray:
        """UTF-8 bytes of each token, shape (V,)."""
        return self._with_specials([len(symbol.encode("utf-8")) for symbol in self.symbols])

    def _with_specials(self, counts: list[int]) -> np.ndarray:
        return np.array([0, *counts, *([1] if self.has_unk else []), 1], np.int64)

    def to_json(self) -> dict[str, Any]:
        """Plain values: the symbols in the order of their ids."""
        return {"symbols": list(self.symbols), "unk": self.has_unk}

    @classmethod
    def from_json(cls, symbols: Any, has_unk: Any, *, longest: int) -> Vocabulary:
        """Rebuild from plain values; a symbol has at most `longest` characters. Raises DataError."""
        symbols = require_list(symbols, MOST_SYMBOLS, "the vocabulary")
        for symbol in symbols:
            if not isinstance(symbol, str) or not 1 <= len(symbol) <= longest or not is_unicode(symbol):
                raise DataError(f"the vocabulary holds {repr(symbol)[:40]}, which is no symbol; the file is damaged")
        if not symbols or len(set(symbols)) < len(symbols):
            problem = "holds a symbol twice" if symbols else "is empty"
            raise DataError(f"the vocabulary {problem}; the file is damaged")
        return cls(tuple(symbols), require_bool(has_unk, "the vocabulary's unk"))


def build_vocabulary(
    counts: Mapping[str, int], *, max_vocab: int = 0, min_count: int = 1, always_unk: bool = False
) -> Vocabulary:
    """Order symbols by falling count and cut the list to `max_vocab` ids (0 = all).

    `counts` is in order of first appearance, which decides ties. `<unk>` exists where something was cut
    off, or always on demand.

    >>> build_vocabulary({"a": 1, "b": 3, "c": 1}).symbols
    ('b', 'a', 'c')
    """
    return extend_vocabulary(Vocabulary((), always_unk), counts, max_vocab=max_vocab, min_count=min_count)


def extend_vocabulary(
    vocabulary: Vocabulary, counts: Mapping[str, int], *, max_vocab: int = 0, min_count: int = 1
) -> Vocabulary:
    """Add the symbols of `counts` that are new behind the old ones, which keep their ids."""
    new = [symbol for symbol, count in counts.items() if symbol not in vocabulary.ids and count >= min_count]
    new.sort(key=counts.__getitem__, reverse=True)  # stable: ties stay in order of appearance
    has_unk = vocabulary.has_unk or len(new) < sum(symbol not in vocabulary.ids for symbol in counts)
    old = len(vocabulary.symbols)
    if max_vocab and new and old + len(new) + 2 + has_unk > max_vocab:
        has_unk = True
        new = new[: max(0, max_vocab - 3 - old)]
    if not old and not new:
        raise _nothing_left(counts, max_vocab, min_count)
    return Vocabulary((*vocabulary.symbols, *new), has_unk)


def _nothing_left(counts: Mapping[str, int], max_vocab: int, min_count: int) -> Exception:
    if not counts:
        return DataError("the text is empty, so there is no vocabulary to learn; give a text with letters in it")
    if 0 < max_vocab < 4:
        return UsageError(f"max_vocab = {max_vocab} leaves no room beside the special tokens; give at least 4")
    return DataError(
        f"no symbol was seen min_count = {min_count} times (at most {max(counts.values())}); lower min_count"
    )


def id_map(old: Vocabulary, new: Vocabulary) -> np.ndarray:
    """For each id of `new` the same symbol's id in `old`, or -1; shape (V_new,) int64."""
    symbols = [old.ids.get(symbol, -1) for symbol in new.symbols]
    unk = [-1 if old.unk_id is None else old.unk_id] if new.has_unk else []
    return np.array([0, *symbols, *unk, old.size - 1], np.int64)


def unknown_error(symbols: Sequence[str]) -> DataError:
    """The error that names symbols a vocabulary lacks."""
    shown = ", ".join(repr(symbol) for symbol in symbols[:10]) + (", ..." if len(symbols) > 10 else "")
    return DataError(
        f"the vocabulary lacks {len(symbols)} symbol{'s' * (len(symbols) > 1)} of the text: {shown}; "
        "leave them out, or choose the policy 'skip' or 'nearest'"
    )


def is_unicode(text: str) -> bool:
    """Whether a string holds whole characters only, no lone surrogate."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
