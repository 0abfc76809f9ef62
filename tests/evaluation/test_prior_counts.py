"""Counts that are pruned and packed."""

import numpy as np
import pytest

from sonho.decoding.prior import Prior
from sonho.evaluation.kneser_ney import fit
from sonho.evaluation.prior_counts import PRUNED_FROM, count_prior, num_bytes, pack, pruned
from sonho.storage.prior import unpack_prior

V = 9


@pytest.fixture
def tokens():
    rng = np.random.default_rng(2)
    words = [rng.integers(1, V, rng.integers(2, 6)) for _ in range(40)]
    return np.concatenate([words[i] for i in rng.integers(0, 40, 900)])


def grams_of(model):
    """The grams of each depth as tuples, in the order of their nodes."""
    depths = [[()]]
    for keys in model.keys:
        parent, token = np.divmod(keys, model.vocab_size)
        pairs = zip(parent.tolist(), token.tolist(), strict=True)
        depths.append([(*depths[-1][p], t) for p, t in pairs])
    return depths


def test_probabilities_after_pruning_still_add_up_to_one(tokens):
    model = pruned(fit(tokens, 5, V, masked=[0]), 3)
    assert len(model.keys[4]) < len(fit(tokens, 5, V, masked=[0]).keys[4])
    for depth in range(5):
        for context in grams_of(model)[depth][::7]:
            filled = np.array([[*context, w] for w in range(1, V)])
            total = sum(np.exp(model.log_probs(row)[-1]) for row in filled) if depth else 1.0
            assert total == pytest.approx(1.0, abs=1e-5)


def test_long_grams_seen_once_go_unless_others_need_them(tokens):
    model = fit(tokens, 5, V, masked=[0])
    left = pruned(model, 3)
    kept = [set(grams) for grams in grams_of(left)]
    assert kept[:3] == [set(grams) for grams in grams_of(model)[:3]]
    for depth in range(3, 6):
        for gram, count in zip(grams_of(model)[depth], model.counts[depth - 1].tolist(), strict=True):
            if count > 1:
                assert gram in kept[depth]
    for depth in range(1, 6):
        assert all(gram[1:] in kept[depth - 1] and gram[:-1] in kept[depth - 1] for gram in kept[depth])


def test_packed_probabilities_are_those_of_the_model_to_a_sixteenth_of_a_nat(tokens):
    model = fit(tokens, 4, V, masked=[0])
    prior = Prior(unpack_prior(pack(model), V), [0])
    nodes = prior.advance(tokens[None, :60], np.zeros(1, np.int64))[0]
    for t in range(5, 60):
        _, _, _, log_probs = prior.features(int(nodes[t]))
        expected = [model.log_probs(np.append(tokens[t - 4 : t + 1], w))[-1] for w in range(1, V)]
        np.testing.assert_allclose(log_probs[1:], expected, atol=0.11)  # one code, and gammas below it
    assert np.exp(log_probs[1:]).sum() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("length", [2, 30, 400, 5000])
def test_the_counts_take_no_more_than_they_may(length):
    noise = np.random.default_rng(3).integers(1, 200, length)  # nothing repeats: the worst there is
    arrays = count_prior(noise, 7, 256, most_bytes=4 * length, masked=[0])
    fixed = num_bytes(count_prior(noise[:2], 1, 256, most_bytes=0, masked=[0]))
    assert num_bytes(arrays) <= max(4 * length, fixed + 4 * length)
    unpack_prior(arrays, 256)


def test_the_whole_order_is_kept_where_there_is_room(tokens):
    assert len(count_prior(tokens, 7, V, most_bytes=1e9, masked=[0])["sizes"]) == 7
    assert PRUNED_FROM <= 7


def test_shakespeare_takes_less_than_twice_its_bytes(shakespeare):
    ids = np.unique(np.frombuffer(shakespeare[:200_000].encode(), np.uint8), return_inverse=True)[1] + 1
    arrays = count_prior(ids, 7, 70, most_bytes=4 * len(ids), masked=[0])
    assert len(arrays["sizes"]) == 7
    assert num_bytes(arrays) < 3 * len(ids)
