"""Small parts and random networks to score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from sonho.config import Cell, DataConfig, DataKind, ModelConfig
from sonho.data.parts import MemoryStore, Part
from sonho.storage.model_file import ModelFile
from sonho.storage.shapes import expected_shapes
from sonho.text import Tokenizer, fit_tokenizer

SHAKESPEARE = Path(__file__).parents[3] / "shared/data/tinyshakespeare/input.txt"


@pytest.fixture
def stream() -> Callable[..., Part]:
    """A part that is one long text, from its ids."""

    def make(ids: Sequence[int] | np.ndarray) -> Part:
        return Part(MemoryStore(np.asarray(ids, np.uint16)), None, len(ids), len(ids))

    return make


@pytest.fixture
def records() -> Callable[..., Part]:
    """A part of records, from lists of ids that do not end with <eos> yet."""

    def make(lists: Sequence[Sequence[int]], eos_id: int) -> Part:
        tokens = np.array([i for ids in lists for i in [*ids, eos_id]], np.uint16)
        offsets = np.cumsum([0, *(len(ids) + 1 for ids in lists)], dtype=np.int64)
        return Part(MemoryStore(tokens), offsets, len(tokens), len(tokens))

    return make


@pytest.fixture
def letters() -> Tokenizer:
    """a, b, c and newline: ids 1 to 4 of V = 6."""
    return fit_tokenizer(["aaaabbbcc\n"], DataConfig())


@pytest.fixture
def network(letters: Tokenizer) -> Callable[..., ModelFile]:
    """A network with random weights, large enough that what it saw before matters."""

    def make(cell: Cell = "gru", kind: DataKind = "stream", window: int = 0) -> ModelFile:
        config = ModelConfig(cell=cell, hidden_size=7, num_layers=2)
        rng = np.random.default_rng(3)
        shapes = expected_shapes(config, letters.vocab_size)
        arrays = {name: rng.normal(scale=0.6, size=shape).astype(np.float32) for name, shape in shapes.items()}
        return ModelFile(config, letters, kind, arrays, window=window)

    return make


@pytest.fixture(scope="session")
def shakespeare() -> str:
    if not SHAKESPEARE.exists():
        pytest.skip("corpora folder ../shared/data is absent")
    return SHAKESPEARE.read_text(encoding="utf-8")
