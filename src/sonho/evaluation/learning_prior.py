"""A prior whose counts go on learning: what a text has repeated so far is added to what training counted.

For each length L of a context, shortest first, with n tokens seen after it so far, t of them different, c of them w:

    p_L(w) = (max(c - discount, 0) + (strength + discount * t) * p_L-1(w)) / (n + strength)

and below the shortest is the prior of the model file: a Pitman-Yor process for each context (Teh 2006) with fixed
numbers. A token is counted at a shorter length only where it is new at the longer one, as Kneser-Ney counts. What comes
out takes the prior's place in the mixture. A token is predicted before it is counted.

Shapes: N rows, T time, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from sonho.decoding.prior import Prior
from sonho.decoding.state import Array, State
from sonho.decoding.stepper import Stepper
from sonho.storage.prior import PriorTrie

PAD, NOTHING = 0, -1  # behind the end and before the start


@dataclass(frozen=True)
class Learning:
    """How counts learn. Chosen on a validation part (docs/log.md)."""

    shortest: int = 3
    longest: int = 6
    discount: float = 0.8
    strength: float = 10.0


@dataclass
class Seen:
    """What came after one context: ids and how often, and how often in all."""

    counts: dict[int, int] = field(default_factory=dict)
    total: int = 0


class LearningPriorStepper:
    """Any stepper with a prior that counts what `forward` is fed. `step` and `advance` only predict.

    State: that of the stepper, the nodes (N,) int64, and the last ids (N, longest + 1) int64, oldest first, -1 before
    the start. `end_id`: what stands behind a record, where the ids of a row end and <pad> follows.
    """

    def __init__(
        self,
        stepper: Stepper,
        trie: PriorTrie,
        masked_ids: Collection[int],
        *,
        end_id: int,
        learning: Learning | None = None,
    ) -> None:
        self.vocab_size = stepper.vocab_size
        self._stepper, self._prior = stepper, Prior(trie, masked_ids)
        self._learning, self._end_id = learning or Learning(), end_id
        self._seen: dict[tuple[int, ...], Seen] = {}

    def initial_state(self, batch_size: int, condition: Array | None = None) -> State:
        ids = np.full((batch_size, self._learning.longest + 1), NOTHING, np.int64)
        return (*self._stepper.initial_state(batch_size, condition), np.zeros(batch_size, np.int64), ids)

    def step(self, tokens: Array, state: State) -> tuple[Array, State]:
        """`tokens` (N,) to logits (N, V) and the new state; nothing is counted."""
        logits, after = self._stepper.step(tokens, state[:-2])
        nodes = self._prior.advance(tokens[:, None], state[-2])
        ids = np.append(state[-1], tokens[:, None], axis=1)[:, 1:]
        mixed = np.array(logits, np.float32)
        for row in range(len(tokens)):
            self._mix(mixed[row], int(nodes[row, 0]), ids[row].tolist())
        return mixed, (*after, nodes[:, 0], ids)

    def advance(self, tokens: Array, state: State) -> State:
        """The state after `tokens` (N, T); nothing is counted."""
        after = self._stepper.advance(tokens, state[:-2])
        nodes = np.append(state[-2][:, None], self._prior.advance(tokens, state[-2]), axis=1)[:, -1]
        return (*after, nodes, np.append(state[-1], tokens, axis=1)[:, tokens.shape[1] :])

    def forward(self, tokens: Array, state: State) -> tuple[Array, State]:
        """`tokens` (N, T) to logits (N, T, V) and the new state; each token is counted before the next is predicted."""
        logits, after = self._stepper.forward(tokens, state[:-2])
        nodes = np.append(state[-2][:, None], self._prior.advance(tokens, state[-2]), axis=1)
        mixed, width = np.array(logits, np.float32), self._learning.longest + 1
        ids = np.append(state[-1], tokens, axis=1)  # (N, longest + 1 + T)
        for row, history in enumerate(ids.tolist()):
            for t in range(tokens.shape[1]):
                recent = history[t + 1 : t + 1 + width]
                if recent[-1] != PAD:
                    self._count(recent)
                    self._mix(mixed[row, t], int(nodes[row, t + 1]), recent)
                elif recent[-2] != PAD:
                    self._count([*recent[:-1], self._end_id])
        return mixed, (*after, nodes[:, -1], ids[:, tokens.shape[1] :])

    def _mix(self, logits: Array, node: int, recent: list[int]) -> None:
        """Mix the prediction after the ids `recent` into logits (V,), in place."""
        network, ngram, log_probs = self._prior.prediction(node)
        if (probabilities := self._learned(log_probs, recent)) is not None:
            log_probs = np.log(probabilities).astype(np.float32)
        logits *= network
        logits += ngram * log_probs

    def _learned(self, log_probs: Array, recent: list[int]) -> Array | None:
        """Probabilities (V,) float64 of what follows `recent`, or None where nothing was counted after its end."""
        learning, probabilities = self._learning, None
        for length in range(learning.shortest, learning.longest + 1):
            seen = self._seen.get(tuple(recent[-length:]))
            if seen is None:
                break  # nor was any longer context seen
            if probabilities is None:
                probabilities = np.exp(log_probs, dtype=np.float64)
            whole = seen.total + learning.strength
            probabilities *= (learning.strength + learning.discount * len(seen.counts)) / whole
            for token, count in seen.counts.items():
                probabilities[token] += (count - learning.discount) / whole
        return probabilities

    def _count(self, recent: list[int]) -> None:
        """Count the last of `recent` after the ids before it, the longest context first."""
        *before, token = recent
        for length in range(self._learning.longest, self._learning.shortest - 1, -1):
            context = tuple(before[-length:])
            if context[0] == NOTHING:
                continue
            seen = self._seen.setdefault(context, Seen())
            known = token in seen.counts
            seen.counts[token] = seen.counts.get(token, 0) + 1
            seen.total += 1
            if known:
                break
