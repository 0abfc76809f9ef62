"""One long text as columns read side by side, so that the state is carried from window to window."""

from __future__ import annotations

import numpy as np

from sonho.data.batch import Batch, check_index
from sonho.data.parts import Part
from sonho.data.shuffle import derive_key


def fit_sizes(num_tokens: int, batch_size: int, bptt: int) -> tuple[int, int]:
    """The batch size and window that a text has room for, no larger than asked.

    A text needs batch_size * bptt tokens, and bptt more so that the start can shift.

    >>> fit_sizes(1_003_854, 64, 64), fit_sizes(180, 64, 64)
    ((64, 64), (3, 45))
    """
    if (batch_size + 1) * bptt <= num_tokens:
        return batch_size, bptt
    bptt = max(1, min(bptt, num_tokens // 4))
    return max(1, min(batch_size, num_tokens // bptt - 1)), bptt


class StreamBatches:
    """N columns of the text, each read in windows of `bptt`; every epoch starts a little later.

    The shift, below bptt and drawn from (seed, epoch), moves the borders of the windows, at
    which gradients are cut. What a whole window does not cover at the end of a column is left out.
    """

    carries_state = True

    def __init__(self, part: Part, batch_size: int, bptt: int, seed: int) -> None:
        self.part, self.seed = part, seed
        self.batch_size, self.bptt = fit_sizes(part.num_tokens, batch_size, bptt)
        self._column = (part.num_tokens - self.bptt) // self.batch_size  # tokens in a column, whatever the shift
        self._steps = self._column // self.bptt
        self.tokens_per_epoch = self._steps * self.batch_size * self.bptt
        self.notes = []
        if (self.batch_size, self.bptt) != (batch_size, bptt):
            self.notes.append(
                f"{part.num_tokens:,} tokens are too few for batches of {batch_size} texts x {bptt} steps: "
                f"the batches are {self.batch_size} x {self.bptt}"
            )

    def steps_in(self, epoch: int) -> int:
        return self._steps

    def batch(self, epoch: int, index: int) -> Batch:
        check_index(self, epoch, index)
        shift = derive_key("stream", self.seed, epoch) % self.bptt
        starts = shift + index * self.bptt + np.arange(self.batch_size) * self._column  # (N,)
        tokens = self.part.tokens.gather(starts, self.bptt + 1).astype(np.int64)  # (N, T + 1)
        return Batch(
            inputs=np.ascontiguousarray(tokens[:, :-1]),
            targets=np.ascontiguousarray(tokens[:, 1:]),
            lengths=None,
            fresh=index == 0,
            num_tokens=self.batch_size * self.bptt,
        )
