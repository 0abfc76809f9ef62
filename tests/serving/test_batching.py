"""Texts that join and leave the running batch: what they read, and when their places are free again."""

import asyncio
import itertools
import json
import random
import socket
import threading
import time

import httpx
import numpy as np
import pytest

from sonho.decoding import Model
from sonho.serving.served_model import ServedModel
from tests.serving.conftest import FILES, Live, make_file, wait_until

LONG = {"model": "slow", "prompt": "abc", "max_tokens": 60_000}


def raw_request(live, body, path="/v1/completions"):
    """A request on a socket of its own, which can be closed at any moment."""
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    )
    connection = socket.create_connection(("127.0.0.1", live.port))
    connection.sendall(f"{head}\r\n\r\n".encode() + content)
    return connection


@pytest.mark.parametrize("engine", ["native", "library"])
@pytest.mark.parametrize("name", ["letters", "records", "bytes", "windows"])
def test_a_seeded_text_is_the_same_alone_and_among_sixty_four(monkeypatch, engine, name):
    monkeypatch.setenv("SONHO_ENGINE", engine)
    tokens = 60 if engine == "library" or name == "windows" else 400
    live = Live({name: FILES[name]})
    try:
        body = {"prompt": "abc", "max_tokens": tokens, "seed": 5, "top_p": 0.95, "presence_penalty": 0.3, "logprobs": 1}
        alone = live.complete(**body)["choices"]
        expected = Model(FILES[name]).generate(
            "abc", max_tokens=tokens, seed=5, top_p=0.95, presence_penalty=0.3, temperature=1.0, echo=False
        )
        assert alone[0]["text"] == expected.text

        async def among_others():
            rng = random.Random(1)
            async with httpx.AsyncClient(base_url=live.url, timeout=60) as http:

                async def one(number):
                    await asyncio.sleep(rng.random() * 0.2)
                    if number % 16 == 8:
                        return (await http.post("/v1/completions", json=body)).json()["choices"]
                    other = {"prompt": "x" * number, "max_tokens": rng.randrange(1, tokens), "stream": number % 2 == 1}
                    await http.post("/v1/completions", json=other)
                    return None

                return [choices for choices in await asyncio.gather(*map(one, range(64))) if choices]

        for choices in asyncio.run(among_others()):
            assert choices == alone
        assert live.metric("batch_size_sum") > live.metric("batch_size_count"), "nothing was ever drawn side by side"
        assert live.context.engine.reserved == 0
    finally:
        live.stop()


def test_more_texts_than_places_wait_for_their_turn(start):
    live = start("letters", batch_size=3)
    choices = live.complete(prompt="abc", max_tokens=50, n=10, seed=1)["choices"]
    expected = Model(FILES["letters"]).generate("abc", max_tokens=50, n=10, seed=1, temperature=1.0, echo=False)
    assert [choice["text"] for choice in choices] == [text.text for text in expected]


@pytest.mark.parametrize("stream", [True, False])
def test_the_place_of_a_client_that_went_away_is_free_within_a_tenth_of_a_second(live, stream):
    took = []
    for _ in range(5):
        connection = raw_request(live, {**LONG, "n": 4, "stream": stream})
        wait_until(lambda: live.context.engine.running == 4, seconds=5)
        if stream:
            connection.recv(1000)
        gone = live.metric("disconnects_total")
        connection.close()
        took.append(wait_until(lambda: live.context.engine.reserved == 0, seconds=5))
        assert live.metric("disconnects_total") == gone + 1
    assert sorted(took)[2] < 0.1, took


def test_a_client_that_goes_away_while_it_waits_is_forgotten(start):
    live = start("slow", batch_size=1)
    first = raw_request(live, LONG)
    second = raw_request(live, LONG)
    wait_until(lambda: live.context.engine.reserved == 2, seconds=5)
    second.close()
    wait_until(lambda: live.context.engine.reserved == 1, seconds=1)
    first.close()
    wait_until(lambda: live.context.engine.reserved == 0, seconds=1)


