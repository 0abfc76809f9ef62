"""Every token that should be predicted is predicted once, in its context, whatever the sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonho.data.parts import MemoryStore, Part
from sonho.errors import DataError
from sonho.evaluation import protocol
from sonho.evaluation.protocol import chosen_records, scoring_blocks, stream_spans

EOS = 99_999


def rows(blocks):
    """Blocks joined along time: [(inputs (N, T), targets (N, T)), ...], one pair for each fresh start."""
    joined = []
    for block in blocks:
        if block.fresh:
            joined.append([[], []])
        joined[-1][0].append(block.inputs)
        joined[-1][1].append(block.targets)
    return [(np.concatenate(i, axis=1), np.concatenate(t, axis=1)) for i, t in joined]


def numbered(length):
    """A stream in which every token is its own place, counted from 1."""
    return Part(MemoryStore(np.arange(1, length + 1, dtype=np.uint32)), None, length, length)


@pytest.mark.parametrize("length", [2, 300, 2049, 4097, 10_000, 140_001])
def test_a_stream_predicts_every_token_but_the_first_once(length):
    ((inputs, targets),) = rows(scoring_blocks(numbered(length), "stream", 0, 1, EOS))
    scored = targets >= 0
    assert sorted(targets[scored]) == list(range(2, length + 1))
    np.testing.assert_array_equal(inputs[scored] + 1, targets[scored])


def test_a_column_begins_256_tokens_before_its_first_target():
    ((inputs, targets),) = rows(scoring_blocks(numbered(10_000), "stream", 0, 1, EOS))
    assert inputs.shape[0] == 4
    first = (targets >= 0).argmax(axis=1)
    assert first.tolist() == [0, 255, 255, 255]
    for row, begin in zip(inputs, first, strict=True):
        assert row[begin] - row[0] == begin
    assert inputs[0, 0] == 1


def test_blocks_are_small_and_smaller_for_a_large_vocabulary():
    for eos in (60, 30_000):
        blocks = list(scoring_blocks(numbered(140_001), "stream", 0, 1, eos))
        assert all(b.inputs.shape[1] <= 256 for b in blocks)
        assert all(b.inputs.size * (eos + 1) <= max(protocol.BLOCK_LOGITS, 64 * (eos + 1)) for b in blocks)
        assert [b.fresh for b in blocks] == [True] + [False] * (len(blocks) - 1)
        assert all(b.inputs.shape == b.targets.shape for b in blocks)


def test_a_limit_takes_columns_from_all_over_the_text():
    part = numbered(1_000_001)
    ((_, targets),) = rows(scoring_blocks(part, "stream", 0, 1, EOS, limit=20_000))
    scored = targets[targets >= 0]
    assert 19_900 < len(scored) <= 20_000
    assert len(np.unique(scored)) == len(scored)
    assert np.histogram(scored, bins=9, range=(1, 1_000_001))[0].min() == 2222


def test_spans_touch_each_other_unless_limited():
    assert stream_spans(1) == []
    assert stream_spans(2) == [(1, 2)]
    spans = stream_spans(999_999)
    assert len(spans) == 64
    assert [start for start, _ in spans[1:]] == [stop for _, stop in spans[:-1]]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=12))
def test_records_begin_with_eos_and_predict_all_their_tokens(lengths):
    lists, at = [], 1
    for length in lengths:
        lists.append(list(range(at, at + length)))
        at += length
    tokens = np.array([i for ids in lists for i in [*ids, EOS]], np.uint32)
    part = Part(MemoryStore(tokens), np.cumsum([0, *(n + 1 for n in lengths)]), 0, 0)
    found = []
    for inputs, targets in rows(scoring_blocks(part, "records", 0, 1, EOS)):
        for fed, row in zip(inputs, targets, strict=True):
            scored = row[row >= 0].tolist()
            assert scored == row[: len(scored)].tolist()
            assert fed[: len(scored)].tolist() == [EOS, *scored[:-1]]
            found.append(scored)
    assert sorted(found) == sorted([*ids, EOS] for ids in lists)


def test_records_of_like_length_stand_side_by_side(records):
    rng = np.random.default_rng(1)
    part = records([[1] * n for n in rng.integers(1, 100, size=1000)], 5)
    blocks = list(scoring_blocks(part, "records", 0, 1, 5))
    scored = sum(int((b.targets >= 0).sum()) for b in blocks)
    assert scored == len(part.tokens)
    assert scored / sum(b.targets.size for b in blocks) > 0.9


def test_a_limit_takes_records_from_all_over():
    offsets = np.arange(0, 10_001, 10)
    assert chosen_records(offsets, 55).tolist() == [0, 200, 400, 600, 800]
    assert len(chosen_records(offsets, 10_000)) == 1000


def test_windows_predict_the_token_after_each():
    blocks = list(scoring_blocks(numbered(2000), "windows", 60, 3, EOS))
    assert all(b.fresh and b.last_only for b in blocks)
    inputs = np.concatenate([b.inputs for b in blocks])
    targets = np.concatenate([b.targets for b in blocks])
    assert inputs[:, 0].tolist() == list(range(1, 2000 - 60 + 1, 3))
    np.testing.assert_array_equal(np.diff(inputs, axis=1), 1)
    np.testing.assert_array_equal(targets[:, -1], inputs[:, -1] + 1)
    assert (targets[:, :-1] == -100).all()
    assert max(len(b.inputs) for b in scoring_blocks(numbered(2000), "windows", 60, 1, 80)) == 512


def test_windows_can_be_limited_and_a_short_text_has_none():
    def count(part, **limits):
        return sum(len(b.inputs) for b in scoring_blocks(part, "windows", 60, 3, EOS, **limits))

    assert 80 < count(numbered(2000), limit=100) <= 100
    *_, last = scoring_blocks(numbered(2000), "windows", 60, 3, EOS, limit=100)
    assert last.inputs.max() > 1900
    assert count(numbered(60)) == 0
    assert count(numbered(61)) == 1


def test_a_stream_is_not_scored_as_records():
    with pytest.raises(DataError, match="read it as records"):
        list(scoring_blocks(numbered(10), "records", 0, 1, EOS))
