"""The inspect endpoints, against the library's own numbers."""

import math

import numpy as np
import pytest

from sonho.decoding.network import NetworkStepper
from sonho.decoding.processors import softmax
from sonho.decoding.stepper import build_stepper, feed
from sonho.evaluation.score import Scorer
from sonho.serving.inspecting import correlations
from sonho.text import masked_ids
from tests.serving.conftest import FILES, Live, make_file


def ask(live, what, **body):
    response = live.http.post(f"/v1/inspect/{what}", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def test_next_shows_the_distribution_before_and_after(live):
    file = FILES["letters"]
    stepper = build_stepper(file)
    logits, _ = feed(stepper, file.tokenizer.encode("abc").astype(np.int64), stepper.initial_state(1))
    found = ask(live, "next", model="letters", prompt="abc", temperature=0.5, top_k=3, limit=36)
    before, hot = softmax(logits)[0], softmax(logits / 0.5)[0]
    kept = np.sort(hot)[-3:].sum()
    assert [symbol["before"] for symbol in found["symbols"]] == sorted(before.tolist(), reverse=True)
    for rank, symbol in enumerate(found["symbols"]):
        expected = hot[symbol["id"]] / kept if rank < 3 else 0.0
        assert symbol["after"] == pytest.approx(expected, abs=1e-6)
        assert symbol["before"] == pytest.approx(before[symbol["id"]])
    assert found["kept"] == 3
    some = before[before > 0]
    assert found["entropy_before"] == pytest.approx(-(some * np.log2(some)).sum())
    assert 0 < found["entropy_after"] < math.log2(3)


def test_next_at_temperature_zero_is_certain(live):
    found = ask(live, "next", prompt="abc", temperature=0, limit=2)
    assert [symbol["after"] for symbol in found["symbols"]] == [1.0, 0.0]
    assert (found["kept"], found["entropy_after"], len(found["symbols"])) == (1, 0.0, 2)


def test_next_applies_penalties_and_biases_of_the_prompt(live):
    file = FILES["letters"]
    (a,) = file.tokenizer.encode("a").tolist()
    plain = ask(live, "next", prompt="aaa", limit=36)["symbols"]
    for option in ({"presence_penalty": 2}, {"logit_bias": {a: -5}}, {"repetition_penalty": 3}):
        other = ask(live, "next", prompt="aaa", limit=36, **option)["symbols"]
        assert [s["before"] for s in other] == [s["before"] for s in plain]
        changed = [s["id"] for s, t in zip(other, plain, strict=True) if s["after"] < t["after"] * 0.999]
        assert changed == [a]


@pytest.mark.parametrize("name", ["letters", "records", "bytes", "windows"])
def test_score_is_what_the_scorer_says(live, name):
    found = ask(live, "score", model=name, text="abc béd", alternatives=4)
    expected = list(Scorer(FILES[name]).tokens("abc béd", alternatives=4))
    assert [token["id"] for token in found["tokens"]] == [score.token_id for score in expected]
    for token, score in zip(found["tokens"], expected, strict=True):
        assert (token["bits"], token["rank"]) == (score.bits, score.rank)
        if score.bits is not None:
            assert token["probability"] == pytest.approx(2**-score.bits)
            assert [top["probability"] for top in token["top"]] == [other.probability for other in score.alternatives]
            assert 0 < token["entropy"] <= math.log2(FILES[name].tokenizer.vocab_size)
    bits = sum(score.bits or 0 for score in expected)
    assert found["bits_per_char"] == pytest.approx(bits / found["num_chars"])
    assert found["num_chars"] == {"letters": 5, "records": 7, "bytes": 6, "windows": 5}[name]
    assert found["unknown"] == ([] if name == "bytes" else ["é"])


def test_score_of_nothing_is_nothing(live):
    assert ask(live, "score", text="")["bits_per_char"] is None
    assert ask(live, "score", text="a")["tokens"][0]["bits"] is None


def test_a_long_text_is_scored_in_slices(live):
    found = ask(live, "score", text="abc " * 1000, alternatives=0)
    expected = [score.bits for score in Scorer(FILES["letters"]).tokens("abc " * 1000)]
    assert [token["bits"] for token in found["tokens"]] == expected


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "conv"])
@pytest.mark.parametrize("layer", [None, 0, 1])
def test_units_are_the_outputs_of_the_layer(cell, layer):
    file = make_file(cell=cell, num_layers=2, layer_norm=cell == "gru", seed=9)
    live = Live({"units": file})
    try:
        text = "abc cab. " * 20
        found = ask(live, "units", text=text, layer=layer, sort="index", limit=99)
        if layer != 0:
            network = NetworkStepper(file.model, file.arrays, masked_ids(file.tokenizer, file.data_kind))
            hidden, _ = network.hidden(file.tokenizer.encode(text)[None].astype(np.int64), network.initial_state(1))
            np.testing.assert_allclose(
                np.array([unit["values"] for unit in found["units"]]).T, hidden[0].round(3), atol=1.1e-3
            )
        assert (found["layer"], found["num_layers"]) == (1 if layer is None else layer, 2)
        assert "".join(found["tokens"]) == text
        for unit in found["units"]:
            assert unit["variance"] == pytest.approx(np.var(unit["values"]), abs=2e-3)
            assert unit["correlation"] is None
    finally:
        live.stop()


