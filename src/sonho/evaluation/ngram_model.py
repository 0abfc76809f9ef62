"""A fitted n-gram model: scoring whole arrays of tokens at once, and to and from the arrays of a model file.

Knows ids, not text, and not how the numbers were estimated: see kneser_ney.py, which also names the
arrays. V is the size of the vocabulary, L the number of tokens, R of records, M of predictions, S_n of
nodes at depth n.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sonho.errors import ModelFileError

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class NgramModel:
    """A model of `order` tokens, the predicted one included.

    `keys`, `prob` and `suffix` hold the depths 1..order, `gamma` the depths 0..order-1. `counts`, how often each
    gram was seen, also the depths 1..order, is there while the model is fresh; a file does not hold it.
    """

    order: int
    vocab_size: int
    masked: frozenset[int]
    keys: tuple[Ints, ...]
    prob: tuple[Floats, ...]
    suffix: tuple[Ints, ...]
    gamma: tuple[Floats, ...]
    counts: tuple[Ints, ...] = ()

    def log_probs(self, tokens: np.ndarray, offsets: np.ndarray | None = None) -> NDArray[np.float64]:
        """Log-probability in nats of every predicted token, (M,).

        A stream (`offsets` None) predicts all tokens but its first: M = L - 1. Records, `offsets` (R + 1,),
        predict every token, each record in the context of `<eos>` alone: M = L.
        """
        return self.score(tokens, offsets)[0]

    def score(self, tokens: np.ndarray, offsets: np.ndarray | None = None) -> tuple[NDArray[np.float64], Ints]:
        """Log-probability in nats of every predicted token (M,), and the token held likeliest there (M,)."""
        ids, starts = lay_out(tokens, offsets, self.vocab_size)
        prob = self._uniform[ids]  # (L,) or (L + R,)
        guess = np.zeros(len(ids), np.int64)
        context = np.zeros(len(ids), np.int64)  # node of the n - 1 tokens before each position, or -1
        for n in range(1, self.order + 1):
            prob = _at(self.gamma[n - 1], context, np.ones(len(ids))) * prob
            guess = _at(self._likeliest[n - 1], context, guess)
            node = _find(self.keys[n - 1], np.where(context >= 0, context * self.vocab_size + ids, -1))
            prob = _at(self.prob[n - 1], node, prob)
            context = shift(node, starts)
        predicted = np.ones(len(ids), bool)
        predicted[starts] = False
        with np.errstate(divide="ignore"):  # a masked id has no probability: minus infinity is right
            return np.log(prob[predicted]), guess[predicted]

    @property
    def _uniform(self) -> NDArray[np.float64]:
        """What is left when no context is: (V,), 0 for masked ids."""
        uniform = np.full(self.vocab_size, 1.0 / (self.vocab_size - len(self.masked)))
        uniform[list(self.masked)] = 0.0
        return uniform

    @cached_property
    def _likeliest(self) -> list[Ints]:
        """The likeliest token after every context, for depths 0..order-1, each (S_n,).

        It is either the context's likeliest gram or the likeliest token after the shorter context:
        any other token that forms no gram here is less likely than that one.
        """
        tokens: list[Ints] = []
        probs: list[np.ndarray] = []
        for n in range(self.order):
            if n == 0:
                best = np.array([int(np.argmax(self._uniform))])
                prob = self.gamma[0] * self._uniform.max()
            else:
                best = tokens[-1][self.suffix[n - 1]]
                prob = self.gamma[n] * probs[-1][self.suffix[n - 1]]
            parent, token = np.divmod(self.keys[n], self.vocab_size)
            first = np.flatnonzero(np.diff(parent, prepend=-1))
            if len(first):
                highest = np.full(len(best), -1.0, np.float32)
                highest[parent[first]] = np.maximum.reduceat(self.prob[n], first)
                wins = np.flatnonzero((self.prob[n] == highest[parent]) & (highest >= prob)[parent])[::-1]
                best = best.copy()
                best[parent[wins]] = token[wins]  # backwards, so that the first of equals is written last
                prob = np.maximum(prob, highest)
            tokens.append(best)
            probs.append(prob)
        return tokens

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The arrays of a model file, named as in kneser_ney.py."""
        arrays: dict[str, np.ndarray] = {}
        for n in range(1, self.order + 1):
            arrays[f"ngram.{n}.parent_token"] = self.keys[n - 1]
            arrays[f"ngram.{n}.prob"] = self.prob[n - 1]
            arrays[f"ngram.{n}.suffix"] = self.suffix[n - 1]
            arrays[f"ngram.{n - 1}.gamma"] = self.gamma[n - 1]
        return arrays

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], order: int, vocab_size: int, masked: Collection[int] = ()
    ) -> NgramModel:
        """The model that to_arrays wrote. Raises ModelFileError where the arrays cannot be one."""
        keys, prob, suffix, gamma = [], [], [], []
        size = 1
        for n in range(1, order + 1):
            gamma.append(_checked(arrays, f"ngram.{n - 1}.gamma", np.float32, size))
            keys.append(_checked(arrays, f"ngram.{n}.parent_token", np.int64, None))
            if len(keys[-1]) and (
                keys[-1][0] < 0 or keys[-1][-1] >= size * vocab_size or (np.diff(keys[-1]) <= 0).any()
            ):
                raise ModelFileError(f"ngram.{n}.parent_token is not sorted or leaves the trie; the file is damaged")
            prob.append(_checked(arrays, f"ngram.{n}.prob", np.float32, len(keys[-1])))
            suffix.append(_checked(arrays, f"ngram.{n}.suffix", np.int64, len(keys[-1])))
            if len(keys[-1]) and (suffix[-1].min() < 0 or suffix[-1].max() >= size):
                raise ModelFileError(f"ngram.{n}.suffix points outside the trie; the file is damaged")
            size = len(keys[-1])
        hidden = frozenset(int(i) for i in masked)
        return cls(order, vocab_size, hidden, tuple(keys), tuple(prob), tuple(suffix), tuple(gamma))


