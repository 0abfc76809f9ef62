"""Learning-rate schedules: the progress of a run (0 to 1) to a multiplier of the peak rate."""

from __future__ import annotations

import math


def multiplier(progress: float, *, schedule: str, warmup: float) -> float:
    """Rise in a line for the share `warmup`, then fall to 0 at the end, or stay where `constant`.

    >>> [round(multiplier(p, schedule="linear", warmup=0.5), 2) for p in (0.25, 0.5, 0.75, 1.0)]
    [0.5, 1.0, 0.5, 0.0]
    """
    if progress < warmup:
        return progress / warmup
    if schedule == "constant":
        return 1.0
    rest = min(1.0, (progress - warmup) / (1.0 - warmup))
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * rest))
    return 1.0 - rest
