"""An n-gram prior beside the network: what was counted in the text and what was learned from it, in one prediction.

    p(w) ~ p_network(w)^a * p_ngram(w)^b
    a, b = gate[depth] + gate[k] * log max p_ngram + gate[k + 1] * log gamma(context)

`depth` is the length of the longest context that was kept, k the order: a gate learned on text that was not counted
says how much either is to be trusted. A masked id keeps its -inf. The state of a row is the network's and one number,
the node of that context. The readable twin of native/prior.cpp.

Shapes: N rows, T time, V vocabulary. `storage/prior.py` explains the arrays.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Protocol

import numpy as np

from sonho.decoding.state import Array, State
from sonho.native.prior import NativePrior
from sonho.storage.prior import PROB_STEPS, PriorTrie

# The bounds of a and b: whatever the gate says, neither voice is turned round, and the network is never mute.
LEAST_NETWORK, MOST_WEIGHT = 0.05, 4.0
CONTEXTS_KEPT = 4096  # their predictions, so that frequent ones are worked out once


class Mixer(Protocol):
    """The prior, ready to run: nodes of rows through time, and logits mixed with what follows them."""

    def advance(self, tokens: Array, nodes: Array) -> Array:
        """The nodes (N, T) int64 after each of `tokens` (N, T), from nodes (N,)."""

    def mix(self, logits: Array, nodes: Array) -> None:
        """Mix logits (M, V) float32 with the predictions after nodes (M,), in place."""


class Prior:
    """The twin in NumPy."""

    def __init__(self, trie: PriorTrie, masked_ids: Collection[int]) -> None:
        self._trie = trie
        self._floor = floor_of(trie, masked_ids)
        self.prediction = lru_cache(CONTEXTS_KEPT)(self._predict)

    def advance(self, tokens: Array, nodes: Array) -> Array:
        after = np.empty(tokens.shape, np.int64)
        for row, (ids, node) in enumerate(zip(tokens.tolist(), nodes.tolist(), strict=True)):
            for t, token in enumerate(ids):
                node = self._next(node, token)
                after[row, t] = node
        return after

    def mix(self, logits: Array, nodes: Array) -> None:
        for row, node in zip(logits, nodes.tolist(), strict=True):
            network, ngram, log_probs = self.prediction(node)
            row *= network
            row += ngram * log_probs

    def features(self, node: int) -> tuple[int, float, float, Array]:
        """Depth of a context, log of the largest probability, log gamma, and the log-probabilities (V,) float32."""
        log_probs = self._log_probs(node)
        depth = int(np.searchsorted(self._trie.levels, node, side="right")) - 1
        return depth, float(log_probs.max()), float(self._trie.log_gammas[node]), log_probs

    def _predict(self, node: int) -> tuple[np.float32, np.float32, Array]:
        """a, b and the log-probabilities (V,) after a node."""
        depth, top, log_gamma, log_probs = self.features(node)
        gate, k = self._trie.gate, self._trie.order
        weights = gate[:, depth] + gate[:, k] * np.float32(top) + gate[:, k + 1] * np.float32(log_gamma)
        network, ngram = np.clip(weights, (LEAST_NETWORK, 0.0), MOST_WEIGHT).astype(np.float32)
        return network, ngram, log_probs

    def _log_probs(self, node: int) -> Array:
        """(V,) after a node: from the shortest context to the longest, each leaves a share to the one before."""
        trie, contexts = self._trie, [node]
        while contexts[-1]:
            contexts.append(int(trie.suffix[contexts[-1]]))
        log_probs = np.full(trie.vocab_size, self._floor, np.float32)
        for context in reversed(contexts):
            log_probs += trie.log_gammas[context]
            children = slice(trie.first_child[context], trie.first_child[context + 1])
            log_probs[trie.tokens[children]] = trie.log_probs[children]
        return log_probs

    def _next(self, node: int, token: int) -> int:
        """The longest context that was kept and that others follow, after one more token."""
        trie, end = self._trie, len(self._trie.suffix)
        while True:
            first, last = int(trie.first_child[node]), int(trie.first_child[node + 1])
            child = first + int(np.searchsorted(trie.tokens[first:last], token))
            # A gram of the last depth is no context, but its end is one.
            if child < last and trie.tokens[child] == token and child < end:
                node = child
                break
            if node == 0:
                break
            node = int(trie.suffix[node])
        while node and trie.first_child[node] == trie.first_child[node + 1]:
            node = int(trie.suffix[node])
        return node


class PriorStepper:
    """Any stepper with a prior. State: that of the stepper, and the nodes (N,) int64."""

    def __init__(self, stepper: _Stepper, prior: Mixer) -> None:
        self.vocab_size = stepper.vocab_size
        self._stepper, self._prior = stepper, prior

    def initial_state(self, batch_size: int, condition: Array | None = None) -> State:
        return (*self._stepper.initial_state(batch_size, condition), np.zeros(batch_size, np.int64))

    def step(self, tokens: Array, state: State) -> tuple[Array, State]:
        """`tokens` (N,) to logits (N, V) and the new state."""
        logits, after = self._stepper.step(tokens, state[:-1])
        nodes = self._prior.advance(np.asarray(tokens)[:, None], state[-1])[:, 0]
        return self._mixed(logits, nodes), (*after, nodes)

    def advance(self, tokens: Array, state: State) -> State:
        """The state after `tokens` (N, T)."""
        after = self._stepper.advance(tokens, state[:-1])
        return (*after, self._prior.advance(tokens, state[-1])[:, -1] if tokens.shape[1] else state[-1])

    def forward(self, tokens: Array, state: State) -> tuple[Array, State]:
        """`tokens` (N, T) to logits (N, T, V) and the new state."""
        logits, after = self._stepper.forward(tokens, state[:-1])
        nodes = self._prior.advance(tokens, state[-1])
        return self._mixed(logits, nodes), (*after, nodes[:, -1] if tokens.shape[1] else state[-1])

    def _mixed(self, logits: Array, nodes: Array) -> Array:
        mixed = np.array(logits, np.float32, order="C")
        self._prior.mix(mixed.reshape(-1, self.vocab_size), nodes.ravel())
        return mixed


class _Stepper(Protocol):
    """What stepper.py calls a Stepper, which is above this file."""

    vocab_size: int

    def initial_state(self, batch_size: int, condition: Array | None = None) -> State: ...
    def step(self, tokens: Array, state: State) -> tuple[Array, State]: ...
    def advance(self, tokens: Array, state: State) -> State: ...
    def forward(self, tokens: Array, state: State) -> tuple[Array, State]: ...


def native_prior(trie: PriorTrie, masked_ids: Collection[int]) -> NativePrior:
    """The twin of `Prior` in libsonho."""
    return NativePrior(
        trie.order,
        trie.vocab_size,
        floor_of(trie, masked_ids),
        levels=trie.levels,
        tokens=trie.tokens,
        log_probs=trie.log_probs,
        first_child=trie.first_child,
        log_gammas=trie.log_gammas,
        suffix=trie.suffix,
        gate=trie.gate,
    )


def floor_of(trie: PriorTrie, masked_ids: Collection[int]) -> float:
    """The log-probability of any token below all contexts, rounded like the others so that sums stay exact."""
    drawable = trie.vocab_size - len(set(masked_ids))
    return -round(float(np.log(drawable)) * PROB_STEPS) / PROB_STEPS
