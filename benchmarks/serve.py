"""`sonho serve` under 64 streams, beside the bare batched decode of the same texts in the same process state.

The server is a process of its own, the clients are another: on a machine with two cores all three share them.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import machine, save
from random_model import random_model
from sonho.decoding import load
from sonho.storage.model_file import save_model_file

STREAMS, TOKENS, ROUNDS = 64, 2000, 3


def bare(path: Path) -> tuple[float, float]:
    """Characters a second, and a second of the processor, of the library's own batch."""
    model, best, best_processor = load(path), 0.0, 0.0
    for _ in range(ROUNDS):
        began, processor = time.perf_counter(), time.process_time()
        prompts = ["A"] * STREAMS
        texts = model.generate_batch(prompts, seeds=range(STREAMS), max_tokens=TOKENS, echo=False, temperature=1.0)
        chars = sum(len(text.text) for text in texts)
        best = max(best, chars / (time.perf_counter() - began))
        best_processor = max(best_processor, chars / (time.process_time() - processor))
    return best, best_processor


def processor_seconds(process_id: int) -> float:
    """What a process has used so far (Linux)."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def one(port: int, seed: int) -> tuple[int, float, list[float]]:
    """Characters, seconds to the first of them, and the gaps between chunks.

    A socket and no library, and parsing at the end: a client of Python's costs more than the server.
    """
    body = json.dumps({"prompt": "A", "max_tokens": TOKENS, "seed": seed, "stream": True}).encode()
    head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.perf_counter()
    writer.write(f"{head}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
    pieces, times = [], []
    while piece := await reader.read(65536):
        pieces.append(piece)
        if b"data: {" in piece:
            times.append(time.perf_counter())
    writer.close()
    events = re.findall(rb"data: ({.*})", b"".join(pieces))
    chars = sum(len(json.loads(event)["choices"][0]["text"]) for event in events)
    return chars, times[0] - began, [later - earlier for earlier, later in itertools.pairwise(times)]


async def crowd(port: int, process_id: int) -> dict[str, float]:
    await one(port, 0)
    speeds, processor_speeds, firsts, gaps = [], [], [], []
    for _ in range(ROUNDS):
        began, processor = time.perf_counter(), processor_seconds(process_id)
        results = await asyncio.gather(*(one(port, seed) for seed in range(STREAMS)))
        chars = sum(chars for chars, _, _ in results)
        speeds.append(chars / (time.perf_counter() - began))
        processor_speeds.append(chars / (processor_seconds(process_id) - processor))
        firsts += [first for _, first, _ in results]
        gaps += [gap for _, _, some in results for gap in some]
    alone = [await one(port, seed) for seed in range(20)]
    return {
        "characters/s": max(speeds),
        "characters a processor second": max(processor_speeds),
        "first text, median ms": 1000 * statistics.median(firsts),
        "first text, p99 ms": 1000 * statistics.quantiles(firsts, n=100)[98],
        "between chunks, p99 ms": 1000 * statistics.quantiles(gaps, n=100)[98],
        "first text alone, median ms": 1000 * statistics.median(first for _, first, _ in alone),
    }


def measure(cell: str, hidden_size: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_model_file(path, random_model(cell=cell, hidden_size=hidden_size))
        reference, reference_processor = bare(path)
        began = time.perf_counter()
        command = [sys.executable, "-m", "sonho", "serve", str(path), "--port", "0"]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            assert server.stderr is not None
            found = re.search(r":(\d+)\s*$", server.stderr.readline())
            assert found
            started = time.perf_counter() - began
            served = asyncio.run(crowd(int(found[1]), server.pid))
        finally:
            server.terminate()
            server.wait()
    shares = {
        "share of bare": round(served["characters/s"] / reference, 3),
        "share of bare, by the processor": round(served["characters a processor second"] / reference_processor, 3),
    }
    rounded = {name: round(value, 1) for name, value in served.items()}
    own = {"bare characters/s": round(reference), "bare characters a processor second": round(reference_processor)}
    return {**own, **rounded, **shares, "start, s": round(started, 2)}


def main() -> None:
    began = machine()
    results: dict[str, float] = {}
    for cell, size in (("lstm", 256), ("lstm", 512)):
        measured = measure(cell, size)
        results |= {f"{cell} {size}, {STREAMS} streams: {label}": value for label, value in measured.items()}
    for name, value in results.items():
        print(f"{name:72} {value:,}")
    print(save("serve", results, began))


if __name__ == "__main__":
    main()
