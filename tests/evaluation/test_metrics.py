"""The figures that follow from the counts."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from sonho.config import DataConfig
from sonho.errors import DataError
from sonho.evaluation import Report, Tally
from sonho.text import fit_tokenizer


def test_a_uniform_guess_among_eight_costs_three_bits():
    report = Report(nats=10 * math.log(8), num_tokens=10, num_correct=4, num_chars=15, num_bytes=30)
    assert report.loss == pytest.approx(math.log(8))
    assert report.perplexity == pytest.approx(8)
    assert report.bits_per_char == pytest.approx(2)
    assert report.bits_per_byte == pytest.approx(1)
    assert report.accuracy == 0.4


def test_a_report_without_a_finite_figure_is_still_json():
    report = Report(nats=math.inf, num_tokens=3, num_correct=0, num_chars=0, num_bytes=3)
    figures = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert figures["loss"] is None
    assert figures["bits_per_char"] is None
    assert figures["num_tokens"] == 3


def test_only_predicted_tokens_are_counted():
    tokenizer = fit_tokenizer(["aaaбб"], DataConfig())
    tally = Tally(tokenizer)
    tally.add(1.5, 1, np.array([[-100, 1, 2], [2, -100, -100]]))
    tally.add(0.5, 0, np.array([tokenizer.eos_id]))
    report = tally.report(left_out=("x",))
    assert (report.nats, report.num_correct, report.num_tokens) == (2.0, 1, 4)
    assert (report.num_chars, report.num_bytes) == (4, 6)
    assert report.left_out == ("x",)


def test_an_unknown_word_counts_as_one_character():
    tokenizer = fit_tokenizer([" a b a b rare"], DataConfig(level="word", min_count=2))
    tally = Tally(tokenizer)
    tally.add(3.0, 0, tokenizer.encode(" a rarest").astype(np.int64))
    report = tally.report()
    assert (report.num_unknown, report.num_chars) == (1, 3)


def test_nothing_to_predict_is_said_in_words(letters):
    with pytest.raises(DataError, match="nothing to score"):
        Tally(letters).report()
