"""Continue on other text: a model whose vocabulary has grown by the symbols it did not know.

Shapes: V vocabulary, H hidden. A known symbol keeps its rows; a new one starts at their mean.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from sonho.config import DataConfig
from sonho.data.sources import iter_records, iter_text
from sonho.errors import UsageError
from sonho.storage.container import Arrays
from sonho.storage.model_file import ModelFile
from sonho.text import grow


def grown_model(start: ModelFile, paths: Sequence[str], config: DataConfig) -> ModelFile:
    """`start` with every symbol of the texts at `paths` in its vocabulary. Raises UsageError for an n-gram."""
    if start.model.cell == "ngram":
        raise UsageError("an n-gram model cannot be trained further; count both texts together instead")
    if "-" in paths:
        raise UsageError("--init reads the text twice, so it cannot come from standard input; give a file")
    chunks = iter_records(paths, config) if config.kind == "records" else iter_text(paths, config)
    tokenizer, origin = grow(start.tokenizer, chunks, config)
    generates = start.model.task == "generate"
    arrays = remap_symbols(start.arrays, origin, one_hot=not start.model.embedding_dim, generates=generates)
    return dataclasses.replace(start, tokenizer=tokenizer, arrays=arrays)


def remap_symbols(arrays: Arrays, origin: np.ndarray, *, one_hot: bool, generates: bool = True) -> Arrays:
    """Arrays for a vocabulary in which symbol i was symbol `origin[i]`, or is new where that is -1.

    `generates`: the output layer predicts symbols, not labels.
    """
    grown = dict(arrays)
    for name in ("embedding.weight", "output.weight", "output.bias") if generates else ("embedding.weight",):
        if name in arrays:
            grown[name] = _take(arrays[name], origin, axis=0)
    if one_hot:
        for name in ("layers.0.weight_ih", "reverse.0.weight_ih", "layers.0.weight"):
            if name in arrays:
                grown[name] = _take(arrays[name], origin, axis=-1)
    return grown


def _take(array: np.ndarray, origin: np.ndarray, axis: int) -> np.ndarray:
    old = np.moveaxis(array, axis, 0)
    # Row 0 is <pad>, which was never learned.
    mean = old[1:].mean(axis=0)
    new = np.where((origin >= 0).reshape(-1, *[1] * (old.ndim - 1)), old[np.maximum(origin, 0)], mean)
    return np.ascontiguousarray(np.moveaxis(new, 0, axis)).astype(np.float32)
