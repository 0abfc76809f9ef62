"""What the tests of this room share: small files, the corpora where they are at hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sonho.data.parts import MemoryStore, Part
from sonho.text import Tokenizer


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes | str], Path]:
    """Write a file into the test's folder."""

    def write_file(name: str, content: bytes | str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


@pytest.fixture
def text_of() -> Callable[[Part, Tokenizer], str]:
    """The text of a split."""
    return lambda part, tokenizer: tokenizer.decode(part.tokens.read(0, len(part.tokens)))


@pytest.fixture
def texts_of() -> Callable[[Part, Tokenizer], list[str]]:
    """The text of each record of a split; every record is seen to end with <eos>."""

    def decode(part: Part, tokenizer: Tokenizer) -> list[str]:
        tokens, offsets = part.tokens.read(0, len(part.tokens)), part.offsets.tolist()
        assert all(tokens[end - 1] == tokenizer.eos_id for end in offsets[1:])
        return [tokenizer.decode(tokens[a:b]) for a, b in itertools.pairwise(offsets)]

    return decode


@pytest.fixture
def stream_part() -> Callable[[int], Part]:
    """A text whose token at each place is the place."""
    return lambda count: Part(MemoryStore(np.arange(count, dtype=np.uint32)), None, count, count)


@pytest.fixture
def records_part() -> Callable[[list[int], int], Part]:
    """Records of given lengths, <eos> included, whose tokens count up so that each can be told apart."""

    def make(lengths: list[int], eos_id: int) -> Part:
        tokens = np.arange(1, sum(lengths) + 1, dtype=np.uint32)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        tokens[offsets[1:] - 1] = eos_id
        return Part(MemoryStore(tokens), offsets, len(tokens), len(tokens))

    return make
