"""Reading backwards: each row turned round within its own length. Knows arrays, not layers."""

from __future__ import annotations

import torch
from torch import Tensor


def turn(values: Tensor, lengths: Tensor) -> Tensor:
    """Rows (N, T) or (N, T, D) with their first `lengths` (N,) places in reverse; what stands behind stays there.

    Turning twice gives the rows again. The twin without torch is in decoding/encoder.py.
    """
    places = turned_places(lengths, values.shape[1])  # (N, T)
    if values.dim() == 2:
        return values.gather(1, places)
    return values.gather(1, places[:, :, None].expand_as(values))


def turned_places(lengths: Tensor, steps: int) -> Tensor:
    """Where each place of a turned row comes from, (N, T)."""
    places = torch.arange(steps, device=lengths.device)[None]  # (1, T)
    return torch.where(places < lengths[:, None], lengths[:, None] - 1 - places, places)
