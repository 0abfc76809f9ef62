"""Weights rounded to 8 bits, as libsonho does with `weights="int8"`, for the twin that knows float32 only."""

from __future__ import annotations

import numpy as np

from sonho.config import ModelConfig
from sonho.decoding.network import fits_a_table
from sonho.decoding.state import Array

MOST = 127.0


def round_weights(config: ModelConfig, arrays: dict[str, Array]) -> dict[str, Array]:
    """The arrays with every matrix rounded that a vector is multiplied with. Tables of symbols stay as they are."""
    first_takes_ids = "embedding.weight" not in arrays or fits_a_table(arrays)
    rounded = dict(arrays)
    for index in range(config.num_layers):
        for name in ("weight_ih", "weight_hh", "weight"):
            key = f"layers.{index}.{name}"
            if key in arrays and not (index == 0 and first_takes_ids and name != "weight_hh"):
                rounded[key] = round_rows(arrays[key])
    rounded["output.weight"] = round_rows(arrays["embedding.weight" if config.tied else "output.weight"])
    return rounded


def round_rows(weight: Array) -> Array:
    """Each row (M, ...) to whole multiples of 1/127 of its largest number.

    >>> (round_rows(np.array([[1.27, 0.504, 0.004]], np.float32)) * 100).round().tolist()
    [[127.0, 50.0, 0.0]]
    """
    flat = weight.reshape(len(weight), -1)
    scales = np.abs(flat).max(axis=1, keepdims=True) / np.float32(MOST)
    steps = np.divide(flat, scales, out=np.zeros_like(flat), where=scales > 0)
    rounded: Array = (np.trunc(steps + np.copysign(np.float32(0.5), steps)) * scales).reshape(weight.shape)
    return rounded
