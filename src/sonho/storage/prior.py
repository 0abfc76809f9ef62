"""The n-gram prior of a model file: counts of the text as a trie in bytes, and how they are mixed with the network.

A node is a gram that was kept; the root is the empty one. Nodes are numbered by depth, and at each depth in the order
of their parents and then of their last tokens, so that the children of a node stand side by side. The arrays, for S
nodes below the root, C of them above the last depth, order k:

    prior.sizes     (k,) int64            nodes at depth 1, 2, ..., k
    prior.tokens    (S,) unsigned         last token, as narrow as the vocabulary allows
    prior.probs     (S,) uint8            a code c stands for exp(-c / 16): p(last token | the tokens before it)
    prior.children  (C + 1,) unsigned     how many children the root and each node above the last depth has
    prior.gammas    (C + 1,) uint8        a code c stands for exp(-c / 32): share of the shorter context
    prior.gate      (2, k + 2) float32    a and b, see decoding/prior.py

p(w | context) = prob where the gram was kept, else gamma(context) * p(w | shorter context). All logarithms are
multiples of 1/32, so that their sums are exact in float32 and do not depend on the order of summing.

Knows ids, not text. V is the size of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonho.errors import ModelFileError

PROB_STEPS, GAMMA_STEPS = 16, 32  # codes a nat
WORST_CODE = 255
MOST_ORDER = 16
GATE_EXTRAS = 2  # numbers of a gate's row behind those of the depths 0..k-1
MOST_GATE = 1e3  # a gate that was learned is far from it
NAMES = frozenset({"sizes", "tokens", "probs", "children", "gammas", "gate"})

Array = NDArray[Any]
Arrays = Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class PriorTrie:
    """The arrays unpacked for looking up. A node's number counts from the root, which is 0.

    `levels` (k + 2,): the first node of each depth 0..k, and the number of all nodes. `tokens` and `log_probs` (S + 1,)
    have a place for the root, too; `first_child` (C + 2,): the children of node i are first_child[i] to
    first_child[i + 1]; `log_gammas` and `suffix` (C + 1,): the node of a gram without its first token.
    """

    order: int
    vocab_size: int
    levels: NDArray[np.int64]
    tokens: NDArray[np.int32]
    log_probs: NDArray[np.float32]
    first_child: NDArray[np.int32]
    log_gammas: NDArray[np.float32]
    suffix: NDArray[np.int32]
    gate: NDArray[np.float32]


def unpack_prior(arrays: Arrays, vocab_size: int) -> PriorTrie:
    """Unpack and check the arrays, named without their prefix. Raises ModelFileError where they would lead astray."""
    _check_kinds(arrays)
    sizes = arrays["sizes"].tolist()
    order, total = len(sizes), sum(sizes)
    inner = total - sizes[-1]
    tokens, children = (arrays[name].astype(np.int64) for name in ("tokens", "children"))
    _demand(len(tokens) == len(arrays["probs"]) == total, "its sizes differ")
    _demand(len(children) == len(arrays["gammas"]) == inner + 1, "its sizes differ")
    _demand(arrays["gate"].shape == (2, order + GATE_EXTRAS), "its gate has another order")
    _demand(bool(((children >= 0) & (children <= vocab_size)).all()), "a gram has too many children")
    levels = np.cumsum([0, 1, *sizes])  # depth d begins at levels[d]
    for depth in range(order):
        _demand(int(children[levels[depth] : levels[depth + 1]].sum()) == sizes[depth], "children are missing")
    _demand(total == 0 or int(tokens.max()) < vocab_size, "a token is outside the vocabulary")
    first_child = np.cumsum([1, *children])
    return PriorTrie(
        order=order,
        vocab_size=vocab_size,
        levels=levels,
        tokens=np.append(0, tokens).astype(np.int32),
        log_probs=np.append(0, arrays["probs"] / np.float32(-PROB_STEPS)).astype(np.float32),
        first_child=first_child.astype(np.int32),
        log_gammas=(arrays["gammas"] / np.float32(-GAMMA_STEPS)).astype(np.float32),
        suffix=_suffixes(levels, tokens, children, vocab_size),
        gate=arrays["gate"],
    )


def _check_kinds(arrays: Arrays) -> None:
    _demand(arrays.keys() == NAMES, "arrays are missing or too many")
    for name in ("probs", "gammas"):
        _demand(arrays[name].dtype == np.uint8 and arrays[name].ndim == 1, f"{name} are no codes")
    for name in ("tokens", "children"):
        _demand(arrays[name].dtype.kind == "u" and arrays[name].ndim == 1, f"{name} are no numbers")
    sizes, gate = arrays["sizes"], arrays["gate"]
    _demand(sizes.dtype == np.int64 and sizes.ndim == 1 and 1 <= len(sizes) <= MOST_ORDER, "its order cannot be")
    # Node numbers are 32 bits wide, and no sum of sizes may overflow.
    _demand(bool(((sizes >= 0) & (sizes < 2**26)).all()), "its sizes cannot be")
    _demand(gate.dtype == np.float32 and bool((np.abs(gate) <= MOST_GATE).all()), "its gate holds no numbers")


def _suffixes(levels: Array, tokens: Array, children: Array, vocab_size: int) -> NDArray[np.int32]:
    """The node of each gram above the last depth without its first token; checks the order of the children."""
    suffix = np.zeros(len(children), np.int64)
    shorter_keys = np.zeros(0, np.int64)
    for depth in range(1, len(levels) - 1):
        first, last = int(levels[depth]), int(levels[depth + 1])
        begin, end = int(levels[depth - 1]), first
        parent = np.repeat(np.arange(begin, end), children[begin:end])
        keys = parent * vocab_size + tokens[first - 1 : last - 1]
        _demand(bool((np.diff(keys) > 0).all()), f"the grams of depth {depth} are out of order")
        if last <= len(children) and depth > 1:
            wanted = suffix[parent] * vocab_size + tokens[first - 1 : last - 1]
            place = np.minimum(np.searchsorted(shorter_keys, wanted), max(len(shorter_keys) - 1, 0))
            _demand(len(wanted) == 0 or bool(len(shorter_keys)), "a gram lacks its shorter one")
            _demand(len(wanted) == 0 or bool((shorter_keys[place] == wanted).all()), "a gram lacks its shorter one")
            suffix[first:last] = begin + place
        shorter_keys = keys
    return suffix.astype(np.int32)


def _demand(sound: bool, what: str) -> None:
    if not sound:
        raise ModelFileError(f"the n-gram prior is not well formed: {what}; take another copy, or train again")
