"""Logits processors: small functions that reshape a next-token distribution.

A processor takes logits of shape (N, V) and returns logits of the same shape; a token that may not
be drawn gets -inf. Penalties also take counts (N, V): how often each token stands in the text so
far. Nothing is written in place. Knows numbers, not text.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sonho.decoding.state import Array
from sonho.errors import UsageError

# A difference of float32 logits divided by less could overflow.
LEAST_TEMPERATURE = 1e-200

Processor = Callable[[Array], Array]
Penalty = Callable[[Array, Array], Array]


def chain(*processors: Processor) -> Processor:
    """Apply processors from left to right, so the order written is the order run."""

    def process(logits: Array) -> Array:
        for processor in processors:
            logits = processor(logits)
        return logits

    return process


def temperature(value: float) -> Processor:
    """Divide by a positive temperature: below 1 the likely become likelier.

    The likeliest token gets 0, which changes no probability and keeps any temperature finite.
    """
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"temperature must be a finite number above 0 here, got {value!r}")
    divisor = max(value, LEAST_TEMPERATURE)

    def process(logits: Array) -> Array:
        scaled: Array = (logits - logits.max(axis=-1, keepdims=True)) / divisor
        return scaled

    return process


def top_k(k: int) -> Processor:
    """Keep the `k` most likely tokens of each row.

    >>> top_k(2)(np.array([[1.0, 3.0, 2.0]]))
    array([[-inf,   3.,   2.]])
    """
    if k < 1:
        raise UsageError(f"top_k must be at least 1, got {k}; leave it out to keep every token")

    def process(logits: Array) -> Array:
        if k >= logits.shape[-1]:
            return logits
        # Ties at the threshold are all kept: dropping one of them would make
        # a seeded run depend on how the sort breaks ties.
        threshold = np.partition(logits, -k, axis=-1)[:, -k, None]  # (N, 1)
        return np.where(logits < threshold, -np.inf, logits)

    return process


def top_p(share: float) -> Processor:
    """Keep the likeliest tokens that together hold `share` of the probability; ties are kept.

    >>> top_p(0.7)(np.log([[0.5, 0.3, 0.2]])).round(2)
    array([[-0.69, -1.2 ,  -inf]])
    """
    if not 0 < share <= 1:
        raise UsageError(f"top_p must be above 0 and at most 1, got {share!r}")

    def process(logits: Array) -> Array:
        return _keep_share(logits, -logits, share)

    return process


def min_p(share: float) -> Processor:
    """Leave out the tokens that are less than `share` times as likely as the likeliest.

    >>> min_p(0.5)(np.log([[0.5, 0.3, 0.2]])).round(2)
    array([[-0.69, -1.2 ,  -inf]])
    """
    if not 0 < share < 1:
        raise UsageError(f"min_p must be above 0 and below 1, got {share!r}")

    def process(logits: Array) -> Array:
        threshold = logits.max(axis=-1, keepdims=True) + math.log(share)
        return np.where(logits < threshold, -np.inf, logits)

    return process


def typical(share: float) -> Processor:
    """Keep the tokens whose surprise is nearest to the expected one, until they hold `share`.

    Locally typical sampling (Meister, Pimentel, Wiher and Cotterell 2022); ties are kept.
    """
    if not 0 < share <= 1:
        raise UsageError(f"typical_p must be above 0 and at most 1, got {share!r}")

    def process(logits: Array) -> Array:
        probabilities = softmax(logits)
        with np.errstate(divide="ignore"):
            surprise = -np.log(probabilities)  # (N, V), inf where nothing can be drawn
        terms = np.multiply(probabilities, surprise, where=probabilities > 0, out=np.zeros_like(probabilities))
        return _keep_share(logits, np.abs(surprise - terms.sum(axis=-1, keepdims=True)), share)

    return process


def uniform() -> Processor:
    """Make every token that can be drawn equally likely: the pure chance of the textbook."""
    return lambda logits: np.where(np.isfinite(logits), 0.0, -np.inf)


def repetition_penalty(penalty: float) -> Penalty:
    """Divide positive logits of tokens already there by `penalty`, multiply negative ones (CTRL, 2019)."""
    if not (math.isfinite(penalty) and penalty > 0):
        raise UsageError(f"repetition_penalty must be a finite number above 0, got {penalty!r}")

    def process(logits: Array, counts: Array) -> Array:
        penalised = np.where(logits > 0, logits / penalty, logits * penalty)
        return np.where(counts > 0, penalised, logits)

    return process


def frequency_penalty(penalty: float) -> Penalty:
    """Subtract `penalty` for each time a token is already there."""
    _check_finite("frequency_penalty", penalty)
    return lambda logits, counts: logits - penalty * counts


def presence_penalty(penalty: float) -> Penalty:
    """Subtract `penalty` once from tokens that are already there."""
    _check_finite("presence_penalty", penalty)
    return lambda logits, counts: logits - penalty * (counts > 0)


def softmax(logits: Array) -> Array:
    """Probabilities (N, V) float64; at least one logit of each row must be finite."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    weights = np.exp(shifted)
    normed: Array = weights / weights.sum(axis=-1, keepdims=True)
    return normed


def _keep_share(logits: Array, cost: Array, share: float) -> Array:
    """Keep the tokens of least `cost` (N, V) until they hold `share` of the probability."""
    order = np.argsort(cost, axis=-1, kind="stable")
    held = np.cumsum(np.take_along_axis(softmax(logits), order, axis=-1), axis=-1)
    # The token with which the share is reached; rounding may leave even all of them just short of it.
    last = np.minimum((held < share).sum(axis=-1, keepdims=True), logits.shape[-1] - 1)
    limit = np.take_along_axis(cost, np.take_along_axis(order, last, axis=-1), axis=-1)  # (N, 1)
    return np.where(cost > limit, -np.inf, logits)


def _check_finite(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise UsageError(f"{name} must be a finite number, got {value!r}")
