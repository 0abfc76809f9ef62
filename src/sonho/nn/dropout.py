"""Two kinds of dropout on a sequence (N, T, D): `standard` per position, `locked` per window."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def drop(inputs: Tensor, share: float, kind: str, training: bool) -> Tensor:
    """Zero `share` of the entries and scale up the rest; `locked` uses one mask for all T (Gal 2016)."""
    if not training or share == 0:
        return inputs
    if kind == "standard":
        return F.dropout(inputs, share)
    return inputs * dropout_mask(inputs, share, kind)


def dropout_mask(inputs: Tensor, share: float, kind: str) -> Tensor:
    """What `drop` multiplies `inputs` (N, T, D) with, drawn alike: (N, T, D), or (N, 1, D) where it is locked."""
    steps = inputs.shape[1] if kind == "standard" else 1
    return F.dropout(inputs.new_ones(inputs.shape[0], steps, inputs.shape[2]), share)
