import warnings
from itertools import pairwise

import numpy as np
import pytest

from sonho.decoding.sampler import BLOCK, Sampler, Source, invert
from sonho.decoding.settings import Settings, ramp
from sonho.errors import ModelFileError, UsageError

LOGITS = np.log(np.array([[0.1, 0.2, 0.3, 0.4]], np.float32))


FIRST = Source(seed=1, stream=0)


def make(sources=(FIRST,), *, bias=None, forced=None, **options):
    return Sampler(Settings(**options), sources, bias=bias, forced=forced or {})


def draws(sampler, count, logits=LOGITS):
    tokens = []
    for position in range(count):
        tokens.append(int(sampler.draw(logits, position)[0]))
        sampler.record(tokens[-1:])
    return tokens


def test_tokens_come_as_often_as_the_model_says():
    counts = np.bincount(draws(make(temperature=1.0), 8_000), minlength=4) / 8_000
    np.testing.assert_allclose(counts, [0.1, 0.2, 0.3, 0.4], atol=0.02)


def test_temperature_squares_the_odds_at_a_half():
    counts = np.bincount(draws(make(temperature=0.5), 8_000), minlength=4) / 8_000
    np.testing.assert_allclose(counts, np.array([1, 4, 9, 16]) / 30, atol=0.02)


def test_pure_chance_ignores_model_and_temperature_but_not_bans():
    bias = np.array([0.0, 0, -np.inf, 0])
    counts = np.bincount(draws(make(uniform=True, temperature=0.0, bias=bias), 9_000), minlength=4) / 9_000
    np.testing.assert_allclose(counts, [1 / 3, 1 / 3, 0, 1 / 3], atol=0.02)


def test_temperature_0_takes_the_likeliest_and_the_lowest_id_of_a_tie():
    sampler = make(temperature=0)
    assert sampler.draw(np.array([[0.0, 3.0, 3.0, 1.0]], np.float32), 0).tolist() == [1]


@pytest.mark.parametrize("temperature", [5e-324, 1e-300, 1e-9, 1e9, 1e300])
def test_any_temperature_draws_a_token_without_a_warning(temperature):
    logits = np.array([[-np.inf, 3e38, -3e38, 0.0, -np.inf]], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokens = set(draws(make(temperature=temperature), 200, logits))
    assert tokens <= {1, 2, 3}
    assert temperature > 1 or tokens == {1}


def test_a_token_of_weight_zero_is_never_drawn_even_at_the_ends():
    weights = np.array([[0.0, 1.0, 0.0, 0.2, 0.0]])
    for share in (0.0, np.nextafter(1.0, 0.0)):
        assert invert(weights, np.array([[share]])).item() in (1, 3)


def test_the_largest_share_stays_below_any_total():
    largest = (2**53 - 1) / 2**53
    for total in np.random.default_rng(0).uniform(1, 50, 2000):
        assert largest * total < total


def test_the_same_seed_repeats_and_another_stream_or_seed_does_not():
    runs = [draws(make([source]), 40) for source in (Source(7, 0), Source(7, 0), Source(7, 1), Source(8, 0))]
    assert runs[0] == runs[1]
    assert len({tuple(run) for run in runs}) == 3


def test_rows_draw_the_same_alone_together_and_after_others_left():
    sources = [Source(seed, stream) for seed in (3, 4) for stream in (0, 1)]
    logits = np.random.default_rng(0).standard_normal((4, 11)).astype(np.float32)
    together, last = make(sources, top_p=0.9), BLOCK + 5
    rows = [0, 1, 2, 3]
    for position in range(last):
        if position == 9:
            rows = [1, 3]
            together.keep(rows)
        drawn = together.draw(logits[rows], position)
    for slot, row in enumerate(rows):
        alone = make([sources[row]], top_p=0.9)
        assert alone.draw(logits[row : row + 1], last - 1)[0] == drawn[slot]


def test_a_schedule_that_turns_greedy_for_a_while_draws_its_own_numbers_after():
    pause = range(5, BLOCK + 2)
    with_pause = draws(make(temperature=lambda position: 0.0 if position in pause else 1.0), BLOCK + 40)
    assert with_pause[BLOCK + 2 :] == draws(make(temperature=1.0), BLOCK + 40)[BLOCK + 2 :]


def test_a_schedule_gives_each_position_its_temperature():
    schedule = ramp(1e9, 1e-9, 3)
    assert schedule(1) == pytest.approx(5e8)
    assert draws(make(temperature=schedule), 9)[2:] == [3] * 7
    with pytest.raises(UsageError, match="temperature must be a finite number of at least 0, got -1"):
        make(temperature=lambda position: -1).draw(LOGITS, 0)


def test_penalties_count_the_prompt_and_what_was_drawn():
    sampler = make([Source(1, 0, (3,))], temperature=0, presence_penalty=100.0)
    assert draws(sampler, 4) == [2, 1, 0, 3]


def test_the_window_of_the_penalties_forgets():
    sampler = make([Source(1, 0, (3,))], temperature=0, presence_penalty=100.0, repetition_window=1)
    assert draws(sampler, 5) == [2, 3, 2, 3, 2]


def test_histories_follow_their_rows():
    sources = [Source(1, 0, (3,)), Source(1, 1, (2,)), Source(1, 2, (3, 2))]
    sampler = make(sources, temperature=0, frequency_penalty=100.0)
    assert sampler.draw(np.repeat(LOGITS, 3, axis=0), 0).tolist() == [2, 3, 1]
    sampler.record([2, 3, 1])
    sampler.keep([0, 2])
    assert sampler.draw(np.repeat(LOGITS, 2, axis=0), 1).tolist() == [1, 0]


def test_no_ngram_comes_twice():
    tokens = draws(make(temperature=1.0, no_repeat_ngram=2), 15)
    assert len(set(pairwise(tokens))) == 14


def test_the_rule_against_repeats_gives_way_when_nothing_is_left():
    assert sorted(draws(make(no_repeat_ngram=1), 6)[:4]) == [0, 1, 2, 3]


def test_bias_bans_and_forced_symbols_come_before_the_draw():
    assert set(draws(make(temperature=1.0, bias=np.array([0, -np.inf, 0, -np.inf])), 50)) == {0, 2}
    assert set(draws(make(temperature=1.0, bias=np.array([99.0, 0, 0, 0])), 50)) == {0}
    assert draws(make(temperature=0, forced={1: 0, 3: 1}), 4) == [3, 0, 3, 1]


def test_truncation_comes_after_the_temperature():
    # At temperature 9 the four are nearly even, so half of the probability takes three of them.
    assert len(set(draws(make(temperature=9.0, top_p=0.6), 300))) == 3
    assert len(set(draws(make(temperature=0.5, top_p=0.6), 300))) == 2


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("temperature", [0, 1.0])
def test_logits_that_are_not_numbers_are_an_error_and_not_garbage(value, temperature):
    logits = LOGITS.copy()
    logits[0, 1] = value
    with pytest.raises(ModelFileError, match="logits are not numbers at token 5"):
        make(temperature=temperature).draw(logits, 5)


def test_an_error_says_when_every_token_is_ruled_out():
    with pytest.raises(UsageError, match="no symbol is left to draw at token 0"):
        make(bias=np.full(4, -np.inf)).draw(LOGITS, 0)