def test_units_are_sorted_and_correlated_with_a_pattern(live):
    text = "abc ABC abc " * 8
    found = ask(live, "units", model="letters", text=text, pattern="[A-Z]+", sort="correlation", limit=24)
    marks = np.array([letter.isupper() for letter in text], float)
    strengths = [abs(unit["correlation"]) for unit in found["units"]]
    assert strengths == sorted(strengths, reverse=True)
    for unit in found["units"]:
        assert unit["correlation"] == pytest.approx(np.corrcoef(unit["values"], marks)[0, 1], abs=5e-3)
    variances = [unit["variance"] for unit in ask(live, "units", model="letters", text=text, limit=5)["units"]]
    assert len(variances) == 5
    without = ask(live, "units", model="letters", text=text, sort="correlation", limit=5)["units"]
    assert [unit["variance"] for unit in without] == variances
    assert variances == sorted(variances, reverse=True)


def test_a_unit_that_never_changes_correlates_with_nothing():
    assert np.isnan(correlations(np.zeros((3, 1)), np.array([0.0, 1.0, 0.0]))).all()


def test_units_of_records_begin_after_the_opening(live):
    found = ask(live, "units", model="records", text="abc", pattern="b")
    assert found["tokens"] == ["a", "b", "c"]
    assert all(len(unit["values"]) == 3 for unit in found["units"])


def test_a_pattern_that_takes_for_ever_is_a_clear_error_and_hangs_nothing(live):
    import threading
    import time

    slow = {}

    def ask_slowly():
        slow["reply"] = live.http.post("/v1/inspect/units", json={"text": "a" * 60 + "b", "pattern": "(a+)+$"})

    thread = threading.Thread(target=ask_slowly)
    thread.start()
    time.sleep(0.2)
    began = time.perf_counter()
    live.complete(prompt="a", max_tokens=3)
    assert time.perf_counter() - began < 1
    thread.join()
    assert slow["reply"].status_code == 400
    assert "takes more than" in slow["reply"].json()["error"]["message"]


@pytest.mark.parametrize(
    ("what", "body", "message"),
    [
        ("units", {"text": "abc", "pattern": "("}, "not a regular expression"),
        ("units", {"text": "abc", "layer": 1}, "layer must be at most 0"),
        ("units", {"text": "éé"}, "no symbol that the model knows"),
        ("units", {"text": "a" * 5001}, "at most 5000"),
        ("score", {"text": "a" * 20001}, "at most 20000"),
        ("next", {"prompt": "a", "top_p": 7}, "less than or equal to 1"),
        ("next", {"prompt": "a", "limit": 0}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_inspected_is_a_clear_error(live, what, body, message):
    response = live.http.post(f"/v1/inspect/{what}", json=body)
    assert response.status_code == 400
    assert message in response.json()["error"]["message"]
