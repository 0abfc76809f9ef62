"""The n-gram model against a slow one made of dictionaries, and against published figures."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonho.config import DataConfig
from sonho.data.parts import MemoryStore, Part
from sonho.decoding.ngram_stepper import NgramStepper
from sonho.errors import DataError, ModelFileError, UsageError
from sonho.evaluation import NgramModel, fit, fit_orders, fit_part
from sonho.evaluation.kneser_ney import _discounts, _sorted
from sonho.text import fit_tokenizer

V = 5  # <pad> 0, three letters, <eos> 4
RNG = np.random.default_rng(0)
TEXT = RNG.choice([1, 2, 3], size=300, p=[0.6, 0.3, 0.1])
RECORDS = [RNG.choice([1, 2, 3], size=n).tolist() for n in RNG.integers(0, 9, size=60)]


class SlowKneserNey:
    """Chen and Goodman 1998, section 3, letter by letter."""

    def __init__(self, pieces, order, drawable):
        self.drawable = drawable
        raw, left = defaultdict(int), defaultdict(set)
        for piece in pieces:  # the first token of a piece is context only
            for end in range(1, len(piece) + 1):
                for n in range(1, min(order, end) + 1):
                    gram = tuple(piece[end - n : end])
                    raw[gram] += end > 1
                    left[gram] |= {piece[end - n - 1]} if n < end else set()
        self.counts = {g: len(left[g]) if len(g) < order and left[g] else raw[g] for g in raw}
        self.followers = defaultdict(list)
        for gram in self.counts:
            self.followers[gram[:-1]].append(gram)
        self.discounts = {n: self.discount(n) for n in range(1, order + 1)}
        self.order = order

    def discount(self, n):
        values = [c for g, c in self.counts.items() if len(g) == n]
        n1, n2, n3, n4 = (values.count(i) for i in (1, 2, 3, 4))
        usual = [0, 0.5, 1, 1.5]
        if not n1 * n2 * n3 * n4:
            return usual
        y = n1 / (n1 + 2 * n2)
        found = [0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
        return [f if u / 10 <= f <= i else u for i, (f, u) in enumerate(zip(found, usual, strict=True))]

    def prob(self, token, context):
        context = tuple(context[max(len(context) - self.order + 1, 0) :])
        grams = self.followers.get(context, [])
        total = sum(self.counts[g] for g in grams)
        shorter = self.prob(token, context[1:]) if context else (token in self.drawable) / len(self.drawable)
        if not total:
            return shorter
        discount = self.discounts[len(context) + 1]
        own = self.counts.get((*context, token), 0)
        weight = sum(discount[min(self.counts[g], 3)] for g in grams) / total
        return (own - discount[min(own, 3)]) / total + weight * shorter


def records_arrays(lists):
    tokens = np.array([i for ids in lists for i in [*ids, V - 1]], np.uint16)
    return tokens, np.cumsum([0, *(len(ids) + 1 for ids in lists)])


def distribution(model, context, as_record):
    """p(w | context) for every w, by scoring each continuation."""
    if as_record:
        rows = [model.log_probs(np.array([*context, w]), np.array([0, len(context) + 1])) for w in range(V)]
    else:
        rows = [model.log_probs(np.array([*context, w])) for w in range(V)]
    return np.exp([row[-1] for row in rows])


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_a_stream_has_the_probabilities_of_the_slow_model(order):
    model = fit(TEXT, order, V, masked=[0, V - 1])
    slow = SlowKneserNey([TEXT.tolist()], order, {1, 2, 3})
    unseen = RNG.choice([1, 2, 3], size=80).tolist()
    expected = [slow.prob(unseen[i], unseen[:i]) for i in range(1, len(unseen))]
    np.testing.assert_allclose(np.exp(model.log_probs(np.array(unseen))), expected, rtol=1e-5)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_records_have_the_probabilities_of_the_slow_model(order):
    tokens, offsets = records_arrays(RECORDS)
    model = fit(tokens, order, V, masked=[0], offsets=offsets)
    slow = SlowKneserNey([[V - 1, *ids, V - 1] for ids in RECORDS], order, {1, 2, 3, 4})
    unseen = [[3, 3, 1], [], [1, 2, 1, 2, 2]]
    tokens, offsets = records_arrays(unseen)
    expected = [slow.prob(w, [V - 1, *ids[:i]]) for ids in unseen for i, w in enumerate([*ids, V - 1])]
    np.testing.assert_allclose(np.exp(model.log_probs(tokens, offsets)), expected, rtol=1e-5)


@pytest.mark.parametrize("context", [[1], [3, 3, 3, 3], [2, 1, 1], [1, 2, 3, 1, 2, 3]])
@pytest.mark.parametrize("as_record", [False, True])
def test_probabilities_sum_to_one_after_seen_and_unseen_contexts(context, as_record):
    if as_record:
        tokens, offsets = records_arrays(RECORDS)
        model = fit(tokens, 4, V, masked=[0], offsets=offsets)
    else:
        model = fit(TEXT, 4, V, masked=[0, V - 1])
    probs = distribution(model, context, as_record)
    assert probs.sum() == pytest.approx(1, abs=1e-6)
    assert probs[0] == 0
    assert (probs[1:4] > 0).all()
    assert (probs[4] > 0) == as_record


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 3), max_size=12), st.integers(1, 6))
def test_the_tiniest_texts_give_probabilities_too(text, order):
    model = fit(np.array(text, np.uint16), order, V, masked=[0, V - 1])
    for context in ([1], [2, 3], [1, 1, 1, 1, 1, 1]):
        probs = distribution(model, context, as_record=False)
        assert probs.sum() == pytest.approx(1, abs=1e-6)
        assert (probs[1:4] > 0).all()


@given(st.lists(st.integers(1, 6), min_size=1))
def test_every_discount_takes_something_and_no_more_than_the_count(counts):
    discounts = _discounts(np.array(counts))
    assert discounts[0] == 0
    assert (discounts[1:] > 0).all()
    assert (discounts <= [0, 1, 2, 3]).all()


def test_the_likeliest_token_is_the_one_with_the_highest_probability():
    # After 2 stands every letter but 1, once; 1 stands after all the others, so it is likeliest there too.
    text = np.array([w for x in range(3, 21) for w in (2, x, 1, 1)])
    unseen = RNG.geometric(0.15, size=300).clip(1, 28)
    model = fit(text, 4, 30, masked=[0, 29])
    stepper = NgramStepper(4, 30, model.to_arrays(), [0, 29])
    logits, _ = stepper.forward(unseen[None, :-1], stepper.initial_state(1))
    _, likeliest = model.score(unseen)
    np.testing.assert_array_equal(likeliest, logits[0].argmax(axis=-1))
    assert (likeliest[unseen[:-1] == 2] == 1).any()


def test_the_stepper_reads_the_arrays_as_they_are_meant():
    model = fit(TEXT, 4, V, masked=[0, V - 1])
    stepper = NgramStepper(4, V, model.to_arrays(), [0, V - 1])
    text = RNG.choice([1, 2, 3], size=50)
    logits, _ = stepper.forward(text[None, :-1], stepper.initial_state(1))
    stepped = logits[0, np.arange(49), text[1:]]
    np.testing.assert_allclose(stepped, model.log_probs(text), atol=1e-5)


def test_orders_fitted_together_are_the_same_as_alone():
    together = fit_orders(TEXT, [5, 2], V, masked=[0, V - 1])
    for order in (2, 5):
        alone = fit(TEXT, order, V, masked=[0, V - 1])
        for name, array in alone.to_arrays().items():
            np.testing.assert_array_equal(together[order].to_arrays()[name], array)


@pytest.mark.parametrize("scale", [1, 2**58])
def test_large_keys_are_sorted_as_small_ones(scale):
    keys = RNG.integers(0, 20, size=100)
    ordered, order = _sorted(keys * scale)  # large ones do not fit beside their places in 63 bits
    np.testing.assert_array_equal(order, np.argsort(keys, kind="stable"))
    np.testing.assert_array_equal(ordered, np.sort(keys) * scale)


def test_arrays_come_back_and_are_named_as_the_stepper_expects():
    model = fit(TEXT, 3, V, masked=[0, 4])
    arrays = model.to_arrays()
    assert arrays["ngram.0.gamma"].shape == (1,)
    assert {arrays[f"ngram.{n}.parent_token"].dtype for n in (1, 2, 3)} == {np.dtype(np.int64)}
    back = NgramModel.from_arrays(arrays, 3, V, [0, 4])
    np.testing.assert_array_equal(back.log_probs(TEXT), model.log_probs(TEXT))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("ngram.2.suffix", lambda a: a + 99, "points outside"),
        ("ngram.2.parent_token", lambda a: a[::-1].copy(), "not sorted"),
        ("ngram.3.parent_token", lambda a: a + 10**6, "not sorted or leaves the trie"),
        ("ngram.1.prob", lambda a: a[:-1], "shape"),
        ("ngram.1.prob", lambda a: a * np.float32("nan"), "no probabilities"),
        ("ngram.1.gamma", lambda a: -a, "no probabilities"),
        ("ngram.3.prob", None, "lacks the array"),
    ],
)
def test_damaged_arrays_are_refused(name, change, message):
    arrays = fit(TEXT, 3, V).to_arrays()
    changed = {**arrays, name: change(arrays[name])} if change else {k: arrays[k] for k in arrays if k != name}
    with pytest.raises(ModelFileError, match=message):
        NgramModel.from_arrays(changed, 3, V)


def test_a_masked_id_in_the_text_is_refused_and_scores_nothing():
    with pytest.raises(DataError, match="id 2 occurs"):
        fit(TEXT, 2, V, masked=[2])
    assert fit(TEXT, 2, V, masked=[0, 4]).log_probs(np.array([1, 4])) == -np.inf


@pytest.mark.parametrize(
    ("tokens", "order", "masked", "error"),
    [([1], 0, [], UsageError), ([9], 2, [], DataError), ([1], 2, [0, 1, 2, 3, 4], UsageError)],
)
def test_what_cannot_be_fitted_is_refused(tokens, order, masked, error):
    with pytest.raises(error):
        fit(np.array(tokens), order, V, masked=masked)


def test_a_long_part_is_fitted_on_its_end(stream, records):
    model = fit_part(stream(TEXT), [3], V, max_tokens=100)[3]
    np.testing.assert_array_equal(model.prob[2], fit(TEXT[-100:], 3, V).prob[2])
    whole = [ids for ids in RECORDS if ids]
    part = records(whole, V - 1)
    last = fit_part(part, [3], V, max_tokens=len(whole[-1]) + len(whole[-2]) + 3)[3]
    tokens, offsets = records_arrays(whole[-2:])
    np.testing.assert_array_equal(last.prob[2], fit(tokens, 3, V, offsets=offsets).prob[2])


def test_tiny_shakespeare_has_the_published_figures(shakespeare):
    tokenizer = fit_tokenizer([shakespeare], DataConfig())
    ids = tokenizer.encode(shakespeare)
    cut = len(ids) * 9 // 10
    part = Part(MemoryStore(ids[:cut]), None, cut, cut)
    models = fit_part(part, [5, 6, 7, 8], tokenizer.vocab_size, masked=[0, tokenizer.eos_id])
    nats = [-models[order].log_probs(ids[cut:]).mean() for order in (5, 6, 7, 8)]
    np.testing.assert_allclose(nats, [1.5612, 1.5226, 1.5165, 1.5192], atol=1e-4)
