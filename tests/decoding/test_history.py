from collections import Counter

import numpy as np
import pytest

from sonho.decoding.history import History

IDS = np.random.default_rng(0).integers(0, 6, 80).tolist()


@pytest.mark.parametrize("window", [0, 1, 7, 200])
def test_counts_are_those_of_the_last_tokens(window):
    history = History(6, window=window)
    for end, token in enumerate(IDS, start=1):
        history.push(token)
        counted = Counter(IDS[:end][-window:])
        assert history.counts.tolist() == [counted[symbol] for symbol in range(6)]


@pytest.mark.parametrize("ngram", [1, 2, 3])
def test_repeats_are_the_ends_of_ngrams_already_there(ngram):
    history = History(6, ngram=ngram)
    for end, token in enumerate(IDS, start=1):
        history.push(token)
        so_far = IDS[:end]
        grams = {tuple(so_far[at : at + ngram]) for at in range(end - ngram + 1)}
        start = tuple(so_far[end - ngram + 1 :])
        expected = [symbol for symbol in range(6) if (*start, symbol) in grams]
        assert history.repeats() == expected


def test_nothing_repeats_before_there_is_enough_text():
    assert History(6, ngram=3).repeats() == []
    assert History(6).repeats() == []
