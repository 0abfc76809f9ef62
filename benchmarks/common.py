"""What every benchmark shares: where it ran, and one JSON file a result.

Its results are {heading: [row, ...]}, each row {column: value}; report.py makes a table of each. Units stand in
the column's name.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from sonho.errors import SonhoError
from sonho.native import library

DEFAULT_RESULTS = Path(__file__).parent / "results"
# BENCH_RESULTS takes the results of a trial elsewhere.
RESULTS = Path(os.environ.get("BENCH_RESULTS") or DEFAULT_RESULTS)
# Written while a benchmark runs; they do not change what is measured.
OUTPUTS = ("benchmarks/results", "benchmarks/RESULTS.md", "docs/results.md", "docs/board.md", "docs/images")

Row = dict[str, Any]
Tables = dict[str, list[Row]]


def machine() -> dict[str, Any]:
    """The processor, its cores, the kernels' instruction set and the load when the benchmark began."""
    model, info = platform.processor(), Path("/proc/cpuinfo")
    if info.exists():
        # Rented machines call processors of different ages by one name; family and model tell them apart.
        fields = (line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
        known = {name.strip(): value.strip() for name, value in fields}
        numbers = [f"{name.removeprefix('cpu ')} {known[name]}" for name in ("cpu family", "model") if name in known]
        model = ", ".join([known.get("model name", model), *numbers])
    try:
        isa = library.isas()[0]
    except SonhoError:
        isa = None
    where = {"processor": model, "cores": os.cpu_count(), "isa": isa, "python": platform.python_version()}
    return {**where, "load": load()}


def load() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def gigaflops(seconds: float = 1.0) -> float:
    """How many a second the machine makes just now with all its threads, in float32 products (512, 512) by (512, 512).

    Processors that are shared become slower and faster by the hour, which no load average shows.
    """
    matrix, times = np.ones((512, 512), np.float32), []
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        each = time.perf_counter()
        matrix @ matrix
        times.append(time.perf_counter() - each)
    return 2 * 512**3 / statistics.median(times) / 1e9


def installed(*names: str, python: str = sys.executable) -> dict[str, str]:
    """The versions of packages in the environment of `python`."""
    code = (
        "import importlib.metadata, json, sys; print(json.dumps([importlib.metadata.version(n) for n in sys.argv[1:]]))"
    )
    found = subprocess.run([python, "-c", code, *names], check=True, capture_output=True, text=True).stdout
    return dict(zip(names, json.loads(found), strict=True))


def commit() -> str:
    """The commit that was measured; with a plus where the working tree differs, results aside."""
    others = [f":!{path}" for path in OUTPUTS]
    changes = _git("status", "--porcelain", "--", ".", *others).stdout.strip()
    return _git("rev-parse", "--short", "HEAD").stdout.strip() + ("+" if changes else "")


def differs(old: str, path: str) -> bool:
    """Whether a file or folder of the working tree is not as it was at a commit, or the commit is not known."""
    return _git("diff", "--quiet", old, "--", path).returncode != 0


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["git", "-C", str(Path(__file__).parent.parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _program() -> str:
    """The program as it is called from the top folder: a result knows no folder of the machine."""
    program, top = Path(sys.argv[0]).resolve(), Path(__file__).resolve().parent.parent
    return program.relative_to(top).as_posix() if program.is_relative_to(top) else program.name


def save(name: str, results: Any, began: dict[str, Any], versions: dict[str, str] | None = None) -> Path:
    """Write `results/NAME.json`; `began` is machine() as it was before the measuring."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    command = " ".join(["python", _program(), *(os.path.basename(a) for a in sys.argv[1:])])
    record = {
        "name": name,
        "commit": commit(),
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {**began, "load_after": load()},
        "versions": versions or {},
        "results": results,
    }
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
