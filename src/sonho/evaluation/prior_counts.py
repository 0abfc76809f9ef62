"""From a text to the n-gram prior of a model file: Kneser-Ney, pruned, a few bytes a gram.

A long gram that was seen once says little, and there are very many of them: without those the order-7 model of
tiny-shakespeare takes half of the room, and predicts better. What a dropped gram had goes to its context's share for
the shorter context, so that probabilities still add up to one (Stolcke 1998 prunes so too, by another measure).

Knows ids, not text. V is the size of the vocabulary, S_n the number of nodes at depth n (see kneser_ney.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sonho.evaluation.kneser_ney import fit_orders
from sonho.evaluation.ngram_model import NgramModel
from sonho.storage.container import Arrays
from sonho.storage.prior import GAMMA_STEPS, GATE_EXTRAS, PROB_STEPS, WORST_CODE

# Grams of this many tokens or more must have been seen twice.
PRUNED_FROM = 6
# The prior may take so many bytes for each byte of the text that it was counted on.
MOST_BYTES_A_BYTE = 4.0
# Of a longer text the end is counted: about 100 bytes of memory a token while counting, 12 a gram while in use.
MOST_TOKENS = 2_000_000

Mask = NDArray[np.bool_]


def count_prior(
    tokens: np.ndarray,
    order: int,
    vocab_size: int,
    *,
    most_bytes: float,
    masked: Collection[int] = (),
    offsets: np.ndarray | None = None,
) -> Arrays:
    """The arrays of storage/prior.py, named without their prefix, for ids (L,); the gate leaves the network alone.

    `offsets` as in `fit_orders`. Where they take more than `most_bytes`, shorter grams are pruned as well, and then
    the order falls.
    """
    for tried in range(order, 0, -1):
        model = fit_orders(tokens, [tried], vocab_size, masked=masked, offsets=offsets)[tried]
        for first in range(PRUNED_FROM, 2, -1) if tried > 2 else (PRUNED_FROM,):
            arrays = pack(pruned(model, first))
            if num_bytes(arrays) <= most_bytes or tried == 1:
                return arrays
    raise AssertionError("an order of at least 1")


def pruned(model: NgramModel, first: int) -> NgramModel:
    """Without the grams of `first` tokens or more that were seen once, unless a kept gram begins or ends with them."""
    kept = _kept(model, first)
    number = [np.zeros(1, np.int64), *(np.cumsum(mask) - 1 for mask in kept)]  # of the kept nodes, depths 0..k
    keys, probs, suffixes, gammas = [], [], [], []
    # Probabilities (S_n-1,) of the shorter grams: before the pruning, and of the kept ones after it.
    before = after = np.array([1.0 / (model.vocab_size - len(model.masked))])
    for n in range(1, model.order + 1):
        mask, (parent, token) = kept[n - 1], np.divmod(model.keys[n - 1], model.vocab_size)
        own = model.prob[n - 1] - model.gamma[n - 1][parent] * before[model.suffix[n - 1]]
        freed = np.bincount(parent[~mask], weights=own[~mask], minlength=len(model.gamma[n - 1]))
        gamma = model.gamma[n - 1] + freed
        suffix = number[n - 1][model.suffix[n - 1][mask]]
        before, after = model.prob[n - 1], own[mask] + gamma[parent[mask]] * after[suffix]
        gammas.append((gamma if n == 1 else gamma[kept[n - 2]]).astype(np.float32))
        keys.append(number[n - 1][parent[mask]] * model.vocab_size + token[mask])
        suffixes.append(suffix)
        probs.append(after.astype(np.float32))
    return replace(
        model,
        keys=tuple(keys),
        prob=tuple(probs),
        suffix=tuple(suffixes),
        gamma=tuple(gammas),
        counts=tuple(counts[mask] for counts, mask in zip(model.counts, kept, strict=True)),
    )


def pack(model: NgramModel) -> Arrays:
    """The arrays of a prior that does not touch the network: the gate is yet to be learned."""
    parents, tokens = zip(*(np.divmod(keys, model.vocab_size) for keys in model.keys), strict=True)
    children = [np.bincount(parent, minlength=len(gamma)) for parent, gamma in zip(parents, model.gamma, strict=True)]
    gate = np.zeros((2, model.order + GATE_EXTRAS), np.float32)
    gate[0, : model.order] = 1
    return {
        "sizes": np.array([len(keys) for keys in model.keys], np.int64),
        "tokens": _narrow(np.concatenate(tokens)),
        "probs": _codes(model.prob, PROB_STEPS),
        "children": _narrow(np.concatenate(children)),
        "gammas": _codes(model.gamma, GAMMA_STEPS),
        "gate": gate,
    }


def num_bytes(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays.values())


def _kept(model: NgramModel, first: int) -> list[Mask]:
    """Which nodes of each depth 1..k stay: a trie in which no gram lacks its beginning or its end."""
    kept: list[Mask] = [np.ones(len(keys), bool) for keys in model.keys]
    for n in range(model.order, first - 1, -1):
        mask = model.counts[n - 1] > 1
        if n < model.order:
            longer = kept[n]
            mask[model.keys[n][longer] // model.vocab_size] = True
            mask[model.suffix[n][longer]] = True
        kept[n - 1] = mask
    return kept


def _codes(values: Iterable[np.ndarray], steps: int) -> NDArray[np.uint8]:
    with np.errstate(divide="ignore"):
        nats = -np.log(np.concatenate(list(values)))
    codes: NDArray[np.uint8] = np.clip(np.round(nats * steps), 0, WORST_CODE).astype(np.uint8)
    return codes


def _narrow(numbers: np.ndarray) -> np.ndarray:
    """The same numbers in as few bytes as hold them."""
    return numbers.astype(np.min_scalar_type(int(numbers.max(initial=0))))
