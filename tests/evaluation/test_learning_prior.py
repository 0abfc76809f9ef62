"""Counts that take in what is read, each token after it was predicted."""

import numpy as np
import pytest

from sonho.decoding.prior import PriorStepper, native_prior
from sonho.decoding.stepper import build_stepper
from sonho.evaluation.evaluate import log_softmax, target_nats
from sonho.evaluation.learning_prior import Learning, LearningPriorStepper
from sonho.evaluation.prior_counts import count_prior
from sonho.native import library
from sonho.storage.prior import unpack_prior
from sonho.text import masked_ids

EOS = 5


@pytest.fixture
def make(network):
    """make(kind, **learning): a stepper that counts, over a random network with counts of a little noise."""

    def build(kind="stream", **learning):
        file = network(kind=kind)
        masked = list(masked_ids(file.tokenizer, file.data_kind))
        noise = np.random.default_rng(6).integers(1, 5, 200)
        file.prior = count_prior(noise, 3, file.tokenizer.vocab_size, most_bytes=1e9, masked=masked)
        file.prior["gate"][:, :-2] = [[0.2], [0.9]]
        trie = unpack_prior(file.prior, file.tokenizer.vocab_size)
        stepper = build_stepper(file, prior=False)
        return file, LearningPriorStepper(stepper, trie, masked, end_id=EOS, learning=Learning(**learning))

    return build


def nats(stepper, ids):
    logits, _ = stepper.forward(ids[None, :-1], stepper.initial_state(1))
    return target_nats(logits[0], ids[1:])


def test_what_comes_again_is_expected(make):
    rng = np.random.default_rng(7)
    tune = rng.integers(1, 5, 60)
    _, stepper = make()
    surprise = nats(stepper, np.concatenate([tune, tune]))
    assert surprise[70:].mean() < 0.9 * surprise[10:59].mean()


def test_before_anything_is_counted_the_prior_of_the_file_speaks(make):
    file, stepper = make()
    ids = np.array([1, 2, 3, 1])
    twin = build_stepper(file)
    np.testing.assert_allclose(nats(stepper, ids), nats(twin, ids), atol=1e-5)


def test_a_token_is_predicted_before_it_is_counted(make):
    ids = np.random.default_rng(8).integers(1, 5, 40)
    other = ids.copy()
    other[30:] = 5 - other[30:]
    first, second = (nats(make()[1], text) for text in (ids, other))
    np.testing.assert_array_equal(first[:29], second[:29])


def test_pieces_give_what_the_whole_gives(make):
    ids = np.random.default_rng(9).integers(1, 5, (1, 50))
    whole, _ = make()[1].forward(ids, make()[1].initial_state(1))
    _, stepper = make()
    state, pieces = stepper.initial_state(1), []
    for start, stop in ((0, 1), (1, 2), (2, 31), (31, 50)):
        logits, state = stepper.forward(ids[:, start:stop], state)
        pieces.append(logits)
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), whole, atol=1e-5)


def test_steps_only_predict(make):
    _, stepper = make()
    state = stepper.advance(np.tile([1, 2, 3, 4], 8)[None], stepper.initial_state(1))
    first, state = stepper.step(np.array([1]), state)
    for token in (2, 3, 4, 1):
        last, state = stepper.step(np.array([token]), state)
    assert first.shape == last.shape == (1, stepper.vocab_size)
    assert not stepper._seen


def test_probabilities_with_counts_add_up_to_one(make):
    _, stepper = make(shortest=1, longest=3)
    stepper.forward(np.random.default_rng(3).integers(1, 5, (1, 80)), stepper.initial_state(1))
    even = np.log(np.array([0, 0.25, 0.25, 0.25, 0.25, 0]) + 1e-300).astype(np.float32)
    learned = stepper._learned(even, [-1, 1, 2, 3])
    assert learned is not None
    assert learned.sum() == pytest.approx(1.0)
    assert (learned[1:5] > 0).all()


def test_the_end_of_a_record_is_counted_and_padding_is_not(make):
    _, stepper = make(kind="records", shortest=1)
    rows = np.array([[EOS, 1, 2, 0, 0], [EOS, 3, 4, 1, 2]])  # the first record is 1 2, the second 3 4 1 2
    stepper.forward(rows, stepper.initial_state(2))
    assert stepper._seen[(2,)].counts == {EOS: 1}
    assert all(0 not in context and 0 not in seen.counts for context, seen in stepper._seen.items())


@pytest.mark.skipif(not library.available(), reason="the kernels were not built")
def test_any_stepper_can_have_a_prior(make):
    file, _ = make()
    masked = masked_ids(file.tokenizer, file.data_kind)
    alone = build_stepper(file, prior=False)
    wrapped = PriorStepper(alone, native_prior(unpack_prior(file.prior, alone.vocab_size), masked))
    whole = build_stepper(file)
    ids = np.random.default_rng(1).integers(1, 5, (2, 20))
    expected, after = whole.forward(ids, whole.initial_state(2))
    logits, state = wrapped.forward(ids, wrapped.initial_state(2))
    np.testing.assert_allclose(log_softmax(logits), log_softmax(expected), atol=1e-5)
    np.testing.assert_array_equal(state[-1], after[-1])
    np.testing.assert_array_equal(wrapped.advance(ids, wrapped.initial_state(2))[-1], after[-1])
