"""Large buffers that are used again, for what a forward pass keeps for the backward pass.

A new buffer of tens of megabytes comes from the system page by page, each cleared at its first touch,
and goes back when it is freed: every step pays again, up to a fifth of its time.
"""

from __future__ import annotations

import weakref

import torch
from torch import Tensor

# Below this many floats the allocator's own memory serves as well.
SMALL = 1 << 18

_free: list[Tensor] = []


def borrow(*shape: int) -> Tensor:
    """An uninitialised float32 tensor whose memory is used again once nothing refers to it any more.

    Whoever holds the tensor, a graph for instance, keeps it: two windows at once have two buffers.
    """
    size = 1
    for length in shape:
        size *= length
    if size < SMALL:
        return torch.empty(shape)
    buffer = next((each for each in _free if each.numel() >= size), None)
    if buffer is None:
        _free.clear()  # all too small, so a longer window has come: they would only be in the way
        buffer = torch.empty(size)
    else:
        _free[:] = [each for each in _free if each is not buffer]
    loan = buffer.numpy()[:size]
    weakref.finalize(loan, _free.append, buffer).atexit = False
    return torch.from_numpy(loan).view(shape)
