"""Bytes of UTF-8 as tokens: 258 ids for every text there is, and nothing is ever unknown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sonho.config import Level, UnknownPolicy
from sonho.errors import DataError
from sonho.text.incremental import IncrementalDecoder, Utf8Decoder, as_ids
from sonho.text.steps import Steps
from sonho.text.strict import require_keys
from sonho.text.tokenizer import EOS, PAD, Tokenizer, check_policy, escape


class ByteTokenizer(Tokenizer):
    """Byte b has the id b + 1; 0 is `<pad>`, 257 is `<eos>`.

    >>> ByteTokenizer(Steps()).encode("né").tolist()
    [111, 196, 170]
    """

    level: Level = "byte"

    def __init__(self, steps: Steps) -> None:
        self.steps = replace(steps, raw_bytes=True)
        self.vocab_size = 258
        self.unk_id = None

    def encode(self, text: str, unknown: UnknownPolicy = "skip") -> np.ndarray:
        check_policy(unknown)
        return self._shifted(self.steps.apply(text))

    def encode_chunks(self, chunks: Iterable[str]) -> Iterator[np.ndarray]:
        return map(self._shifted, self.steps.apply_chunks(chunks))

    def unknown_in(self, text: str) -> list[str]:
        return []

    def decode(self, ids: ArrayLike) -> str:
        return self._to_bytes(ids).decode("utf-8", "replace")

    def decoder(self) -> IncrementalDecoder:
        return Utf8Decoder(self._to_bytes)

    def token_text(self, id: int) -> str:
        if not 0 <= id < self.vocab_size:
            raise DataError(f"token {id} is outside the vocabulary of {self.vocab_size}")
        if id in (self.pad_id, self.eos_id):
            return PAD if id == self.pad_id else EOS
        return display_bytes(bytes([id - 1]))

    def char_counts(self) -> np.ndarray:
        return np.array([0, *(starts_char(byte) for byte in range(256)), 1], np.int64)

    def byte_counts(self) -> np.ndarray:
        return np.array([0, *[1] * 256, 1], np.int64)

    def to_json(self) -> dict[str, Any]:
        return {"level": self.level, "steps": self.steps.to_json()}

    @classmethod
    def from_json(cls, values: Any) -> ByteTokenizer:
        """Rebuild from `to_json`. Raises DataError unless everything is as it should be."""
        values = require_keys(values, ("level", "steps"), "the byte tokenizer")
        return cls(Steps.from_json(values["steps"]))

    def _shifted(self, text: str) -> np.ndarray:
        ids = np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8).astype(self.dtype)
        ids += self.dtype.type(1)
        return ids

    def _to_bytes(self, ids: ArrayLike) -> bytes:
        given = as_ids(ids, self.vocab_size)
        plain = given[(given != self.pad_id) & (given != self.eos_id)]
        data: bytes = (plain - 1).astype(np.uint8).tobytes()
        return data


def starts_char(byte: int) -> bool:
    """Whether a byte begins a character in UTF-8, as all do but the continuations 10xxxxxx."""
    return byte & 0xC0 != 0x80


def display_bytes(data: bytes) -> str:
    """Bytes for display: text where they are whole characters, else \\\\xNN each.

    >>> display_bytes("é\\n".encode()), display_bytes(b"a\\xc3")
    ('é\\\\n', 'a\\\\xc3')
    """
    try:
        return escape(data.decode("utf-8"))
    except UnicodeDecodeError:
        return "".join(chr(b) if 0x20 <= b < 0x7F else f"\\x{b:02x}" for b in data)
