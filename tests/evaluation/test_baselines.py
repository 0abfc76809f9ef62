"""The table that a score stands in."""

from __future__ import annotations

import lzma
import math

import numpy as np
import pytest

from sonho.evaluation import baselines, evaluate_ngram, fit, letter_entropy, part_text, xz_bits_per_char

RNG = np.random.default_rng(8)


def test_letters_that_come_in_pairs_cost_nothing_to_an_ngram(stream, letters):
    train, held_out = stream([1, 2] * 500), stream([1, 2] * 80)
    rows = {row.name: row for row in baselines(train, held_out, letters, "stream", orders=[2, 3])}
    assert list(rows) == ["single letters", "xz", "2-gram Kneser-Ney", "3-gram Kneser-Ney"]
    assert rows["single letters"].bits_per_char == 1
    assert rows["3-gram Kneser-Ney"].bits_per_char < 0.1
    assert rows["3-gram Kneser-Ney"].report.num_tokens == 159
    assert all(row.seconds >= 0 for row in rows.values())


def test_the_table_has_the_scores_of_the_models_one_by_one(records, letters):
    train = records([RNG.integers(1, 5, size=n).tolist() for n in range(1, 30)], 5)
    held_out = records([[1, 2], [], [4]], 5)
    row = baselines(train, held_out, letters, "records", orders=[3])[-1]
    model = fit(train.tokens.read(0, 9999), 3, 6, masked=[0], offsets=train.offsets)
    assert row.report == evaluate_ngram(model, held_out, letters, "records")


def test_without_orders_only_the_text_itself_is_measured(stream, letters):
    part = stream([1, 2, 3] * 20)
    rows = baselines(part, part, letters, "stream", orders=())
    assert [row.name for row in rows] == ["single letters", "xz"]


def test_the_xz_row_reads_no_more_than_it_is_allowed(stream, letters):
    part = stream([1] * 500 + [2] * 500)
    row = baselines(part, part, letters, "stream", orders=(), xz_chars=500)[0]
    assert row.bits_per_char == 0


def test_letter_entropy_of_known_texts():
    assert letter_entropy(["aab", "b", ""]) == 1
    assert letter_entropy(["abcdefgh"]) == 3
    assert letter_entropy(["aaa"]) == 0
    assert math.isnan(letter_entropy([]))


def test_xz_is_as_good_as_preset_nine():
    text = "".join(RNG.choice(list("abcdж "), size=20_000)) * 2
    expected = 8 * len(lzma.compress(text.encode(), preset=9)) / len(text)
    assert xz_bits_per_char(text) == pytest.approx(expected, rel=0.01)
    assert math.isnan(xz_bits_per_char(""))


def test_the_text_of_a_part_has_a_newline_after_every_record(stream, records, letters):
    assert "".join(part_text(stream([1, 2, 4, 3]), letters)) == "ab\nc"
    assert "".join(part_text(records([[1, 2], [], [3]], 5), letters)) == "ab\n\nc\n"