def lay_out(tokens: np.ndarray, offsets: np.ndarray | None, vocab_size: int) -> tuple[Ints, Ints]:
    """The ids that are read, and the positions, never predicted, at which a context starts anew.

    A stream is read as it is and starts at 0. `<eos>`, the last id, is put before every record.
    """
    ids = tokens.astype(np.int64)
    if offsets is None:
        return ids, np.zeros(min(1, len(ids)), np.int64)
    begins = np.asarray(offsets[:-1], np.int64)
    return np.insert(ids, begins, vocab_size - 1), begins + np.arange(len(begins))


def shift(node: Ints, starts: Ints) -> Ints:
    """From the gram that ends at each position to the context before each position, -1 at the starts."""
    context = np.empty_like(node)
    context[1:] = node[:-1]
    context[starts] = -1
    return context


def _at(values: np.ndarray, places: Ints, otherwise: np.ndarray) -> np.ndarray:
    """The value at each place, or what stands in `otherwise` where the place is -1."""
    known = places >= 0
    result = otherwise.copy()
    result[known] = values[places[known]]
    return result


def _find(keys: Ints, wanted: Ints) -> Ints:
    """The place of each wanted key among the sorted keys, -1 where it is absent or negative."""
    if not len(keys):
        return np.full(len(wanted), -1, np.int64)
    place = np.searchsorted(keys, wanted)
    place[place == len(keys)] = 0
    return np.where(keys[place] == wanted, place, -1)


def _checked(arrays: Mapping[str, np.ndarray], name: str, dtype: type, size: int | None) -> np.ndarray:
    array = arrays.get(name)
    if array is None:
        raise ModelFileError(f"the n-gram model lacks the array {name}; the file is damaged")
    if array.ndim != 1 or array.dtype != dtype or (size is not None and len(array) != size):
        raise ModelFileError(f"{name} has the shape {array.shape} {array.dtype}; expected ({size},) {dtype.__name__}")
    if array.dtype == np.float32 and not ((array >= 0) & (array <= np.float32(1.001))).all():
        raise ModelFileError(f"{name} holds numbers that are no probabilities; the file is damaged")
    return array
