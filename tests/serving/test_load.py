"""Many clients at once, some of which leave in the middle."""

import asyncio
import json
import random
import time

import httpx
import pytest

from sonho.decoding import Model
from tests.serving.conftest import FILES, wait_until

TOKENS = 300


async def crowd(live, clients, seconds, leaving=0.2):
    """Clients that stream one text after the other; returns how many texts were whole, left, and refused."""
    counts = {"whole": 0, "left": 0, "refused": 0}
    expected = [
        str(Model(FILES["letters"]).generate("ab", max_tokens=TOKENS, seed=s, temperature=1.0, echo=False))
        for s in range(8)
    ]
    until = time.perf_counter() + seconds
    limits = httpx.Limits(max_connections=clients)

    async def one(http, rng):
        while time.perf_counter() < until:
            seed, leaves = rng.randrange(8), rng.random() < leaving
            body = {"model": "letters", "prompt": "ab", "max_tokens": TOKENS, "seed": seed, "stream": True}
            async with http.stream("POST", "/v1/completions", json=body) as response:
                if response.status_code == 503:
                    counts["refused"] += 1
                    await response.aread()
                    await asyncio.sleep(0.05)
                    continue
                assert response.status_code == 200
                text, reason, done = "", None, False
                async for line in response.aiter_lines():
                    if leaves and rng.random() < 0.5:
                        break
                    if line == "data: [DONE]":
                        done = True
                    elif line.startswith("data: "):
                        choice = json.loads(line[6:])["choices"][0]
                        text, reason = text + choice["text"], choice["finish_reason"]
                if leaves and not done:
                    counts["left"] += 1
                else:
                    assert (text, reason, done) == (expected[seed], "length", True)
                    counts["whole"] += 1

    async with httpx.AsyncClient(base_url=live.url, timeout=60, limits=limits) as http:
        await asyncio.gather(*(one(http, random.Random(number)) for number in range(clients)))
    return counts


def check(live, clients, seconds):
    counts = asyncio.run(crowd(live, clients, seconds))
    assert counts["whole"] > clients
    assert counts["left"] > 0
    assert counts["refused"] == 0
    wait_until(lambda: live.context.engine.reserved == 0, seconds=2)
    assert live.context.engine.running == 0
    assert live.http.get("/ready").status_code == 200
    return counts


def test_a_crowd_of_streams_of_which_some_leave(start):
    check(start("letters"), clients=60, seconds=3)


@pytest.mark.soak
@pytest.mark.parametrize("seconds", [20, 180])
def test_two_hundred_streams_of_which_a_fifth_leaves(start, seconds):
    print(check(start("letters"), clients=200, seconds=seconds))
