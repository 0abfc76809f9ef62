"""Log-probabilities: of drawn tokens, and of a prompt as evaluation harnesses ask for them."""

import math

import numpy as np
import pytest

from sonho.decoding.sampler import Source
from sonho.decoding.settings import Settings
from sonho.evaluation.score import Scorer
from sonho.serving.completion import Completion
from sonho.serving.handle import Handle
from sonho.serving.served_model import ServedModel
from sonho.serving.text_row import TextRow
from tests.serving.conftest import FILES

LETTERS = ServedModel("letters", FILES["letters"])


@pytest.mark.parametrize("count", [None, 0, 1, 5])
def test_the_lists_fit_each_other_and_the_text(live, count):
    body = {"model": "letters", "prompt": "abc", "max_tokens": 30, "seed": 1, "logprobs": count}
    choice = live.complete(**body)["choices"][0]
    if count is None:
        assert choice["logprobs"] is None
        return
    found = choice["logprobs"]
    assert found.keys() == {"tokens", "token_logprobs", "top_logprobs", "text_offset"}
    assert "".join(found["tokens"]) == choice["text"]
    assert found["text_offset"] == list(range(30))
    for token, logprob, top in zip(found["tokens"], found["token_logprobs"], found["top_logprobs"], strict=True):
        assert top[token] == logprob
        assert max(count, 1) <= len(top) <= count + 1


def test_they_are_those_of_the_model_itself(live):
    body = {
        "model": "letters",
        "prompt": "abc",
        "max_tokens": 300,
        "seed": 1,
        "logprobs": 3,
        "temperature": 0.5,
        "top_k": 4,
    }
    choice = live.complete(**body)["choices"][0]
    scores = list(Scorer(FILES["letters"]).tokens("abc" + choice["text"], alternatives=3))[3:]
    nats = [-score.bits * math.log(2) for score in scores]
    np.testing.assert_allclose(choice["logprobs"]["token_logprobs"], nats, atol=1e-9)
    for top, score in zip(choice["logprobs"]["top_logprobs"], scores, strict=True):
        for other in score.alternatives:
            token = FILES["letters"].tokenizer.decode([other.token_id])
            assert math.isclose(top[token], math.log(other.probability), abs_tol=1e-9)


@pytest.mark.parametrize("name", ["letters", "records", "bytes", "windows"])
def test_a_harness_finds_the_likelihood_that_the_library_finds(live, name):
    context, continuation = "abc ab", " cab b."
    tokenizer = FILES[name].tokenizer
    body = {"model": name, "temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": True}
    prompt = tokenizer.encode(context + continuation).tolist()
    split = len(tokenizer.encode(context))
    for given in (prompt, [prompt], context + continuation):
        reply = live.complete(prompt=given, **body)["choices"][0]["logprobs"]
        found = sum(reply["token_logprobs"][split:-1])  # the last one was generated
        scores = list(Scorer(FILES[name]).tokens(context + continuation))[split : len(prompt)]
        assert found == pytest.approx(-sum(score.bits for score in scores) * math.log(2), abs=1e-4)
        greedy = all(
            token == max(top, key=top.get)
            for token, top in zip(reply["tokens"][split:-1], reply["top_logprobs"][split:-1], strict=True)
        )
        assert greedy == all(score.rank == 1 for score in scores)
        first = reply["token_logprobs"][0]
        assert (first is None) == (name != "records")


def test_a_record_that_the_caller_opened_is_not_opened_twice(live):
    tokenizer = FILES["records"].tokenizer
    ids = tokenizer.encode("abc").tolist()
    body = {"model": "records", "max_tokens": 0, "logprobs": 0, "echo": True}
    alone = live.complete(prompt=ids, **body)["choices"][0]["logprobs"]["token_logprobs"]
    opened = live.complete(prompt=[tokenizer.eos_id, *ids], **body)["choices"][0]["logprobs"]["token_logprobs"]
    assert opened == [None, *alone]


def test_the_prompt_stands_before_the_drawn_tokens(live):
    body = {"model": "letters", "prompt": "abc", "max_tokens": 4, "seed": 1, "logprobs": 1, "echo": True}
    choice = live.complete(**body)["choices"][0]
    assert choice["text"][:3] == "abc"
    assert len(choice["text"]) == 7
    assert choice["logprobs"]["text_offset"] == list(range(7))
    assert "".join(choice["logprobs"]["tokens"]) == choice["text"]


def test_bytes_of_a_character_are_written_as_bytes(live):
    body = {"model": "bytes", "prompt": "aé", "max_tokens": 0, "logprobs": 0, "echo": True}
    choice = live.complete(**body)["choices"][0]
    assert choice["text"] == "aé"
    assert choice["logprobs"]["tokens"] == ["a", "bytes:\\xc3", "bytes:\\xa9"]
    assert choice["logprobs"]["text_offset"] == [0, 1, 1]


def make_row(stop, max_tokens=100):
    completion = Completion(
        Handle(), LETTERS, 0, (), Settings(stop=stop, max_tokens=max_tokens), None, seed=1, size=1, num_logprobs=0
    )
    row: TextRow = completion.rows[0]
    assert row.source == Source(1, 0, ())
    return row


def feed(row, text):
    ids = FILES["letters"].tokenizer.encode(text).tolist()
    row.extend(ids, [(-1.0, {})] * len(ids))
    grown = row.grown()
    return grown.text, "".join(entry.token for entry in grown.logprobs)


def test_tokens_are_told_with_their_text_and_never_before_it():
    row = make_row(["end"])
    assert feed(row, "abe") == ("ab", "ab")
    assert feed(row, "nd") == ("", "")
    assert row.finished
    row = make_row(["end"])
    assert feed(row, "en") == ("", "")
    assert feed(row, "ca") == ("enca", "enca")
    row = make_row(["end"], max_tokens=2)
    assert feed(row, "en") == ("en", "en")
