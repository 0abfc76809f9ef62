"""Models of random weights: speed does not depend on what was learned."""

from __future__ import annotations

import string
from typing import Any

import numpy as np

from sonho.config import DataConfig, build_config
from sonho.storage.model_file import ModelFile
from sonho.storage.shapes import expected_shapes
from sonho.text import fit_tokenizer

# 82 symbols are 84 ids, with <pad> and <eos>: the vocabulary of the AG News titles.
SYMBOLS = string.ascii_letters + string.digits + " " + string.punctuation[:19]
VOCAB_SIZE = len(SYMBOLS) + 2


def random_model(symbols: str = SYMBOLS, **model: Any) -> ModelFile:
    """random_model(cell="gru", hidden_size=256, embedding_dim=64); every symbol is about equally likely."""
    tokenizer = fit_tokenizer([symbols], DataConfig())
    config = build_config({"model": model}).model
    rng = np.random.default_rng(0)
    shapes = expected_shapes(config, tokenizer.vocab_size)
    arrays = {name: rng.normal(0, 0.05, shape).astype(np.float32) for name, shape in shapes.items()}
    return ModelFile(config, tokenizer, "stream", arrays)
