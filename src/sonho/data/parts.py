"""One split of the data as token ids: where they lie, and where its records begin. Knows ids, not text."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

PIECE_BYTES = 64 << 20  # of a shard, and of each hashed piece: ids in memory and on disk have one digest


class TokenStore(Protocol):
    """A long row of ids, in memory or in files."""

    dtype: np.dtype

    @property
    def digest(self) -> str:
        """SHA-256 over the SHA-256 of each 64 MB."""
        ...

    def __len__(self) -> int: ...

    def read(self, start: int, stop: int) -> np.ndarray:
        """Ids start..stop-1, shape (stop - start,); like a slice, shorter at the end."""
        ...

    def gather(self, starts: np.ndarray, length: int) -> np.ndarray:
        """The `length` ids from each start, shape (N, length); places past the end hold any id."""
        ...


class MemoryStore:
    """Ids in one array; `one_file` has them hashed as `ShardWriter` does under that name."""

    def __init__(self, tokens: np.ndarray, *, one_file: bool = False) -> None:
        self.tokens = tokens  # (L,)
        self.dtype = tokens.dtype
        self._one_file = one_file

    @cached_property
    def digest(self) -> str:
        return _digest(self.tokens, max(self.tokens.nbytes, self.dtype.itemsize) if self._one_file else PIECE_BYTES)

    def __len__(self) -> int:
        return len(self.tokens)

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.tokens[start:stop]

    def gather(self, starts: np.ndarray, length: int) -> np.ndarray:
        places = starts[:, None] + np.arange(length)  # (N, length)
        return self.tokens.take(places, mode="clip")


@dataclass(frozen=True, eq=False)
class Part:
    """One split, tokenised."""

    tokens: TokenStore
    offsets: np.ndarray | None  # records: (R+1,) int64 into tokens; every record ends with <eos>. None: one text
    num_chars: int  # of the text that the tokens stand for; the end of a record counts as one newline
    num_bytes: int  # the same in UTF-8
    num_unknown: int = 0  # <unk> tokens among them
    unknown: tuple[str, ...] = ()  # the first distinct symbols that the tokenizer left out
    num_cut: int = 0  # records that were cut short
    digest: str = ""  # SHA-256 of the tokens, the offsets and the labels
    labels: np.ndarray | None = None  # (R,) int64: labelled records, into the corpus's label_names; or numbers of items
    tags: np.ndarray | None = None  # labelled tokens: (L,) int64 into label_names, -100 where there is none
    source: Part | None = None  # pairs: the texts of which these are the translations, record for record

    @property
    def num_tokens(self) -> int:
        return len(self.tokens)

    @property
    def num_records(self) -> int:
        return 0 if self.offsets is None else len(self.offsets) - 1

    @property
    def num_predicted(self) -> int:
        """Tokens that are predicted in one pass: all but the first of a text, all of each record."""
        return self.num_tokens if self.offsets is not None else max(self.num_tokens - 1, 0)


def joined(first: Part, second: Part) -> Part:
    """Both parts as one, in memory: the second's text or records after the first's, without labels."""
    offsets = None
    if first.offsets is not None and second.offsets is not None:
        offsets = np.concatenate([first.offsets, second.offsets[1:] + first.num_tokens])
    tokens = np.concatenate([part.tokens.read(0, part.num_tokens) for part in (first, second)])
    return Part(MemoryStore(tokens), offsets, first.num_chars + second.num_chars, first.num_bytes + second.num_bytes)


def part_digest(tokens: str, offsets: str | None, labels: str | None = None) -> str:
    """The digest of a split from those of its ids and, for records, its offsets and its labels."""
    return hashlib.sha256(f"{tokens} {offsets or ''}{f' {labels}' if labels else ''}".encode()).hexdigest()


def _digest(tokens: np.ndarray, piece_bytes: int) -> str:
    whole = hashlib.sha256()
    step = piece_bytes // tokens.dtype.itemsize
    for start in range(0, len(tokens), step):
        piece = np.ascontiguousarray(tokens[start : start + step], dtype=tokens.dtype.newbyteorder("<"))
        whole.update(hashlib.sha256(piece.data).digest())
    return whole.hexdigest()
