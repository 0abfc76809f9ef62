"""Beam search: the likeliest texts of several items side by side; with a beam of one, the greedy choice.

Knows ids and scores, neither text nor what the model looks at: any `step(tokens, state) -> logits, state, weights`
will do whose state is a tuple of arrays with the rows first.
Shapes: N items, K beam, B = N * K rows, S places, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from sonho.decoding.state import Array, State, take_rows

Normalisation = Literal["wu", "power", "none"]
# Tokens (B,) and the state to logits (B, V), the new state and the attention (B, S), or None.
Step = Callable[[Array, State], tuple[Array, State, Array | None]]


@dataclass(frozen=True)
class BeamSettings:
    """How to search. A score is the log-probability over `penalty(length, ...)`, so that long texts stand a chance."""

    beam: int = 5
    n_best: int = 1
    length_penalty: float = 1.0
    normalisation: Normalisation = "wu"


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """One text: its ids without <eos>, and why it is where it is in the list."""

    ids: Array  # (L,)
    score: float
    log_probability: float  # nats, <eos> included
    finished: bool  # False: cut off at the most tokens
    attention: Array | None = field(default=None, repr=False)  # (L, S)


def penalty(length: int, settings: BeamSettings) -> float:
    """What the log-probability of `length` tokens, <eos> included, is divided by.

    `wu` is ((5 + length) / 6) ** a (Wu et al. 2016), `power` is length ** a, with a = `length_penalty`.

    >>> penalty(7, BeamSettings()), penalty(7, BeamSettings(normalisation="power"))
    (2.0, 7.0)
    """
    if settings.normalisation == "none":
        return 1.0
    base = (5.0 + length) / 6.0 if settings.normalisation == "wu" else float(length)
    return float(base**settings.length_penalty)


def search(
    step: Step, state: State, most_tokens: Array, *, start_id: int, eos_id: int, settings: BeamSettings
) -> list[list[Hypothesis]]:
    """The `n_best` best texts of each of N items, the best first; `state` has a row an item.

    A text ends with <eos>, or is cut after `most_tokens` (N,). An item is done when K texts of its own have ended.
    """
    width = max(settings.beam, settings.n_best)
    found: list[list[Hypothesis]] = [[] for _ in most_tokens]
    active = np.arange(len(found))  # the items that are still searched
    state = take_rows(state, np.repeat(active, width))
    tokens = np.full(len(active) * width, start_id, np.int64)
    # At first all rows of an item are alike, so only one may go on.
    totals = np.full((len(active), width), -np.inf, np.float32)
    totals[:, 0] = 0.0
    history: list[_Past] = []
    while len(active):
        logits, state, weights = step(tokens, state)
        likely = totals[:, :, None] + log_softmax(logits).reshape(len(active), width, -1)  # (N, K, V)
        ends, grows = _candidates(likely, width, eos_id)
        searched = np.ones(len(active), bool)
        for place, number in enumerate(active.tolist()):
            own = found[number]
            own += [_trace(history, weights, end, settings) for end in ends[place]]
            cut = len(history) + 1 >= most_tokens[number]
            if cut:
                alive = [row for row in grows[place] if np.isfinite(row.total)][: max(settings.n_best - len(own), 0)]
                own += [_trace(history, weights, row, settings) for row in alive]
            searched[place] = not cut and len(own) < width
        active = active[searched]
        rows = [row for place in np.flatnonzero(searched).tolist() for row in grows[place]]
        history.append(_Past(np.array([r.parent for r in rows], np.int64), np.array([r.token for r in rows]), weights))
        totals = np.array([row.total for row in rows], np.float32).reshape(len(active), width)
        state, tokens = take_rows(state, history[-1].parents), history[-1].tokens
    return [sorted(own, key=lambda one: -one.score)[: settings.n_best] for own in found]


@dataclass(frozen=True)
class _Row:
    """What a row of the beam may become: a token behind it, None for its end."""

    parent: int
    token: int | None
    total: float


@dataclass(frozen=True)
class _Past:
    """One step: the row from which each row came, the token that it took, and what the rows before it looked at."""

    parents: Array  # (B',)
    tokens: Array  # (B',)
    weights: Array | None  # (B, S)


def _trace(history: list[_Past], weights: Array | None, last: _Row, settings: BeamSettings) -> Hypothesis:
    """The text of a row, read from its end; `weights` are those of the last step."""
    row = last.parent
    steps = [] if last.token is None else [(last.token, weights, row)]
    for past in reversed(history):
        token, row = int(past.tokens[row]), int(past.parents[row])
        steps.append((token, past.weights, row))
    steps.reverse()
    attention = None
    if weights is not None:
        looks = [look[own] for _, look, own in steps if look is not None]
        attention = np.array(looks, np.float32).reshape(len(steps), weights.shape[1])
    score = last.total / penalty(len(steps) + (last.token is None), settings)
    ids = np.array([token for token, _, _ in steps], np.int64)
    return Hypothesis(ids, score, last.total, last.token is None, attention)


def log_softmax(logits: Array) -> Array:
    """Of each row of (B, V)."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return np.asarray(shifted)


def _candidates(likely: Array, width: int, eos_id: int) -> tuple[list[list[_Row]], list[list[_Row]]]:
    """From (N, K, V): of each item the rows that end, among its K best, and the K best that go on, the best first.

    Of equals the one with the lower row and id comes first, so that nothing depends on how a library partitions.
    """
    vocab_size, first = likely.shape[2], 0
    flat = likely.reshape(len(likely), -1)
    count = min(2 * width, flat.shape[1])  # each row can end but once
    bounds = np.partition(flat, flat.shape[1] - count, axis=1)[:, flat.shape[1] - count]
    ends, grows = [], []
    for scores, bound in zip(flat, bounds, strict=True):
        places = np.flatnonzero(scores >= bound)
        places = places[np.argsort(-scores[places], kind="stable")[:count]]
        rows = [
            _Row(first + place // vocab_size, place % vocab_size, float(scores[place])) for place in places.tolist()
        ]
        ending = [row for row in rows[:width] if row.token == eos_id and np.isfinite(row.total)]
        ends.append([_Row(row.parent, None, row.total) for row in ending])
        grows.append([row for row in rows if row.token != eos_id][:width])
        first += width
    return ends, grows
