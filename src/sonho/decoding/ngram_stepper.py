"""An n-gram model as a stepper: the Markov chain of the textbooks.

Shapes: N rows, T time, V vocabulary, order n. A *node* is a gram that was seen; nodes of depth d are
the grams of d tokens, and depth 0 has one node, the empty gram. Arrays:

    ngram.d.parent_token  (nodes of depth d,) int64, ascending: (node of the first d-1 tokens) * V + token
    ngram.d.prob          (nodes of depth d,) float32: p(last token | the d-1 before it), interpolated
    ngram.d.gamma         (nodes of depth d,) float32: share that the context leaves to the shorter one

p(w | context) is `prob` where the gram was seen, else gamma(context) * p(w | shorter context); a
context that was never seen has gamma 1; below single tokens every drawable id has the same share.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sonho.decoding.state import Array, State
from sonho.errors import ModelFileError


class NgramStepper:
    """State: the last order-1 token ids (N, order-1) int64, oldest first, -1 before the start."""

    def __init__(self, order: int, vocab_size: int, arrays: dict[str, Array], masked_ids: Iterable[int]) -> None:
        self.vocab_size, self._order = vocab_size, order
        depths = range(1, order + 1)
        self._keys = [np.zeros(1, np.int64)] + [arrays[f"ngram.{d}.parent_token"] for d in depths]
        self._probs = [np.ones(1)] + [arrays[f"ngram.{d}.prob"].astype(np.float64) for d in depths]
        self._gammas = [arrays[f"ngram.{d}.gamma"].astype(np.float64) for d in range(order)]
        self._check()
        drawable = np.ones(vocab_size, dtype=bool)
        drawable[list(masked_ids)] = False
        self._masked = ~drawable
        self._floor = drawable / drawable.sum()  # (V,)

    def initial_state(self, batch_size: int) -> State:
        return (np.full((batch_size, self._order - 1), -1, dtype=np.int64),)

    def step(self, tokens: Array, state: State) -> tuple[Array, State]:
        """`tokens` (N,) to logits (N, V), log probabilities, and the new state."""
        logits, state = self.forward(tokens[:, None], state)
        return logits[:, 0], state

    def advance(self, tokens: Array, state: State) -> State:
        """The state after `tokens` (N, T)."""
        return (np.concatenate([state[0], tokens], axis=1)[:, tokens.shape[1] :],)

    def forward(self, tokens: Array, state: State) -> tuple[Array, State]:
        """`tokens` (N, T) to logits (N, T, V), log probabilities, and the new state."""
        time = tokens.shape[1]
        seen = np.concatenate([state[0], tokens], axis=1).astype(np.int64)  # (N, order - 1 + T)
        probabilities = np.tile(self._floor, (tokens.size, 1))  # (N * T, V)
        for depth, nodes in enumerate(self._nodes_ending_at(seen)):
            self._interpolate(probabilities, depth, nodes[:, nodes.shape[1] - time :].reshape(-1))
        probabilities[:, self._masked] = 0
        with np.errstate(divide="ignore"):  # the logarithm of 0 is what a masked id should have
            logits = np.log(probabilities).astype(np.float32)
        return logits.reshape(*tokens.shape, self.vocab_size), (seen[:, time:],)

    def _nodes_ending_at(self, seen: Array) -> list[Array]:
        """For each depth 0..order-1, the node (N, order - 1 + T) of the tokens up to each place, or -1."""
        nodes = [np.zeros_like(seen)]
        for depth in range(1, self._order):
            before = np.concatenate([np.full((len(seen), 1), 0 if depth == 1 else -1), nodes[-1][:, :-1]], 1)
            wanted = before * self.vocab_size + seen
            keys = self._keys[depth]
            found = np.searchsorted(keys, wanted)
            there = (before >= 0) & (seen >= 0) & (found < len(keys))
            there &= keys[np.minimum(found, len(keys) - 1)] == wanted if len(keys) else False
            nodes.append(np.where(there, found, -1))
        return nodes

    def _interpolate(self, probabilities: Array, depth: int, nodes: Array) -> None:
        """Go from contexts of depth-1 tokens to contexts of `depth` tokens, in place."""
        rows = np.flatnonzero(nodes >= 0)
        contexts = nodes[rows]
        probabilities[rows] *= self._gammas[depth][contexts, None]
        keys = self._keys[depth + 1]
        first = np.searchsorted(keys, contexts * self.vocab_size)
        counts = np.searchsorted(keys, (contexts + 1) * self.vocab_size) - first
        # The children of all contexts, laid end to end.
        starts = np.repeat(first - np.cumsum(counts) + counts, counts)
        children = starts + np.arange(counts.sum())
        owners = np.repeat(np.arange(len(rows)), counts)
        tokens = keys[children] - contexts[owners] * self.vocab_size
        probabilities[rows[owners], tokens] = self._probs[depth + 1][children]

    def _check(self) -> None:
        """Refuse tables that would send a lookup astray."""
        for depth in range(1, self._order + 1):
            keys, parents = self._keys[depth], len(self._keys[depth - 1])
            sound = len(keys) == len(self._probs[depth]) and len(self._gammas[depth - 1]) == parents
            inside = not len(keys) or (keys[0] >= 0 and keys[-1] < parents * self.vocab_size)
            if not (sound and inside and bool((np.diff(keys) > 0).all())):
                raise ModelFileError(f"the n-gram table of order {depth} is not well formed")
