"""The two protocols by which every entrant is scored, in nats per character. Knows ids and logits, not models.

Every character but the first is predicted once (of records, whose end counts as a newline, every character).

    stream   one text from its beginning to its end, with all that a model remembers of it: a recurrent network
             carries its state; a transformer and a network of windows slide over the text, and a transformer's
             predictions have at least three quarters of its context before them. A model of records reads each
             record from its own beginning, which is what it was made for.
    cold     windows of 256 characters, each by itself: nothing is known of what stands before a window but the one
             character that its first prediction is made from. A model of records is cut there as well.

Shapes: N rows, T time, V vocabulary, L ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

COLD_WINDOW = 256
ROWS, STEPS = 128, 256
# A transformer goes on by this share of its context.
STRIDE = 0.25

Array = np.ndarray
Bounds = list[tuple[int, int]]  # targets [start, stop) that are read from start - 1 on, with nothing before
# ids (N, T) and a state (None at the beginning) to logits (N, T, V) and the state after them
Carry = Callable[[Array, Any], tuple[Array, Any]]
# ids (N, T) to logits (N, T, V), each from what stands before it in its row
Look = Callable[[Array], Array]


def stream_bounds(ids: Array) -> Bounds:
    return [(1, len(ids))]


def cold_bounds(ids: Array, window: int = COLD_WINDOW) -> Bounds:
    """Windows of 256 targets.

    >>> cold_bounds(np.zeros(11), window=4)
    [(1, 5), (5, 9), (9, 11)]
    """
    return [(start, min(start + window, len(ids))) for start in range(1, len(ids), window)]


def record_bounds(ids: Array, end: int, window: int = 0) -> Bounds:
    """The records of `ids`, which begin and end with `end`; cut by windows as well where `window` is above 0.

    >>> record_bounds(np.array([0, 1, 1, 0, 1, 0]), 0)
    [(1, 4), (4, 6)]
    >>> record_bounds(np.array([0, 1, 1, 0, 1, 0]), 0, window=2)
    [(1, 3), (3, 4), (4, 5), (5, 6)]
    """
    starts = set((np.flatnonzero(ids[:-1] == end) + 1).tolist())
    if window:
        starts |= set(range(1, len(ids), window))
    ordered = [*sorted(starts), len(ids)]
    return list(pairwise(ordered))


def carried(carry: Carry, ids: Array, bounds: Bounds) -> float:
    """Nats per character of a model that carries a state."""
    total = 0.0
    for rows in _alike(bounds):
        longest = max(stop - start for start, stop in rows)
        state: Any = None
        for at in range(0, longest, STEPS):
            size = min(STEPS, longest - at)
            starts = np.array([start for start, _ in rows])[:, None] + at
            places = starts + np.arange(size)  # of the targets, (N, T)
            inside = places < np.array([stop for _, stop in rows])[:, None]
            inputs = np.where(inside, ids.take(places - 1, mode="clip"), 0)
            logits, state = carry(inputs, state)
            total += nats(logits[inside], ids[places[inside]])
    return total / _count(bounds)


def sliding(look: Look, ids: Array, bounds: Bounds, context: int, *, rows: int = ROWS) -> float:
    """Nats per character of a model that sees so many characters at most."""
    total = 0.0
    for size, group in _by_length(context_pieces(bounds, context)).items():
        for first in range(0, len(group), rows):
            pieces = group[first : first + rows]
            places = np.array([begin for begin, _ in pieces])[:, None] + np.arange(size)
            logits = look(ids[places])  # (N, T, V)
            scored = places + 1 >= np.array([target for _, target in pieces])[:, None]
            total += nats(logits[scored], ids[places[scored] + 1])
    return total / _count(bounds)


def context_pieces(bounds: Bounds, context: int) -> Iterator[tuple[int, int, int]]:
    """Pieces that score every target once: (first input, first target that is scored, end of the targets).

    >>> list(context_pieces([(1, 12)], 8))
    [(0, 1, 9), (2, 9, 11), (3, 11, 12)]
    """
    stride = max(1, int(context * STRIDE))
    for start, stop in bounds:
        target, end = start, min(start + context, stop)
        while target < stop:
            yield max(start - 1, end - 1 - context), target, end
            target, end = end, min(end + stride, stop)


def nats(logits: Array, targets: Array) -> float:
    """The surprise of targets (M,) under logits (M, V), summed."""
    highest = logits.max(axis=-1, keepdims=True)
    total = np.log(np.exp(logits - highest).sum(axis=-1, dtype=np.float64))
    chosen = np.take_along_axis(logits, targets[:, None], axis=-1) - highest
    return float((total - chosen[:, 0]).sum())


def _alike(bounds: Bounds) -> Iterator[Bounds]:
    ordered = sorted(bounds, key=lambda bound: bound[1] - bound[0])
    for first in range(0, len(ordered), ROWS):
        yield ordered[first : first + ROWS]


def _by_length(pieces: Iterator[tuple[int, int, int]]) -> dict[int, list[tuple[int, int]]]:
    """Pieces of as many inputs together: {inputs: [(first input, first target)]}."""
    groups: dict[int, list[tuple[int, int]]] = {}
    for begin, target, end in pieces:
        groups.setdefault(end - 1 - begin, []).append((begin, target))
    return groups


def _count(bounds: Sequence[tuple[int, int]]) -> int:
    return sum(stop - start for start, stop in bounds)
