"""What every way to cut tokens into batches offers. Knows ids, not text.

A batch is a function of (epoch, index) and nothing else: resuming needs those two numbers.
Shapes: N texts side by side, T tokens each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

NO_TARGET = -100  # what the loss leaves out


@dataclass(frozen=True, eq=False)
class Batch:
    """Tokens to read and the tokens to predict."""

    inputs: np.ndarray  # (N, T) int64; pad_id behind the end of a record
    targets: np.ndarray  # (N, T) int64; -100 where nothing is predicted
    lengths: np.ndarray | None  # records: (N,) int64, tokens before the padding
    fresh: bool  # True: the state starts at zero; False: it goes on from the batch before
    num_tokens: int  # predicted
    labels: np.ndarray | None = None  # labelled records: (N,) int64
    sources: np.ndarray | None = None  # pairs: (N, S) int64, each ended by <eos>; pad_id behind it
    source_lengths: np.ndarray | None = None  # pairs: (N,) int64, <eos> included


class Batches(Protocol):
    """The batches of an epoch, each computed when it is asked for."""

    batch_size: int
    tokens_per_epoch: int  # predicted
    carries_state: bool
    notes: list[str]

    def steps_in(self, epoch: int) -> int:
        """Batches in this epoch."""
        ...

    def batch(self, epoch: int, index: int) -> Batch:
        """The batch at a place; IndexError from `steps_in(epoch)` on."""
        ...


def check_index(batches: Batches, epoch: int, index: int) -> None:
    """Raise IndexError for a place outside the epoch."""
    if not 0 <= index < batches.steps_in(epoch):
        raise IndexError(f"batch {index} of epoch {epoch}, which has {batches.steps_in(epoch)}")
