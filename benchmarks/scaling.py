"""How do speed and memory grow with threads, units, vocabulary, batch and text?

    python benchmarks/scaling.py [--megabytes 1 10 100]

Training: whole steps with Muon of one LSTM, at sonho's own choice of input layer (one-hot up to 256 symbols, above
that a tied embedding); one thing changes at a time from 256 units, batch 64 x 64, 65 symbols, all threads.
Generating: texts of 500 characters from one LSTM of 256, on all cores. Memory: the peak of the whole process of
`sonho prepare` and of a short `sonho train`, over the size of a text made by shuffling the lines of tiny-shakespeare.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import Row, Tables, installed, machine, save
from random_model import random_model
from sonho.storage.model_file import save_model_file
from workers import Worker, rate, take_turns

TEXT = Path(__file__).parent.parent / "examples" / "data" / "tinyshakespeare.txt"
MIDDLE = {"cell": "lstm", "hidden_size": 256, "layers": 1, "batch_size": 64, "window": 64, "vocab_size": 65}
SIZES, VOCABULARIES, BATCHES = (64, 128, 256, 512), (65, 1_000, 10_000, 30_000), (8, 16, 32, 64, 128)
TEXT_TOKENS = 500
DECODE_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
# Enough to have met everything that a training holds in memory.
TRAINING_STEPS = 50


def training(seconds: float) -> Tables:
    threads = range(1, (os.cpu_count() or 1) + 1)
    series = {"threads": threads, "hidden_size": SIZES, "vocab_size": VOCABULARIES, "batch_size": BATCHES}
    tables: Tables = {}
    with Worker("own_train") as worker:
        for name, values in series.items():
            rows = []
            for value in values:
                case = {**MIDDLE, "threads": 0, "optimizer": "muon", name: value}
                worker.case(**case)
                rows.append({name: value, "characters/s": round(rate(take_turns({"sonho": worker}, seconds)["sonho"]))})
                print(f"training, {name} {value}: {rows[-1]['characters/s']:,} characters/s", flush=True)
            tables[f"Training over {name}"] = rows
    return tables


def decoding(seconds: float) -> list[Row]:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, Worker("own_decode") as worker:
        path = Path(folder) / "model.safetensors"
        save_model_file(path, random_model(cell="lstm", hidden_size=256))
        for batch_size in DECODE_BATCHES:
            sizes = {"batch_size": batch_size, "max_tokens": TEXT_TOKENS}
            worker.case(path=str(path), style="text", weights="", temperature=0.8, **sizes)
            found = rate(take_turns({"sonho": worker}, seconds)["sonho"])
            rows.append({"batch": batch_size, "characters/s": round(found), "a row": round(found / batch_size)})
            print(f"generating, batch {batch_size}: {found:,.0f} characters/s", flush=True)
    return rows


def memory(megabytes: float) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        write_text(text, megabytes)
        row: Row = {"text, MB": megabytes}
        prepare = ["prepare", str(text), "-o", f"{folder}/shards"]
        train = ["train", str(text), "-o", f"{folder}/run", "--steps", str(TRAINING_STEPS), "--quiet"]
        for name, arguments in (("prepare", prepare), ("train", train)):
            seconds, peak = peak_megabytes(arguments)
            row |= {f"{name}, seconds": round(seconds, 1), f"{name}, peak MB": round(peak)}
        print(", ".join(f"{column} {value}" for column, value in row.items()), flush=True)
        return row


def write_text(path: Path, megabytes: float) -> None:
    lines, rng, left = TEXT.read_text(encoding="utf-8").splitlines(keepends=True), random.Random(0), megabytes * 1e6
    with path.open("w", encoding="utf-8") as file:
        while left > 0:
            piece = "".join(rng.choices(lines, k=10_000))[: int(left) + 1]
            left -= file.write(piece)


def peak_megabytes(arguments: list[str]) -> tuple[float, float]:
    """Seconds and peak resident megabytes of a command of sonho."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "sonho", *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)  # of this child alone
    if status:
        raise SystemExit(f"sonho {arguments[0]} ended with {os.waitstatus_to_exitcode(status)}")
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kilobytes here
    return time.perf_counter() - began, usage.ru_maxrss / unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of measuring for each point")
    parser.add_argument("--megabytes", type=float, nargs="*", default=[1, 10, 100], help="sizes of text")
    arguments = parser.parse_args()
    began = machine()
    tables: dict[str, Any] = training(arguments.seconds)
    tables["Generating over batch"] = decoding(arguments.seconds)
    if arguments.megabytes:
        tables["Memory over text"] = [memory(size) for size in arguments.megabytes]
    print(save("scaling", tables, began, installed("torch", "numpy")))


if __name__ == "__main__":
    main()
