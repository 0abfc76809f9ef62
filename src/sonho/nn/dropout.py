"""Two kinds of dropout on a sequence (N, T, D), `standard` per position and `locked` per window; and one of weights."""

from __future__ import annotations

import torch
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


def weight_mask(weight: Tensor, share: float) -> tuple[Tensor, float]:
    """Which entries of `weight` (R, C) are kept, (R, C) of bool, and what the kept ones are multiplied with.

    The share is one of 256ths: of a word of chance each byte decides for one entry. One number an entry, as
    `F.dropout` draws them, took a sixth of a training step.
    """
    least = min(round(256 * share), 255)
    words = torch.empty(-(-weight.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
    kept = words.view(torch.uint8)[: weight.numel()].view(weight.shape) >= least
    return kept.to(weight.device), 256 / (256 - least)
