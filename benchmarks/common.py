"""What every benchmark shares: where it ran, and one JSON file a result."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """The processor, its cores and the load when the benchmark began."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"processor": model, "cores": os.cpu_count(), "python": platform.python_version(), "load": load}


def commit() -> str:
    """The commit that was measured; with a plus where the working tree differs."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")


def save(name: str, results: Any, began: dict[str, Any]) -> Path:
    """Write `results/NAME.json`; `began` is machine() as it was before the measuring."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    command = " ".join(["python", os.path.relpath(sys.argv[0]), *(os.path.basename(a) for a in sys.argv[1:])])
    record = {
        "name": name,
        "commit": commit(),
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": began,
        "results": results,
    }
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
