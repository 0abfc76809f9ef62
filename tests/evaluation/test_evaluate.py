"""Scores of whole parts: fast paths against slow ones, and nothing that should not matter matters."""

from __future__ import annotations

import dataclasses
from importlib import import_module

import numpy as np
import pytest

from sonho.decoding.stepper import build_stepper
from sonho.errors import DataError
from sonho.evaluation import evaluate, evaluate_stepper, fit, letter_entropy, part_text, protocol
from sonho.evaluation.evaluate import log_softmax, target_nats
from sonho.storage.model_file import ModelFile

RNG = np.random.default_rng(5)
LISTS = [RNG.integers(1, 5, size=n).tolist() for n in (3, 0, 9, 4, 1, 12)]


def slow_nats(stepper, fed, targets):
    """Step by step, one row, exact state."""
    state, nats = stepper.initial_state(1), []
    for token, target in zip(fed, targets, strict=True):
        logits, state = stepper.step(np.array([token]), state)
        nats.append(-log_softmax(logits[0])[target])
    return nats


def ngram_file(network, model, kind="stream"):
    base = network(kind=kind)
    config = dataclasses.replace(base.model, cell="ngram", order=model.order)
    return ModelFile(config, base.tokenizer, kind, model.to_arrays())


@pytest.mark.parametrize("cell", ["gru", "lstm", "conv"])
def test_a_short_stream_costs_what_stepping_through_it_costs(network, stream, cell):
    model_file, ids = network(cell), RNG.integers(1, 5, size=700)
    report = evaluate(model_file, stream(ids))
    expected = slow_nats(build_stepper(model_file), ids[:-1], ids[1:])
    assert report.nats == pytest.approx(sum(expected), rel=1e-5)
    assert report.num_tokens == report.num_chars == 699


def test_columns_of_a_long_stream_hardly_change_its_score(network, stream, monkeypatch):
    model_file, part = network("gru"), stream(RNG.integers(1, 5, size=9000))
    several = evaluate(model_file, part)
    monkeypatch.setattr(protocol, "MOST_COLUMNS", 1)
    assert several.num_tokens == evaluate(model_file, part).num_tokens == 8999
    assert several.loss == pytest.approx(evaluate(model_file, part).loss, abs=1e-4)


def test_the_size_of_a_block_does_not_change_the_score(network, stream, records, monkeypatch):
    parts = {"stream": stream(RNG.integers(1, 5, size=5000)), "records": records(LISTS, 5)}
    before = {kind: evaluate(network(kind=kind), part).nats for kind, part in parts.items()}
    monkeypatch.setattr(protocol, "BLOCK_LOGITS", 100)
    for kind, part in parts.items():
        assert evaluate(network(kind=kind), part).nats == pytest.approx(before[kind], rel=1e-6)


def test_records_cost_what_each_costs_alone(network, records):
    model_file = network("gru", kind="records")
    report = evaluate(model_file, records(LISTS, 5))
    stepper = build_stepper(model_file)
    alone = [slow_nats(stepper, [5, *ids], [*ids, 5]) for ids in LISTS]
    assert report.nats == pytest.approx(sum(map(sum, alone)), rel=1e-5)
    assert report.num_tokens == sum(len(ids) + 1 for ids in LISTS)


def test_what_stands_in_the_padding_changes_nothing(network, records, monkeypatch):
    model_file, part = network("gru", kind="records"), records(LISTS, 5)
    before = evaluate(model_file, part).nats
    cut = protocol.scoring_blocks

    def littered(*args, **kwargs):
        for block in cut(*args, **kwargs):
            scored = block.targets >= 0
            litter = RNG.integers(1, 5, size=scored.shape)
            yield dataclasses.replace(block, inputs=np.where(scored, block.inputs, litter))

    monkeypatch.setattr(import_module("sonho.evaluation.evaluate"), "scoring_blocks", littered)
    assert evaluate(model_file, part).nats == before


def test_windows_are_scored_from_the_zero_state_each(network, stream):
    model_file, ids = network("gru", kind="windows", window=6), RNG.integers(1, 5, size=60)
    report = evaluate(model_file, stream(ids), stride=4)
    plain = build_stepper(network("gru", kind="windows"))
    expected = [slow_nats(plain, ids[s : s + 6], ids[s + 1 : s + 7])[-1] for s in range(0, 54, 4)]
    assert report.num_tokens == len(expected)
    assert report.nats == pytest.approx(sum(expected), rel=1e-5)


@pytest.mark.parametrize("kind", ["stream", "records"])
def test_an_ngram_model_is_scored_the_same_at_once_and_in_steps(network, stream, records, kind):
    train, held_out = RNG.integers(1, 5, size=500), RNG.integers(1, 5, size=5000)
    if kind == "stream":
        model, part = fit(train, 4, 6, masked=[0, 5]), stream(held_out)
    else:
        part = records(LISTS, 5)
        model = fit(part.tokens.read(0, 999), 4, 6, masked=[0], offsets=part.offsets)
    model_file = ngram_file(network, model, kind)
    fast = evaluate(model_file, part)
    slow = evaluate_stepper(build_stepper(model_file), part, model_file.tokenizer, kind)
    assert fast.nats == pytest.approx(slow.nats, rel=1e-5)
    assert (fast.num_tokens, fast.num_correct, fast.num_chars) == (
        slow.num_tokens,
        slow.num_correct,
        slow.num_chars,
    )


@pytest.mark.parametrize("kind", ["stream", "records"])
def test_a_limit_scores_the_same_tokens_on_both_paths(network, stream, records, kind):
    train = RNG.integers(1, 5, size=500)
    model = fit(train, 3, 6, masked=[0, 5] if kind == "stream" else [0])
    model_file = ngram_file(network, model, kind)
    long = stream(RNG.integers(1, 5, size=30_000))
    many = records([RNG.integers(1, 5, size=9).tolist() for _ in range(3000)], 5)
    part = long if kind == "stream" else many
    fast = evaluate(model_file, part, limit=5000)
    slow = evaluate_stepper(build_stepper(model_file), part, model_file.tokenizer, kind, limit=5000)
    assert 4990 <= fast.num_tokens <= 5000
    assert fast.num_tokens == slow.num_tokens
    assert fast.nats == pytest.approx(slow.nats, rel=1e-5)


def test_progress_ends_at_the_number_of_tokens(network, stream):
    told: list[int] = []
    evaluate(network(), stream(RNG.integers(1, 5, size=600)), progress=told.append)
    assert told == [256, 512, 599]


def test_a_text_of_one_token_cannot_be_scored(network, stream):
    with pytest.raises(DataError, match="nothing to score"):
        evaluate(network(), stream([1]))


def test_surprise_does_not_overflow():
    logits = np.array([[1e30, -1e30, -np.inf], [-1e5, -1e5, -np.inf]], np.float32)
    np.testing.assert_allclose(target_nats(logits, np.array([0, 1])), [0, np.log(2)])
    assert log_softmax(logits)[0, 0] == 0


def test_a_uniform_text_costs_its_letter_entropy(stream, letters):
    part = stream(np.tile([1, 2, 3, 4], 50))
    assert letter_entropy(part_text(part, letters)) == 2.0
