"""Many clients at once, some of which leave in the middle."""

import asyncio
import json
import os
import random
import sys
import time
from pathlib import Path

import httpx
import pytest

from sonho.decoding import Model
from sonho.storage.model_file import save_model_file
from tests.serving.conftest import FILES, process, wait_until

TOKENS = 300


async def crowd(url, clients, seconds, leaving=0.2):
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

    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as http:
        await asyncio.gather(*(one(http, random.Random(number)) for number in range(clients)))
    return counts


def open_files(process_id):
    return len(list(Path(f"/proc/{process_id}/fd").iterdir()))


def resident_bytes(process_id):
    return int(Path(f"/proc/{process_id}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def check(counts, clients):
    assert counts["whole"] > clients
    assert counts["left"] > 0
    assert counts["refused"] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files in /proc")
def test_two_hundred_streams_of_which_a_fifth_leaves(start):
    live = start("letters")
    events = live.service.events
    live.http.get("/ready")
    files, tasks = open_files("self"), len(asyncio.all_tasks(events))
    counts = asyncio.run(crowd(live.url, clients=200, seconds=20))
    check(counts, 200)
    wait_until(lambda: live.context.engine.reserved == 0, seconds=2)
    assert live.context.engine.running == 0
    assert live.http.get("/ready").status_code == 200
    wait_until(lambda: open_files("self") <= files and len(asyncio.all_tasks(events)) <= tasks, seconds=5)


@pytest.mark.soak
@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process in /proc")
def test_three_minutes_leave_nothing_behind(tmp_path):
    save_model_file(tmp_path / "letters.safetensors", FILES["letters"])
    with process(str(tmp_path / "letters.safetensors")) as (server, url):
        httpx.get(f"{url}/ready")
        files = open_files(server.pid)
        check(asyncio.run(crowd(url, clients=200, seconds=30)), 200)  # what is made once is made now
        before = resident_bytes(server.pid)
        counts = asyncio.run(crowd(url, clients=200, seconds=180))
        check(counts, 200)
        wait_until(lambda: open_files(server.pid) <= files, seconds=5)
        after = resident_bytes(server.pid)
        print(counts, f"resident memory {before / 2**20:.1f} MB, then {after / 2**20:.1f} MB", f"{files} open files")
        assert after < 1.02 * before
        texts = httpx.get(f"{url}/metrics").text
        assert "sonho_texts_running 0.0" in texts
        assert "sonho_texts_waiting 0.0" in texts
