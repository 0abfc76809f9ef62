"""What a stepper remembers between tokens: a tuple of arrays, each with its first axis N (rows).

A state is a value: a step returns a new one and never writes into the old one, so that a state can
be kept, branched from, or regrouped. Knows rows, not what the arrays mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
State = tuple[Array, ...]


def take_rows(state: State, rows: Sequence[int] | Array) -> State:
    """The given rows, in that order; a row may be named twice.

    >>> take_rows((np.array([[1], [2], [3]]),), [2, 0])[0].tolist()
    [[3], [1]]
    """
    return tuple(array[np.asarray(rows, dtype=np.int64)] for array in state)


def stack_rows(states: Sequence[State]) -> State:
    """One state with the rows of all of them, in order.

    >>> stack_rows([(np.array([[1]]),), (np.array([[2], [3]]),)])[0].tolist()
    [[1], [2], [3]]
    """
    return tuple(np.concatenate(arrays) for arrays in zip(*states, strict=True))
