"""Overlapping pieces of one long text, the notebook style, cut when they are asked for."""

from __future__ import annotations

from typing import Literal

import numpy as np

from sonho.data.batch import NO_TARGET, Batch, check_index
from sonho.data.parts import Part
from sonho.data.shuffle import derive_key, permuted


def count_windows(num_tokens: int, window: int, stride: int) -> int:
    """Windows that have a token behind them to predict.

    >>> count_windows(600_893, window=60, stride=3)
    200278
    """
    return len(range(0, num_tokens - window, stride))


class WindowBatches:
    """Pieces of `window` tokens, one every `stride`, in an order drawn from (seed, epoch)."""

    carries_state = False

    def __init__(
        self, part: Part, batch_size: int, window: int, stride: int, objective: Literal["all", "last"], seed: int
    ) -> None:
        self.part, self.stride, self.objective, self.seed = part, stride, objective, seed
        self.window = min(window, max(1, part.num_tokens // 2))
        self.num_windows = count_windows(part.num_tokens, self.window, stride)
        self.batch_size = max(1, min(batch_size, self.num_windows))
        self.tokens_per_epoch = self.num_windows * (1 if objective == "last" else self.window)
        self.notes = []
        if self.window < window:
            self.notes.append(f"{part.num_tokens:,} tokens are too few for windows of {window}: they are {self.window}")
        if self.batch_size < batch_size:
            self.notes.append(f"{self.num_windows:,} windows make one batch of {self.batch_size}, not of {batch_size}")

    def steps_in(self, epoch: int) -> int:
        return -(-self.num_windows // self.batch_size)

    def batch(self, epoch: int, index: int) -> Batch:
        check_index(self, epoch, index)
        first = index * self.batch_size
        places = np.arange(first, min(first + self.batch_size, self.num_windows))
        key = derive_key("windows", self.seed, epoch)
        starts = permuted(places, self.num_windows, key) * self.stride  # (N,)
        tokens = self.part.tokens.gather(starts, self.window + 1).astype(np.int64)  # (N, T + 1)
        targets = tokens[:, 1:].copy()  # one row alone would stay a view, and the next line write into the inputs
        if self.objective == "last":
            targets[:, :-1] = NO_TARGET
        return Batch(
            inputs=np.ascontiguousarray(tokens[:, :-1]),
            targets=targets,
            lengths=None,
            fresh=True,
            num_tokens=len(starts) * (1 if self.objective == "last" else self.window),
        )
