"""Trains the recipe irish-tunes on one core, writes 200 tunes, and counts those that are right.

    python benchmarks/music.py irish.abc [--run RUN] [--temperature 0.7]

--run takes a run that is there already. The time is of the machine as it is; the processor seconds beside it are the
training's own, whatever else runs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import machine, save
from sonho.decoding.model import load
from sonho.export.rendering import read_tunes
from sonho.export.tune_report import report_on

TUNES, MOST_TOKENS, SEED = 200, 1500, 1


def train(tunes: str, output: str) -> dict[str, Any]:
    """Train in a process of its own; wall-clock and processor seconds."""
    command = [sys.executable, "-m", "sonho", "train", "--recipe", "irish-tunes", tunes, "-o", output, "--threads", "1"]
    began = time.perf_counter()
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("the training failed")
    processor = usage.ru_utime + usage.ru_stime
    return {"training, seconds": round(time.perf_counter() - began), "training, processor seconds": round(processor)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tunes")
    parser.add_argument("--run")
    parser.add_argument("--temperature", type=float, default=0.7)
    arguments = parser.parse_args()
    began, results = machine(), dict[str, Any]()
    with tempfile.TemporaryDirectory() as folder:
        run = arguments.run or str(Path(folder) / "run")
        if not arguments.run:
            results |= train(arguments.tunes, run)
        model = load(run)
        record = model.model_file.record
        results["held out, bits/char"] = record.get("validation_bits_per_char")
        written = model.generate(
            "X:1\n", n=TUNES, temperature=arguments.temperature, max_tokens=MOST_TOKENS, seed=SEED
        )  # fmt: skip
    for name, texts in (("generated", [made.text for made in written]), ("training text", read_tunes(arguments.tunes))):
        report = report_on(texts)
        results[f"{name}, tunes"] = report.total
        results[f"{name}, parse, share"] = report.share(report.parsed)
        results[f"{name}, bars add up, share"] = report.share(report.bars_add_up)
    for label, value in results.items():
        print(f"{label:36} {value}")
    rows = [{"measure": label, "value": value} for label, value in results.items()]
    print(save("music", {"Irish tunes: 200 written": rows}, began))


if __name__ == "__main__":
    main()
