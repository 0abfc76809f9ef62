"""An n-gram model as a stepper: the Markov chain of the textbooks.

Shapes: N rows, T time, V vocabulary, order n. A *node* is a gram that was seen; nodes of depth d are
the grams of d tokens, and depth 0 has one node, the empty gram. Arrays:

    ngram.d.parent_token  (nodes of depth d,) int64, ascending: (node of the first d-1 tokens) * V + token
    ngram.d.prob          (nodes of depth d,) float32: p(last token | the d-1 before it), interpolated
    ngram.d.suffix        (nodes of depth d,) int64: node of the gram without its first token
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
        self._suffixes = [np.zeros(1, np.int64)] + [arrays[f"ngram.{d}.suffix"] for d in depths]
        self._gammas = [arrays[f"ngram.{d}.gamma"].astype(np.float64) for d in range(order)]
        self._check()
        drawable = np.ones(vocab_size, dtype=bool)
        drawable[list(masked_ids)] = False
        self._masked = ~drawable
        self._floor = drawable / drawable.sum()  # (V,)

    def initial_state(self, batch_size: int, condition: Array | None = None) -> State:
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
        seen = np.concatenate([state[0], tokens], axis=1)  # (N, order - 1 + T)
        probabilities = np.empty((*tokens.shape, self.vocab_size))
        for row, ids in enumerate(seen.tolist()):
            for t in range(tokens.shape[1]):
                # Up to the token at t, which is at order - 1 + t of what was seen.
                self._distribution(ids[t + 1 : t + self._order], out=probabilities[row, t])
        probabilities[..., self._masked] = 0
        with np.errstate(divide="ignore"):  # the logarithm of 0 is what a masked id should have
            logits = np.log(probabilities).astype(np.float32)
        return logits, (seen[:, tokens.shape[1] :],)

    def _distribution(self, context: list[int], out: Array) -> None:
        """Write p(token | the order-1 ids of `context`) for every token into `out` (V,)."""
        out[:] = self._floor
        for depth, node in enumerate(self._nodes(context)):
            first_key = node * self.vocab_size
            keys = self._keys[depth + 1]
            first, last = keys.searchsorted((first_key, first_key + self.vocab_size))
            out *= self._gammas[depth][node]
            out[keys[first:last] - first_key] = self._probs[depth + 1][first:last]

    def _nodes(self, context: list[int]) -> list[int]:
        """The nodes of the ends of `context` that were seen, shortest first: the empty one, the last token, ..."""
        for start in range(len(context)):
            node = self._find(context[start:])
            if node >= 0:
                nodes = [node]
                for depth in range(len(context) - start, 0, -1):
                    nodes.append(int(self._suffixes[depth][nodes[-1]]))
                return nodes[::-1]
        return [0]

    def _find(self, gram: list[int]) -> int:
        """The node of a gram, or -1. What stands before the start, -1, makes a key that no table has."""
        node = 0
        for keys, token in zip(self._keys[1:], gram, strict=False):
            key = node * self.vocab_size + token
            node = int(keys.searchsorted(key))
            if node == len(keys) or keys[node] != key:
                return -1
        return node

    def _check(self) -> None:
        """Refuse tables that would send a lookup astray."""
        for depth in range(1, self._order + 1):
            keys, parents = self._keys[depth], len(self._keys[depth - 1])
            suffixes = self._suffixes[depth]
            sound = len(keys) == len(self._probs[depth]) == len(suffixes)
            sound = sound and len(self._gammas[depth - 1]) == parents and bool((np.diff(keys) > 0).all())
            if sound and len(keys):
                sound = keys[0] >= 0 and keys[-1] < parents * self.vocab_size
                sound = sound and suffixes.min() >= 0 and suffixes.max() < parents
            if not sound:
                raise ModelFileError(f"the n-gram table of order {depth} is not well formed")
