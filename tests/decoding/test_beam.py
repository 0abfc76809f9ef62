"""Beam search against the enumeration of every text, and that items do not disturb each other."""

from itertools import product

import numpy as np
import pytest

from sonho.decoding.beam import BeamSettings, penalty, search

V, EOS, MOST = 4, 3, 4


class Table:
    """Next-token logits that depend on the item, the time and the last two tokens; attention says which."""

    def __init__(self, items, seed=0):
        self.logits = np.random.default_rng(seed).normal(size=(items, MOST, V, V, V)).astype(np.float32) * 2

    def initial_state(self, items=None):
        items = np.arange(len(self.logits)) if items is None else np.asarray(items)
        zeros = np.zeros(len(items), np.int64)
        return items, zeros, zeros

    def step(self, tokens, state):
        items, times, before = state
        weights = np.stack([items, times, tokens], axis=1).astype(np.float32)
        return self.logits[items, times, before, tokens].copy(), (items, times + 1, tokens), weights


def log_softmax(logits):
    return logits - np.log(np.exp(logits.astype(np.float64)).sum())


def enumerated(table, item, settings):
    """Every text of at most MOST tokens, <eos> counted, with its score."""
    found = []
    for length in range(MOST):
        for text in product(range(EOS), repeat=length):
            total, before, last = 0.0, 0, 0
            for time, token in enumerate([*text, EOS]):
                total += log_softmax(table.logits[item, time, before, last])[token]
                before, last = last, token
            found.append((total / penalty(length + 1, settings), text))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("normalisation", ["wu", "power", "none"])
def test_a_beam_that_holds_all_finds_the_best_of_all_texts(normalisation):
    settings = BeamSettings(beam=100, n_best=3, normalisation=normalisation, length_penalty=0.8)
    table = Table(2)
    results = search(table.step, table.initial_state(), np.full(2, MOST), start_id=0, eos_id=EOS, settings=settings)
    for item, hypotheses in enumerate(results):
        wanted = enumerated(table, item, settings)[:3]
        assert [tuple(h.ids.tolist()) for h in hypotheses] == [text for _, text in wanted]
        np.testing.assert_allclose([h.score for h in hypotheses], [score for score, _ in wanted], rtol=1e-5)


def test_a_beam_of_one_takes_the_likeliest_token_each_time():
    table = Table(5)
    settings = BeamSettings(beam=1)
    results = search(table.step, table.initial_state(), np.full(5, MOST), start_id=0, eos_id=EOS, settings=settings)
    for item, [found] in enumerate(results):
        before, last, text = 0, 0, []
        while len(text) < MOST:
            token = int(table.logits[item, len(text), before, last].argmax())
            if token == EOS:
                break
            text.append(token)
            before, last = last, token
        assert found.ids.tolist() == text
        assert found.finished == (len(text) < MOST)


def test_an_item_has_the_texts_that_it_has_alone():
    table = Table(6, seed=3)
    most = np.array([4, 1, 3, 2, 4, 4])
    settings = BeamSettings(beam=3, n_best=2)
    together = search(table.step, table.initial_state(), most, start_id=0, eos_id=EOS, settings=settings)
    for item, hypotheses in enumerate(together):
        [alone] = search(
            table.step, table.initial_state([item]), most[[item]], start_id=0, eos_id=EOS, settings=settings
        )
        assert [h.ids.tolist() for h in alone] == [h.ids.tolist() for h in hypotheses]
        assert [h.score for h in alone] == [h.score for h in hypotheses]
        assert all(len(h.ids) <= most[item] for h in hypotheses)


def test_the_attention_of_a_text_is_what_its_own_rows_looked_at():
    table = Table(4, seed=5)
    settings = BeamSettings(beam=3, n_best=3)
    results = search(table.step, table.initial_state(), np.full(4, MOST), start_id=0, eos_id=EOS, settings=settings)
    assert any(len(h.ids) > 1 for hypotheses in results for h in hypotheses)
    for item, hypotheses in enumerate(results):
        for found in hypotheses:
            read = [0, *found.ids.tolist()][: len(found.ids)]
            wanted = [[item, time, token] for time, token in enumerate(read)]
            assert found.attention.reshape(-1, 3).tolist() == wanted


def test_a_log_probability_is_that_of_its_tokens():
    table = Table(1, seed=7)
    settings = BeamSettings(beam=4, n_best=4, normalisation="none")
    [found] = search(table.step, table.initial_state(), np.full(1, 2), start_id=0, eos_id=EOS, settings=settings)
    assert len(found) == 4
    for one in found:
        total, before, last = 0.0, 0, 0
        for time, token in enumerate([*one.ids.tolist(), *([EOS] if one.finished else [])]):
            total += log_softmax(table.logits[0, time, before, last])[token]
            before, last = last, token
        assert one.log_probability == pytest.approx(total, rel=1e-5)
        assert one.score == one.log_probability
