"""Interpolated modified Kneser-Ney n-grams: the baseline, and the Markov chain of the textbooks.

A model of order k is a trie in sorted arrays. A node of depth n is a gram of n tokens; its key is
`node of its first n - 1 tokens * V + last token`, and a node is named by its place among the sorted keys
of its depth. The arrays, for n = 1..k (the first three) and n = 0..k-1 (gamma), S_n nodes at depth n:

    ngram.{n}.parent_token  (S_n,) int64    sorted keys
    ngram.{n}.prob          (S_n,) float32  interpolated probability of the last token after the others
    ngram.{n}.suffix        (S_n,) int64    node, one less deep, of the gram without its first token
    ngram.{n}.gamma         (S_n,) float32  weight that a context gives to the shorter context (S_0 = 1)

p(w | context) = prob[node] where the gram exists, else gamma[context] * p(w | shorter context); gamma is 1
where the context does not exist; with no context left, p(w) = gamma_0 / number of unmasked ids.

Knows ids, not text. V is the size of the vocabulary, L the number of tokens, R of records, M of predictions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sonho.errors import DataError, UsageError
from sonho.evaluation.ngram_model import Ints, NgramModel, lay_out, shift

if TYPE_CHECKING:
    from sonho.data.parts import Part

Reals = NDArray[np.float64]
DENSE_SPAN = 8  # a table of this many keys for each token takes the memory that sorting takes


class _Level(NamedTuple):
    """The grams of one length: keys, suffixes and raw counts, each (S,)."""

    keys: Ints
    suffix: Ints
    counts: Ints


def fit(
    tokens: np.ndarray,
    order: int,
    vocab_size: int,
    *,
    masked: Collection[int] = (),
    offsets: np.ndarray | None = None,
) -> NgramModel:
    """Fit one model of `order` tokens (the predicted one included) on ids (L,); see fit_orders.

    >>> model = fit(np.array([1, 2, 1, 2, 1, 3]), 2, 4, masked=[0])
    >>> np.exp(model.log_probs(np.array([1, 2]))).round(3)
    array([0.5])
    """
    return fit_orders(tokens, [order], vocab_size, masked=masked, offsets=offsets)[order]


def fit_orders(
    tokens: np.ndarray,
    orders: Collection[int],
    vocab_size: int,
    *,
    masked: Collection[int] = (),
    offsets: np.ndarray | None = None,
) -> dict[int, NgramModel]:
    """Fit several orders on ids (L,) in the time of the highest: they share the trie.

    `offsets` (R + 1,) marks records, each read in the context of `<eos>`, the last id; None is one stream.
    Raises DataError where a masked id occurs. Memory is about 100 bytes a token at order 7.
    """
    _check(tokens, orders, vocab_size, masked, offsets)
    ids, starts = lay_out(tokens, offsets, vocab_size)
    hidden = frozenset(int(i) for i in masked)
    models: dict[int, NgramModel] = {}
    done = NgramModel(0, vocab_size, hidden, (), (), (), ())
    prob: Reals = np.array([1.0 / (vocab_size - len(hidden))])  # (1,) at depth 0, (S_n,) below
    levels = _levels(ids, starts, vocab_size, max(orders))
    level = next(levels)
    for n in range(1, max(orders) + 1):
        if n in orders:
            models[n] = _extended(done, level, *_estimate(level, level.counts, prob, vocab_size))
        if n < max(orders):
            deeper = next(levels)
            prob, gamma = _estimate(level, _continuations(level, deeper), prob, vocab_size)
            done = _extended(done, level, prob, gamma)
            level = deeper
    return models


def fit_part(
    part: Part, orders: Collection[int], vocab_size: int, *, masked: Collection[int] = (), max_tokens: int = 0
) -> dict[int, NgramModel]:
    """fit_orders on a part of a corpus; of more than `max_tokens` > 0, on about its last so many.

    The end is what stands next to the held-out text, so the baseline is as strong as it can be.
    """
    tokens, offsets = read_end(part, max_tokens)
    return fit_orders(tokens, orders, vocab_size, masked=masked, offsets=offsets)


def read_end(part: Part, max_tokens: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
    """The tokens (L,) of a part, of more than `max_tokens` > 0 about its last so many, and its records' bounds."""
    length = len(part.tokens)
    first = max(length - max_tokens, 0) if max_tokens else 0
    offsets = part.offsets
    if offsets is not None:
        offsets = offsets[np.searchsorted(offsets, offsets[-1] - length + first) :]
        first, length = int(offsets[0]), int(offsets[-1])
        offsets = offsets - first
    return part.tokens.read(first, length), offsets


