"""What the server promises, proved at length: the same bytes among others, places freed, no broken end."""

import asyncio
import json
import random
import signal
import statistics
import threading

import httpx
import pytest

from sonho.storage.model_file import save_model_file
from tests.serving.conftest import FILES, process, wait_until
from tests.serving.test_batching import raw_request
from tests.serving.test_process import Reader

pytestmark = pytest.mark.soak
OTHERS, SEEDED = 64, 1000


@pytest.fixture
def path(tmp_path):
    save_model_file(tmp_path / "letters.safetensors", FILES["letters"])
    return str(tmp_path / "letters.safetensors")


async def text_of(http, seed, *, stream):
    body = {"prompt": "ab", "max_tokens": 30 + seed, "seed": seed, "stream": stream, "temperature": 0.9}
    if not stream:
        reply = await http.post("/v1/completions", json=body)
        return reply.json()["choices"][0]["text"]
    text = ""
    async with http.stream("POST", "/v1/completions", json=body) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                text += json.loads(line[6:])["choices"][0]["text"]
    return text


def test_a_thousand_seeded_requests_among_sixty_four_streams(path):
    async def ask(url):
        limits = httpx.Limits(max_connections=OTHERS + 8)
        async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as http:
            alone = [await text_of(http, seed, stream=False) for seed in range(50)]
            ended = asyncio.Event()

            async def other(number):
                while not ended.is_set():
                    await text_of(http, 100 + number, stream=True)

            others = [asyncio.create_task(other(number)) for number in range(OTHERS)]
            same = 0
            for number in range(SEEDED):
                seed = number % len(alone)
                same += await text_of(http, seed, stream=number % 3 == 0) == alone[seed]
            ended.set()
            await asyncio.gather(*others)
            return same

    with process(path) as (_, url):
        assert asyncio.run(ask(url)) == SEEDED


def test_clients_that_leave_at_two_hundred_moments(start):
    live, rng, took = start("letters"), random.Random(1), []
    for number in range(200):
        body = {"prompt": "ab", "max_tokens": 65_536, "n": 1 + number % 4, "stream": number % 2 == 0}
        connection = raw_request(live, {"model": "letters", **body})
        wait_until(lambda: live.context.engine.reserved > 0, seconds=5)
        threading.Event().wait(0.2 * rng.random())
        connection.close()
        took.append(wait_until(lambda: live.context.engine.reserved == 0, seconds=5))
    p99 = statistics.quantiles(took, n=100)[98]
    print(f"a place was free after {1000 * statistics.median(took):.1f} ms (median), {1000 * p99:.1f} ms (p99)")
    assert p99 < 0.1


def test_a_signal_under_fifty_streams_breaks_none(path):
    with process(path, "--drain-seconds", "5") as (server, url):
        readers = [Reader(url, 2_000 if number % 2 else 65_536) for number in range(50)]
        server.send_signal(signal.SIGTERM)
        for reader in readers:
            reader.join(30)
        last = [json.loads(reader.events[-2]) for reader in readers]
        assert [reader.events[-1] for reader in readers] == ["[DONE]"] * 50
        assert all("error" in chunk or chunk["choices"][0]["finish_reason"] for chunk in last)
        assert server.wait(5) == 0
