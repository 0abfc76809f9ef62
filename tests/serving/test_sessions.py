"""Sessions: read once, gone on from, forked, bounded."""

import time

import pytest

from sonho.decoding import Model
from sonho.serving.problems import Problem
from sonho.serving.sessions import Sessions
from tests.serving.conftest import FILES
from tests.serving.test_batching import LONG, raw_request, wait_until


def make(live, **body):
    response = live.http.post("/v1/sessions", json=body)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("name", ["letters", "records", "bytes", "windows", "counted"])
def test_a_session_goes_on_as_the_text_itself_would(live, name):
    session = make(live, model=name, text="abc ")
    assert session == {"id": session["id"], "model": name, "num_tokens": 4, "text": "abc "}
    options = {"model": name, "seed": 3, "max_tokens": 40, "temperature": 0.9}
    expected = live.complete(prompt="abc def", **options)["choices"][0]["text"]
    assert live.complete(prompt="def", session=session["id"], **options)["choices"][0]["text"] == expected
    shown = live.http.get(f"/v1/sessions/{session['id']}").json()
    if name != "records":
        assert shown["text"] == "abc def" + expected
        assert shown["num_tokens"] == 47


def test_penalties_see_what_the_session_has_read(live):
    session = make(live, model="letters", text="abcdefg hijklm")["id"]
    options = {"seed": 3, "max_tokens": 60, "presence_penalty": 2, "repetition_penalty": 2}
    expected = live.complete(prompt="abcdefg hijklmno", **options)["choices"][0]["text"]
    assert live.complete(prompt="no", session=session, **options)["choices"][0]["text"] == expected


@pytest.mark.parametrize("stream", [True, False])
def test_it_stands_where_the_completion_ended_also_after_a_stop(live, stream):
    """The state after a stop in the midst of a chunk is that of the tokens that count."""
    session = make(live, text="abc")["id"]
    text = Model(FILES["letters"]).generate("abc", max_tokens=120, seed=8, temperature=1.0, echo=False).text
    stop = text[57:60]
    body = {"prompt": "", "max_tokens": 120, "seed": 8, "stop": stop, "session": session, "stream": stream}
    live.http.post("/v1/completions", json=body)
    read = "abc" + text[: text.index(stop) + len(stop)]
    assert live.http.get(f"/v1/sessions/{session}").json()["text"] == read
    following = live.complete(prompt="", max_tokens=1, logprobs=5, temperature=0, session=session)
    expected = live.complete(prompt=read, max_tokens=1, logprobs=5, temperature=0)
    assert following["choices"][0]["logprobs"] == expected["choices"][0]["logprobs"]


def test_a_fork_goes_its_own_way(live):
    first = make(live, text="abc")["id"]
    second = live.http.post(f"/v1/sessions/{first}/fork").json()["id"]
    options = {"prompt": "", "max_tokens": 30, "seed": 1}
    text = live.complete(session=first, **options)["choices"][0]["text"]
    assert live.complete(session=second, **options)["choices"][0]["text"] == text
    assert live.complete(session=second, **options)["choices"][0]["text"] != text
    assert live.http.get(f"/v1/sessions/{first}").json()["text"] == "abc" + text


def test_reading_alone_moves_a_session(live):
    session = make(live, text="abc")["id"]
    live.complete(prompt="de", max_tokens=0, session=session)
    assert live.http.get(f"/v1/sessions/{session}").json()["text"] == "abcde"


def test_a_deleted_session_is_gone(live):
    session = make(live)["id"]
    assert session in {entry["id"] for entry in live.http.get("/v1/sessions").json()["data"]}
    assert live.http.delete(f"/v1/sessions/{session}").json()["deleted"] is True
    for call in (live.http.get, live.http.delete):
        assert call(f"/v1/sessions/{session}").json()["error"]["code"] == "session_not_found"
    refused = live.http.post("/v1/completions", json={"prompt": "a", "session": session})
    assert refused.status_code == 404


@pytest.mark.parametrize("more", [{"n": 2}, {"prompt": ["a", "b"]}, {"model": "bytes"}, {"echo": True, "logprobs": 1}])
def test_a_session_takes_one_text_of_its_own_model(live, more):
    session = make(live, model="letters")["id"]
    refused = live.http.post("/v1/completions", json={"prompt": "a", "session": session, **more})
    assert refused.status_code == 400
    assert live.complete(prompt="a", session=session)  # and is free again


def test_one_completion_at_a_time_and_a_lost_one_leaves_it_as_it_was(live):
    session = make(live, model="slow", text="abc")["id"]
    for stream in (True, False):
        connection = raw_request(live, {**LONG, "session": session, "stream": stream})
        wait_until(lambda: live.context.engine.running == 1, seconds=5)
        assert live.http.post("/v1/completions", json={"prompt": "a", "session": session}).status_code == 409
        connection.close()
        wait_until(lambda: not live.context.sessions.get(session).busy, seconds=1)
        wait_until(lambda: live.context.engine.reserved == 0, seconds=1)
        assert live.http.get(f"/v1/sessions/{session}").json()["text"] == "abc"


def test_their_number_is_bounded(start):
    live = start("letters", max_sessions=2)
    make(live), make(live)
    assert live.http.post("/v1/sessions", json={}).json()["error"]["code"] == "sessions_full"


def test_an_idle_session_makes_room():
    sessions = Sessions(2, idle_seconds=0.05)
    model = FILES["letters"]
    stand = (model.arrays["output.bias"][None], ())
    served = type("Served", (), {"name": "x", "tokenizer": model.tokenizer})()
    first, second = sessions.add(served, stand, [1]), sessions.add(served, stand, [2])
    with pytest.raises(Problem, match="2 sessions are kept already"):
        sessions.add(served, stand, [3])
    time.sleep(0.06)
    first.busy = True
    sessions.add(served, stand, [3])
    assert len(sessions) == 2
    with pytest.raises(Problem, match="no such session"):
        sessions.get(second.id)
