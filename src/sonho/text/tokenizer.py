"""What every tokenizer offers, whatever its level. Knows ids and text, not files.

Ids: `<pad>` is 0, the symbols follow from 1, `<unk>` (where there is one) is the last but one, `<eos>` the
last of the V ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, get_args

import numpy as np
from numpy.typing import ArrayLike

from sonho.config import DataKind, Level, UnknownPolicy
from sonho.errors import UsageError
from sonho.text.incremental import IncrementalDecoder
from sonho.text.steps import Steps

PAD, UNK, EOS = "<pad>", "<unk>", "<eos>"


class Tokenizer(Protocol):
    """Strings to ids and back. A value: encoding changes nothing in it."""

    level: Level
    vocab_size: int
    unk_id: int | None
    steps: Steps

    @property
    def pad_id(self) -> int:
        """The filler behind short records; never drawn."""
        return 0

    @property
    def eos_id(self) -> int:
        """The end of a record."""
        return self.vocab_size - 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned integers that hold every id."""
        return np.dtype(np.uint16 if self.vocab_size <= 65535 else np.uint32)

    def encode(self, text: str, unknown: UnknownPolicy = "skip") -> np.ndarray:
        """The ids of a text, shape (tokens,) of `dtype`, after the tokenizer's steps.

        A symbol outside the vocabulary becomes, with "nearest", a known one that differs only in case,
        accent or compatibility form; failing that, `<unk>` if there is one; failing that, nothing, or with
        "error" a DataError that names it.
        """
        ...

    def encode_chunks(self, chunks: Iterable[str]) -> Iterator[np.ndarray]:
        """The same for a long text that arrives in chunks, in little memory; joined, it equals `encode`.

        Only of a stretch of 4096 characters without a letter or white space may a subword tokenizer
        choose other pieces, where the border of two chunks falls into it.
        """
        ...

    def unknown_in(self, text: str) -> list[str]:
        """The distinct symbols of the text that the vocabulary lacks, in order of appearance."""
        ...

    def decode(self, ids: ArrayLike) -> str:
        """The text of ids; `<pad>` and `<eos>` are left out, `<unk>` is written as such."""
        ...

    def decoder(self) -> IncrementalDecoder:
        """A decoder for ids that arrive bit by bit."""
        ...

    def token_text(self, id: int) -> str:
        """One token for display: control characters as escapes, special tokens in brackets."""
        ...

    def char_counts(self) -> np.ndarray:
        """Characters that each token stands for, shape (V,).

        `<eos>` counts 1, the newline it replaces; `<unk>` counts 1, as its length is not known.
        """
        ...

    def byte_counts(self) -> np.ndarray:
        """UTF-8 bytes that each token stands for, shape (V,); `<eos>` and `<unk>` as in `char_counts`."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Plain values for a model file, free of paths; `tokenizer_from_json` reads them back."""
        ...


def masked_ids(tokenizer: Tokenizer, data_kind: DataKind) -> list[int]:
    """Ids that can be neither drawn nor scored: `<pad>`, and `<eos>` where texts have no ends."""
    if data_kind == "records":
        return [tokenizer.pad_id]
    return [tokenizer.pad_id, tokenizer.eos_id]


def check_policy(unknown: str) -> None:
    """Raise UsageError unless this is a way to treat unknown symbols."""
    if unknown not in get_args(UnknownPolicy):
        raise UsageError(f"unknown = {unknown!r}; choose from {', '.join(get_args(UnknownPolicy))}")


def escape(text: str) -> str:
    """A text on one line: what cannot be seen is written as a Python escape.

    >>> escape("a b\\n")
    'a b\\\\n'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
