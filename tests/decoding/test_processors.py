import numpy as np
import pytest

from sonho.decoding.processors import (
    chain,
    frequency_penalty,
    min_p,
    presence_penalty,
    repetition_penalty,
    softmax,
    temperature,
    top_k,
    top_p,
    typical,
    uniform,
)
from sonho.errors import UsageError

LOGITS = np.log([[0.4, 0.3, 0.2, 0.1], [0.05, 0.05, 0.1, 0.8]])


def kept(logits):
    return np.isfinite(logits).tolist()


def test_top_k_keeps_the_k_most_likely_tokens():
    assert kept(top_k(2)(LOGITS)) == [[True, True, False, False], [False, False, True, True]]


def test_top_k_keeps_ties_at_the_threshold():
    assert np.isfinite(top_k(1)(np.array([[2.0, 2.0, 1.0]]))).sum() == 2


def test_top_k_larger_than_the_vocabulary_changes_nothing():
    np.testing.assert_array_equal(top_k(9)(LOGITS), LOGITS)


def test_top_p_keeps_the_fewest_likely_tokens_that_hold_the_share():
    assert kept(top_p(0.69)(LOGITS)) == [[True, True, False, False], [False, False, False, True]]
    assert kept(top_p(0.71)(LOGITS)) == [[True, True, True, False], [False, False, False, True]]


def test_top_p_keeps_ties_and_at_least_the_likeliest():
    assert kept(top_p(0.3)(np.zeros((1, 3)))) == [[True, True, True]]
    assert kept(top_p(1e-9)(LOGITS)) == [[True, False, False, False], [False, False, False, True]]


def test_top_p_of_almost_everything_keeps_everything():
    logits = np.random.default_rng(0).standard_normal((3, 1000))
    assert np.isfinite(top_p(1.0)(logits)).all()


def test_min_p_measures_against_the_likeliest():
    assert kept(min_p(0.5)(LOGITS)) == [[True, True, True, False], [False, False, False, True]]


def test_typical_prefers_the_expected_surprise_to_the_likeliest_token():
    # Entropy 1.11 nats; surprises 0.69, 1.39, 2.30: the middle one is the most typical.
    logits = np.log([[0.5, 0.25, 0.1, 0.1, 0.05]])
    entropy = -(np.exp(logits) * logits).sum()
    nearest = np.argmin(abs(-logits - entropy))
    assert nearest == 1
    assert kept(typical(0.2)(logits)) == [[False, True, False, False, False]]
    assert kept(typical(0.6)(logits)) == [[True, True, False, False, False]]


@pytest.mark.parametrize("processor", [top_k(3), top_p(0.9), min_p(0.1), typical(0.9), uniform(), temperature(2)])
def test_a_token_that_is_ruled_out_stays_out_and_rows_stay_apart(processor):
    logits = np.random.default_rng(1).standard_normal((4, 9))
    logits[:, 2] = -np.inf
    together = processor(logits)
    assert np.isneginf(together[:, 2]).all()
    assert np.isfinite(together).any(axis=1).all()
    for row in range(4):
        np.testing.assert_array_equal(processor(logits[row : row + 1])[0], together[row])


def test_uniform_forgets_what_the_model_says():
    assert uniform()(np.array([[5.0, -np.inf, -5.0]])).tolist() == [[0.0, -np.inf, 0.0]]


def test_temperature_sharpens_and_flattens():
    np.testing.assert_allclose(softmax(temperature(1.0)(LOGITS)), np.exp(LOGITS))
    np.testing.assert_allclose(softmax(temperature(1e9)(LOGITS)), 0.25, atol=1e-8)
    np.testing.assert_allclose(softmax(temperature(1e-9)(LOGITS)), [[1, 0, 0, 0], [0, 0, 0, 1]])


def test_a_chain_runs_from_left_to_right():
    # Flattened first, three tokens are needed for the share; top-p first leaves two.
    assert np.isfinite(chain(temperature(9), top_p(0.69))(LOGITS)[0]).sum() == 3
    assert np.isfinite(chain(top_p(0.69), temperature(9))(LOGITS)[0]).sum() == 2


COUNTS = np.array([[0.0, 1.0, 3.0]])


def test_repetition_penalty_lowers_both_signs_of_tokens_already_there():
    processed = repetition_penalty(2.0)(np.array([[1.0, 1.0, -1.0]]), COUNTS)
    assert processed.tolist() == [[1.0, 0.5, -2.0]]


def test_frequency_counts_every_time_and_presence_once():
    logits = np.array([[1.0, 1.0, 1.0]])
    assert frequency_penalty(0.5)(logits, COUNTS).tolist() == [[1.0, 0.5, -0.5]]
    assert presence_penalty(0.5)(logits, COUNTS).tolist() == [[1.0, 0.5, 0.5]]


@pytest.mark.parametrize(
    ("make", "value", "message"),
    [
        (top_k, 0, "top_k must be at least 1, got 0; leave it out to keep every token"),
        (top_k, -3, "top_k must be at least 1, got -3"),
        (top_p, 0.0, r"top_p must be above 0 and at most 1, got 0\.0"),
        (top_p, 1.5, r"top_p must be above 0 and at most 1, got 1\.5"),
        (top_p, float("nan"), "top_p must be above 0"),
        (min_p, 1.0, r"min_p must be above 0 and below 1, got 1\.0"),
        (typical, -1.0, "typical_p must be above 0 and at most 1"),
        (temperature, 0.0, "temperature must be a finite number above 0"),
        (repetition_penalty, 0.0, "repetition_penalty must be a finite number above 0"),
        (frequency_penalty, float("inf"), "frequency_penalty must be a finite number, got inf"),
        (presence_penalty, float("nan"), "presence_penalty must be a finite number, got nan"),
    ],
)
def test_a_value_out_of_bounds_is_refused_in_one_line(make, value, message):
    with pytest.raises(UsageError, match=message) as error:
        make(value)
    assert "\n" not in str(error.value)