def _check(
    tokens: np.ndarray,
    orders: Collection[int],
    vocab_size: int,
    masked: Collection[int],
    offsets: np.ndarray | None,
) -> None:
    if not orders or min(orders) < 1:
        raise UsageError(f"the order of an n-gram must be at least 1, got {sorted(orders)}")
    if vocab_size <= len(set(masked)):
        raise UsageError(f"all {vocab_size} ids are masked; leave at least one that can be predicted")
    if len(tokens) and int(tokens.max()) >= vocab_size:
        raise DataError(f"token {int(tokens.max())} is outside a vocabulary of {vocab_size} ids")
    seen = np.bincount(tokens, minlength=vocab_size) if len(tokens) else np.zeros(vocab_size)
    for i in masked:
        if seen[i]:
            raise DataError(f"id {i} occurs {seen[i]} times in the tokens but is masked; leave it out")


def _levels(ids: Ints, starts: Ints, vocab_size: int, order: int) -> Iterator[_Level]:
    """The trie from the top down, one depth at a time: the places of two depths are in memory."""
    node = np.zeros(len(ids), np.int64)  # node of the gram of n tokens that ends at each position, or -1
    for n in range(1, order + 1):
        context = shift(node, starts) if n > 1 else node
        where = np.flatnonzero(context >= 0)
        keys, first, inverse = _unique(context[where] * vocab_size + ids[where])
        suffix = node[where[first]]
        counts = np.bincount(inverse, minlength=len(keys))
        if n == 1:  # the start of a record or a stream is never predicted, so it is no count
            counts -= np.bincount(inverse[starts], minlength=len(keys))
        yield _Level(keys, suffix, counts)
        node = np.full(len(ids), -1, np.int64)
        node[where] = inverse


def _unique(keys: Ints) -> tuple[Ints, Ints, Ints]:
    """Sorted distinct keys, a position where each occurs, and for each position the place of its key."""
    span = int(keys.max()) + 1 if len(keys) else 0
    if span <= DENSE_SPAN * len(keys):  # a table of all possible keys is several times as fast as sorting
        table = np.full(span, -1, np.int64)
        table[keys] = np.arange(len(keys))
        distinct = np.flatnonzero(table >= 0)
        positions = table[distinct]
        table[distinct] = np.arange(len(distinct))
        return distinct, positions, table[keys]
    ordered, order = _sorted(keys)
    new = np.ones(len(keys), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    inverse = np.empty(len(keys), np.int64)
    inverse[order] = np.cumsum(new) - 1
    return ordered[new], order[new], inverse


def _sorted(keys: Ints) -> tuple[Ints, Ints]:
    """The sorted keys, and where each came from, equals in their old order."""
    bits = len(keys).bit_length()
    if len(keys) and int(keys.max()).bit_length() + bits > 63:
        order = np.argsort(keys, kind="stable")
        return keys[order], order
    # Sorting plain numbers is at least twice as fast as sorting places: carry the place in the low bits.
    packed = np.sort(keys << bits | np.arange(len(keys)))
    return packed >> bits, packed & ((1 << bits) - 1)


def _continuations(level: _Level, deeper: _Level) -> Ints:
    """How many different tokens stand before each gram, (S,)."""
    counts = np.bincount(deeper.suffix, minlength=len(level.keys))
    # Nothing stands before a gram at the start of a record or of the text: its own count is all there is.
    return np.where(counts > 0, counts, level.counts)


def _estimate(level: _Level, counts: Ints, shorter: Reals, vocab_size: int) -> tuple[Reals, Reals]:
    """Interpolated probabilities (S_n,) of a depth, and the gammas (S_n-1,) of its contexts."""
    parent = level.keys // vocab_size
    num_contexts = len(shorter)
    total = np.bincount(parent, weights=counts, minlength=num_contexts)
    discount = _discounts(counts)[np.minimum(counts, 3)]
    taken = np.bincount(parent, weights=discount, minlength=num_contexts)
    gamma = np.divide(taken, total, out=np.ones(num_contexts), where=total > 0)
    prob = (counts - discount) / np.maximum(total, 1)[parent] + gamma[parent] * shorter[level.suffix]
    return prob, gamma


def _discounts(counts: Ints) -> Reals:
    """What is taken from a count of 0, 1, 2, and 3 or more (Chen and Goodman 1998, equation 26)."""
    n1, n2, n3, n4 = (int(np.count_nonzero(counts == c)) for c in (1, 2, 3, 4))
    usual = np.array([0.0, 0.5, 1.0, 1.5])
    if not (n1 and n2 and n3 and n4):
        return usual  # a text too small, or a handful of symbols: the estimates below do not exist
    y = n1 / (n1 + 2 * n2)
    found = np.array([0.0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
    # Outside these bounds a discount is noise, and one of 0 would give an unseen token no probability.
    sane = (found >= usual / 10) & (found <= np.arange(4))
    return np.where(sane, found, usual)


def _extended(model: NgramModel, level: _Level, prob: Reals, gamma: Reals) -> NgramModel:
    """The model with one more depth."""
    return NgramModel(
        order=model.order + 1,
        vocab_size=model.vocab_size,
        masked=model.masked,
        keys=(*model.keys, level.keys),
        prob=(*model.prob, prob.astype(np.float32)),
        suffix=(*model.suffix, level.suffix),
        gamma=(*model.gamma, gamma.astype(np.float32)),
        counts=(*model.counts, level.counts),
    )
