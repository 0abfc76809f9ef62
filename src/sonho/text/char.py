"""Characters as tokens: every Unicode code point is a symbol. Fast, and blind to grapheme clusters.

All loops over characters run in NumPy, by a table from code points to ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sonho.config import Level, UnknownPolicy
from sonho.text.cutting import BLOCK_CHARS, in_blocks
from sonho.text.incremental import IncrementalDecoder, WholeDecoder, as_ids
from sonho.text.nearest import nearest_chars
from sonho.text.steps import Steps
from sonho.text.strict import require_keys
from sonho.text.tokenizer import UNK, Tokenizer, check_policy
from sonho.text.vocabulary import Vocabulary, unknown_error

# Stands for <unk> while ids are turned into code points. A lone surrogate cannot be a symbol.
_UNK_CODE = 0xDC00


class CharTokenizer(Tokenizer):
    """Code points to ids by one table lookup.

    >>> tokenizer = CharTokenizer(Vocabulary(("a", "b"), has_unk=False), Steps())
    >>> tokenizer.encode("abba").tolist(), tokenizer.decode([2, 1, 3])
    ([1, 2, 2, 1], 'ba')
    """

    level: Level = "char"

    def __init__(self, vocabulary: Vocabulary, steps: Steps) -> None:
        self.vocabulary = vocabulary
        self.steps = steps
        self.vocab_size = vocabulary.size
        self._decoder = WholeDecoder(self.decode)
        self.unk_id = vocabulary.unk_id
        codes = np.array([ord(symbol) for symbol in vocabulary.symbols], np.int64)
        # 0, the id of <pad>, marks unknown code points; the last entry is the one that larger ones fall on.
        self._ids = np.zeros(int(codes.max()) + 2, self.dtype)
        self._ids[codes] = np.arange(1, len(codes) + 1)
        self._codes = np.full(self.vocab_size, _UNK_CODE, "<u4")
        self._codes[1 : len(codes) + 1] = codes

    def encode(self, text: str, unknown: UnknownPolicy = "skip") -> np.ndarray:
        check_policy(unknown)
        text = self.steps.apply(text)
        ids = self._look_up(text)  # (characters,)
        if ids.all():
            return ids
        if unknown == "nearest":
            known = self.vocabulary.ids
            text = text.translate({ord(c): nearest_chars(c, known) or c for c in self._missing(text, ids)})
            ids = self._look_up(text)
        elif unknown == "error" and self.unk_id is None:
            raise unknown_error(self._missing(text, ids))
        return self._settle(ids)

    def encode_chunks(self, chunks: Iterable[str]) -> Iterator[np.ndarray]:
        for piece in self.steps.apply_chunks(chunks):
            yield self._settle(self._look_up(piece))

    def unknown_in(self, text: str) -> list[str]:
        text = self.steps.apply(text)
        return self._missing(text, self._look_up(text))

    def decode(self, ids: ArrayLike) -> str:
        given = as_ids(ids, self.vocab_size)
        special = (given == self.pad_id) | (given == self.eos_id)
        codes = self._codes[given[~special] if special.any() else given]
        text: str = codes.tobytes().decode("utf-32-le", "surrogatepass")
        return text.replace(chr(_UNK_CODE), UNK) if self.unk_id is not None else text

    def decoder(self) -> IncrementalDecoder:
        return self._decoder

    def token_text(self, id: int) -> str:
        return self.vocabulary.token_text(id)

    def char_counts(self) -> np.ndarray:
        return self.vocabulary.char_counts()

    def byte_counts(self) -> np.ndarray:
        return self.vocabulary.byte_counts()

    def to_json(self) -> dict[str, Any]:
        return {"level": self.level, "steps": self.steps.to_json(), **self.vocabulary.to_json()}

    @classmethod
    def from_json(cls, values: Any) -> CharTokenizer:
        """Rebuild from `to_json`. Raises DataError unless everything is as it should be."""
        values = require_keys(values, ("level", "steps", "symbols", "unk"), "the char tokenizer")
        vocabulary = Vocabulary.from_json(values["symbols"], values["unk"], longest=1)
        return cls(vocabulary, Steps.from_json(values["steps"]))

    def _look_up(self, text: str) -> np.ndarray:
        """Ids of the characters, 0 where unknown; shape (characters,)."""
        ids = np.empty(len(text), self.dtype)
        for start in range(0, len(text), BLOCK_CHARS):
            codes = code_points(text[start : start + BLOCK_CHARS])
            np.take(self._ids, codes, mode="clip", out=ids[start : start + BLOCK_CHARS])
        return ids

    def _settle(self, ids: np.ndarray) -> np.ndarray:
        if ids.all():
            return ids
        if self.unk_id is None:
            known: np.ndarray = ids[ids != 0]
            return known
        ids[ids == 0] = self.unk_id
        return ids

    def _missing(self, text: str, ids: np.ndarray) -> list[str]:
        codes = code_points(text)[ids == 0]
        return [chr(code) for code in _in_order_of_appearance(codes)]


def code_points(text: str) -> np.ndarray:
    """The code points of a text without surrogates, shape (characters,), uint8 or uint32.

    >>> code_points("aж").tolist()
    [97, 1078]
    """
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


def count_chars(pieces: Iterable[str]) -> dict[str, int]:
    """How often each character occurs, in order of first appearance.

    One pass in bounded memory (about 30 MB, whatever the text).

    >>> count_chars(["banana"])
    {'b': 1, 'a': 3, 'n': 2}
    """
    counts = np.zeros(0x110000, np.int64)
    order: list[int] = []
    for block in in_blocks(pieces):
        codes = code_points(block)
        found = np.bincount(codes)  # (largest code point + 1,)
        is_new = (found > 0) & (counts[: len(found)] == 0)
        if is_new.any():
            order.extend(_in_order_of_appearance(codes[is_new[codes]]))
        counts[: len(found)] += found
    return {chr(code): int(counts[code]) for code in order}


def _in_order_of_appearance(codes: np.ndarray) -> list[int]:
    distinct, first = np.unique(codes, return_index=True)
    ordered: list[int] = distinct[np.argsort(first)].tolist()
    return ordered