def test_over_the_bound_requests_are_refused_before_any_work(start):
    live = start("slow", queue_size=6)
    connection = raw_request(live, {**LONG, "prompt": ["a", "b"], "n": 2})  # four places
    wait_until(lambda: live.context.engine.reserved == 4, seconds=5)
    refused = live.http.post("/v1/completions", json={**LONG, "n": 3})
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["code"] == "queue_full"
    assert live.metric("rejections_total", reason="queue_full") == 1
    assert live.complete(prompt="a", max_tokens=3, n=2)["usage"]["completion_tokens"] == 6
    connection.close()
    wait_until(lambda: live.context.engine.reserved == 0, seconds=1)
    never = live.http.post("/v1/completions", json={"prompt": "a", "n": 7})
    assert never.status_code == 400


def test_a_short_request_does_not_wait_for_long_ones(start):
    live = start("slow")
    connections = [raw_request(live, {**LONG, "n": 8}) for _ in range(2)]
    wait_until(lambda: live.context.engine.running == 16, seconds=5)
    took = []
    for _ in range(7):
        began = time.perf_counter()
        live.complete(prompt="a", max_tokens=1)
        took.append(time.perf_counter() - began)
    assert sorted(took)[3] < 0.2, took
    for connection in connections:
        connection.close()


def test_a_long_prompt_does_not_hold_up_a_stream(start):
    live = start("slow")
    gaps, going = [], threading.Event()

    def watch():
        last = time.perf_counter()
        with live.http.stream("POST", "/v1/completions", json={**LONG, "stream": True}) as response:
            for _ in itertools.takewhile(lambda _: not going.is_set(), response.iter_raw()):
                now = time.perf_counter()
                gaps.append(now - last)
                last = now

    thread = threading.Thread(target=watch)
    thread.start()
    wait_until(lambda: len(gaps) > 3, seconds=10)
    live.complete(prompt="abc " * 500, max_tokens=1)
    going.set()
    thread.join(10)
    assert max(gaps[1:]) < 0.5, max(gaps)


def test_weights_that_give_no_numbers_fail_that_request_and_no_other(start):
    broken = make_file(seed=6)
    broken.arrays["output.weight"] = np.full_like(broken.arrays["output.weight"], 3e38)
    live = Live({"letters": FILES["letters"], "broken": broken})
    try:
        for stream in (False, True):
            response = live.http.post("/v1/completions", json={"model": "broken", "prompt": "a", "stream": stream})
            assert "the logits are not numbers" in response.text
            assert response.status_code == (200 if stream else 500)
        assert live.complete(prompt="a", max_tokens=3)["usage"]["completion_tokens"] == 3
        assert live.context.engine.reserved == 0
    finally:
        live.stop()


def test_a_fault_in_a_lane_ends_its_requests_with_an_error(start, monkeypatch):
    live = start("letters")
    lane = live.context.engine._lanes["letters"]
    monkeypatch.setattr(lane.batch, "draw", lambda count: 1 / 0)
    response = live.http.post("/v1/completions", json={"prompt": "a"})
    assert response.status_code == 500
    assert response.json()["error"]["message"] == "a fault of the server: ZeroDivisionError"
    assert live.complete(prompt="a")["choices"][0]["finish_reason"] == "length"  # in a new batch


def test_health_is_503_until_the_models_are_there(start, monkeypatch):
    ready = threading.Event()

    def slowly(self, *arguments, **options):
        ready.wait(10)
        return original(self, *arguments, **options)

    original = ServedModel.__init__
    monkeypatch.setattr(ServedModel, "__init__", slowly)
    releasing = threading.Thread(target=lambda: (time.sleep(0.5), probe(), ready.set()))
    seen = []

    def probe():
        http = httpx.Client(base_url=f"http://127.0.0.1:{port[0]}")
        for path in ("/health", "/ready", "/v1/completions"):
            call = http.post(path, json={"prompt": "a"}) if "v1" in path else http.get(path)
            seen.append((call.status_code, call.json()["error"]["code"], call.headers["retry-after"]))

    port = []
    from tests.serving import conftest

    listen = conftest.bind
    monkeypatch.setattr(
        conftest, "bind", lambda host, _: port.append((found := listen(host, 0)).getsockname()[1]) or found
    )
    releasing.start()
    live = start("letters")
    releasing.join()
    assert seen == [(503, "loading", "1")] * 3
    assert live.http.get("/health").json() == {"status": "ok"}
    assert live.http.get("/ready").status_code == 200
