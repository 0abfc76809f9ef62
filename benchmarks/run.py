"""`make bench`: runs the benchmarks one after the other, then writes RESULTS.md. About half an hour.

    python benchmarks/run.py [--ag-news train_titles.csv.gz] [--quick]

A quiet machine is needed: nothing else may run. The titles are not in the repository; without them their epoch is
left out. --quick measures next to nothing, to see that every script works, and leaves the results as they are.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
# script and arguments, and what --quick adds
BENCHMARKS = (
    ("light.py", ""),
    ("startup.py", "--runs 2 --no-install"),
    ("decode_speed.py", "--seconds 0.5 --models 1 --batches 1 8"),
    ("train_speed.py", "--seconds 0.5 --cases 1"),
    ("train_speed.py --threads 1", "--seconds 0.5 --cases 1"),
    ("train_speed.py --optimizer muon --peers torch", "--seconds 0.5 --cases 1"),
    ("train_speed.py --grid --peers torch", "--seconds 0.5 --cases 1"),
    ("two_trainings.py", "--seconds 0.5"),
    ("scaling.py", "--seconds 0.5 --megabytes 1"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ag-news", metavar="FILE", help="measure an epoch of these titles as well")
    parser.add_argument("--quick", action="store_true", help="only see that every script works")
    arguments = parser.parse_args()
    commands = [f"{script} {quick}" if arguments.quick else script for script, quick in BENCHMARKS]
    lines = [command.split() for command in commands]
    if arguments.ag_news:
        lines.append(["ag_news_epoch.py", "--data", arguments.ag_news, *(["--steps", "20"] if arguments.quick else [])])
    with tempfile.TemporaryDirectory() as trial:
        failed = run([*lines, ["report.py"]], {"BENCH_RESULTS": f"{trial}/results"} if arguments.quick else {})
    if failed:
        raise SystemExit(f"failed: {'; '.join(failed)}")


def run(lines: list[list[str]], environment: dict[str, str]) -> list[str]:
    """Run the scripts; returns those that failed, as the others are still worth their time."""
    failed = []
    for line in lines:
        print("==", *line, flush=True)
        began = time.perf_counter()
        command = [sys.executable, str(HERE / line[0]), *line[1:]]
        if subprocess.run(command, check=False, env={**os.environ, **environment}).returncode:
            failed.append(" ".join(line))
        print(f"== {time.perf_counter() - began:.0f} s", flush=True)
    return failed


if __name__ == "__main__":
    main()
