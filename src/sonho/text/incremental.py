"""Decoding while tokens arrive, so that a stream never shows half a character.

Knows ids and text; where the ids come from is somebody else's matter.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from sonho.errors import DataError


class IncrementalDecoder(Protocol):
    """Takes ids bit by bit; the pieces it gives, joined, equal `decode` of all ids."""

    def push(self, ids: ArrayLike) -> str:
        """Text of whole characters that became certain with these ids; may be empty."""
        ...

    def flush(self) -> str:
        """What is still held back: U+FFFD for a character that never became whole, or nothing."""
        ...


class WholeDecoder:
    """For levels whose every token is whole characters: nothing is ever held back, so any number of texts share one.

    `texts` is what each token reads, wherever it stands.
    """

    def __init__(self, decode: Callable[[ArrayLike], str]) -> None:
        self._decode = decode
        self.texts: dict[int, str] = _Texts(decode)

    def push(self, ids: ArrayLike) -> str:
        return self._decode(ids)

    def flush(self) -> str:
        return ""


class _Texts(dict[int, str]):
    """Found out when a token is first asked for."""

    def __init__(self, decode: Callable[[ArrayLike], str]) -> None:
        super().__init__()
        self._decode = decode

    def __missing__(self, token: int) -> str:
        self[token] = text = self._decode((token,))
        return text


class Utf8Decoder:
    """For levels whose tokens are bytes: an unfinished UTF-8 sequence waits for its end."""

    def __init__(self, to_bytes: Callable[[ArrayLike], bytes]) -> None:
        self._to_bytes = to_bytes
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, ids: ArrayLike) -> str:
        return self._utf8.decode(self._to_bytes(ids))

    def flush(self) -> str:
        rest = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        return rest


def as_ids(ids: ArrayLike, vocab_size: int) -> np.ndarray:
    """Any ids as a 1-D integer array; raises DataError where one is outside the vocabulary."""
    array = np.asarray(ids).reshape(-1)
    if not array.size:
        return np.zeros(0, np.int64)
    if array.dtype.kind not in "iu":
        raise DataError(f"token ids must be whole numbers, got {array.dtype}")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= vocab_size:
        wrong = low if low < 0 else high
        raise DataError(
            f"token {wrong} is outside the vocabulary of {vocab_size}; use the tokenizer saved with the model"
        )
    return array
