"""The n-gram prior of a model file: what is unpacked, and what is refused."""

import numpy as np
import pytest

from sonho.errors import ModelFileError
from sonho.evaluation.prior_counts import count_prior
from sonho.storage.prior import unpack_prior

V = 7


@pytest.fixture
def arrays():
    tokens = np.random.default_rng(0).choice(np.arange(1, V), 300, p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.05])
    return count_prior(tokens, 4, V, most_bytes=1e9, masked=[0])


def test_every_gram_begins_and_ends_with_grams_that_are_there(arrays):
    trie = unpack_prior(arrays, V)
    grams = {(): 0}
    for node in range(len(trie.suffix)):
        gram = next(gram for gram, number in grams.items() if number == node)
        assert grams[gram[1:]] == trie.suffix[node]
        for child in range(trie.first_child[node], trie.first_child[node + 1]):
            grams[(*gram, int(trie.tokens[child]))] = child
    assert sorted(grams.values()) == list(range(int(trie.levels[-1])))


def test_a_prior_without_grams_is_one(arrays):
    empty = {
        "sizes": np.zeros(2, np.int64),
        "tokens": np.zeros(0, np.uint8),
        "probs": np.zeros(0, np.uint8),
        "children": np.zeros(1, np.uint8),
        "gammas": np.zeros(1, np.uint8),
        "gate": np.zeros((2, 4), np.float32),
    }
    assert unpack_prior(empty, V).levels.tolist() == [0, 1, 1, 1]


def _set(arrays, name, place, value):
    changed = arrays[name].copy()
    changed[place] = value
    return {**arrays, name: changed}


HOSTILE = {
    "an array less": lambda a: {name: a[name] for name in a if name != "probs"},
    "an array more": lambda a: {**a, "more": a["probs"]},
    "probabilities as floats": lambda a: {**a, "probs": a["probs"].astype(np.float32)},
    "tokens with a sign": lambda a: {**a, "tokens": a["tokens"].astype(np.int8)},
    "tokens in two dimensions": lambda a: {**a, "tokens": a["tokens"][None]},
    "a token outside the vocabulary": lambda a: _set(a, "tokens", 5, 200),
    "tokens out of order": lambda a: _set(a, "tokens", slice(0, 2), [2, 1]),
    "a gram without its shorter one": lambda a: _set(a, "tokens", int(a["sizes"][0]), 0),
    "a child too many": lambda a: _set(a, "children", 1, a["children"][1] + 1),
    "a child moved across depths": lambda a: _set(a, "children", [0, -1], a["children"][[0, -1]] + np.uint8(1)),
    "as many children as fit": lambda a: {**a, "children": np.full(len(a["children"]), 2**64 - 1, np.uint64)},
    "gammas cut short": lambda a: {**a, "gammas": a["gammas"][:-1]},
    "tokens cut short": lambda a: {**a, "tokens": a["tokens"][:-1]},
    "no sizes": lambda a: {**a, "sizes": np.zeros(0, np.int64)},
    "a negative size": lambda a: _set(a, "sizes", 1, -1),
    "sizes that overflow": lambda a: _set(a, "sizes", 1, 2**62),
    "an order too high": lambda a: {**a, "sizes": np.zeros(17, np.int64)},
    "a gate of another order": lambda a: {**a, "gate": np.zeros((2, 3), np.float32)},
    "a gate of NaN": lambda a: _set(a, "gate", (0, 0), np.nan),
    "a gate of infinity": lambda a: _set(a, "gate", (1, 1), np.inf),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_arrays_that_would_lead_astray_are_refused(arrays, change):
    with pytest.raises(ModelFileError, match="n-gram prior is not well formed"):
        unpack_prior(change(arrays), V)


def test_noise_is_refused_or_can_be_used(arrays):
    """Whatever bytes are changed: an error of ours, or tables whose every step stays inside."""
    rng = np.random.default_rng(1)
    for _ in range(200):
        name = rng.choice(["sizes", "tokens", "children"])
        changed = _set(arrays, name, rng.integers(len(arrays[name])), rng.integers(0, 9))
        try:
            trie = unpack_prior(changed, V)
        except ModelFileError:
            continue
        assert trie.first_child[-1] == trie.levels[-1] == len(trie.tokens)
        assert (np.diff(trie.first_child) >= 0).all()
        assert trie.tokens.min() >= 0
        assert trie.tokens.max() < V
        assert (trie.suffix[1:] < np.arange(1, len(trie.suffix))).all()
