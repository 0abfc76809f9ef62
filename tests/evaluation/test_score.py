"""Surprise, token by token and line by line."""

from __future__ import annotations

import json
import math
from itertools import islice

import numpy as np
import pytest

from sonho.decoding.stepper import build_stepper
from sonho.errors import DataError
from sonho.evaluation import Scorer, score, worst_first
from sonho.evaluation.evaluate import log_softmax


def exact_bits(model_file, fed, targets):
    stepper = build_stepper(model_file)
    state, bits = stepper.initial_state(1), []
    for token, target in zip(fed, targets, strict=True):
        logits, state = stepper.step(np.array([token]), state)
        bits.append(-log_softmax(logits[0])[target] / math.log(2))
    return bits


def test_every_token_of_a_stream_but_the_first_has_its_surprise(network):
    model_file, text = network(), "abcab\nacb" * 70
    rows = list(Scorer(model_file).tokens(text))
    ids = model_file.tokenizer.encode(text)
    assert [row.token_id for row in rows] == ids.tolist()
    assert [row.position for row in rows] == list(range(len(ids)))
    assert rows[0].bits is None
    assert rows[5].text == "\\n"
    np.testing.assert_allclose([row.bits for row in rows[1:]], exact_bits(model_file, ids[:-1], ids[1:]), rtol=1e-4)


def test_a_record_begins_with_a_prediction_and_ends_with_eos(network):
    model_file = network(kind="records")
    rows = list(Scorer(model_file).tokens("ab"))
    assert [row.token_id for row in rows] == [1, 2, 5]
    assert [row.bits for row in rows] == pytest.approx(exact_bits(model_file, [5, 1, 2], [1, 2, 5]), rel=1e-4)


def test_alternatives_are_the_likeliest_and_agree_with_rank_and_bits(network):
    for row in islice(Scorer(network()).tokens("abcabbc", alternatives=9), 1, None):
        probs = [a.probability for a in row.alternatives]
        assert len(probs) == 4  # neither <pad> nor <eos> can stand in a stream
        assert sum(probs) == pytest.approx(1)
        assert probs == sorted(probs, reverse=True)
        chosen = row.alternatives[row.rank - 1]
        assert (chosen.text, chosen.token_id) == (row.text, row.token_id)
        assert chosen.probability == pytest.approx(2**-row.bits)


def test_unknown_symbols_are_left_out_or_refused(network):
    scorer = Scorer(network())
    assert [row.text for row in scorer.tokens("aXb")] == ["a", "b"]
    with pytest.raises(DataError, match="X"):
        list(scorer.tokens("aXb", unknown="error"))
    (line,) = scorer.lines(["aXb"])
    assert (line.text, line.unknown, line.num_chars) == ("aXb", ("X",), 2)


@pytest.mark.parametrize("text", ["", "a"])
def test_texts_with_nothing_to_predict(network, text):
    rows = list(Scorer(network()).tokens(text))
    assert [row.bits for row in rows] == [None] * len(text)
    (line,) = Scorer(network()).lines([""])
    assert line.bits_per_char is None
    assert not line.flagged


def test_the_lines_of_a_stream_are_scored_in_context(network):
    scorer, lines = Scorer(network()), ["abc", "", "ca" * 200, "b\r\n", "bb\n"]
    rows = list(scorer.lines(lines))
    bits = [row.bits for row in scorer.tokens("".join(line.strip() + "\n" for line in lines))][1:]
    assert sum(row.bits for row in rows) == pytest.approx(sum(bits), rel=1e-4)
    assert rows[0].bits == pytest.approx(sum(bits[:3]), rel=1e-4)
    assert [row.num_chars for row in rows] == [3, 1, 401, 2, 3]
    assert [row.text for row in rows] == ["abc", "", "ca" * 200, "b", "bb"]


def test_records_are_scored_alone_whatever_stands_beside_them(network, monkeypatch):
    scorer = Scorer(network(kind="records"))
    lines = ["abc", "", "ca" * 200, "b"]
    rows = list(scorer.lines(lines))
    assert [row.number for row in rows] == [1, 3, 4]
    for row in rows:
        tokens = list(scorer.tokens(row.text))
        assert row.bits == pytest.approx(sum(token.bits for token in tokens), rel=1e-4)
        assert row.num_chars == len(tokens)
    monkeypatch.setattr(score, "LINES_AT_ONCE", 1)
    assert [r.bits for r in scorer.lines(lines)] == pytest.approx([r.bits for r in rows], rel=1e-5)


def test_lines_above_the_threshold_are_flagged_and_the_worst_comes_first(network):
    rows = list(Scorer(network(kind="records")).lines(["aaaa", "cabc", "b"]))
    middle = sorted(row.bits_per_char for row in rows)[1]
    flagged = list(Scorer(network(kind="records")).lines(["aaaa", "cabc", "b"], threshold=middle))
    worst = worst_first(flagged)
    assert [row.flagged for row in worst] == [True, False, False]
    assert worst[0].bits_per_char == max(row.bits_per_char for row in rows)


def test_a_stream_of_lines_is_scored_as_it_arrives(network):
    def lines():
        yield "ab"
        yield "ca"
        raise AssertionError("read too far")

    assert [row.text for row in islice(Scorer(network()).lines(lines()), 2)] == ["ab", "ca"]


def test_rows_are_ready_for_json(network):
    scorer = Scorer(network())
    token = json.loads(json.dumps(list(scorer.tokens("ab", alternatives=2))[1].to_dict(), allow_nan=False))
    assert set(token) == {"position", "token_id", "text", "bits", "rank", "alternatives", "entropy"}
    assert set(token["alternatives"][0]) == {"text", "token_id", "probability"}
    line = json.loads(json.dumps(next(iter(scorer.lines(["ab"]))).to_dict(), allow_nan=False))
    assert line["bits_per_char"] == pytest.approx(line["bits"] / 2)


def test_the_entropy_is_that_of_what_was_expected(network):
    file = network()
    found = list(Scorer(file).tokens("ab", alternatives=file.tokenizer.vocab_size))[1]
    chances = np.array([other.probability for other in found.alternatives])
    assert found.entropy == pytest.approx(-(chances * np.log2(chances)).sum())
