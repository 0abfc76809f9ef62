"""What is in run folders, read while a training may be writing to them. Knows files, not requests."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sonho.errors import InputNotFoundError, SonhoError
from sonho.storage.container import peek_container
from sonho.storage.model_file import MODEL_FILE_NAME, RMS_PREFIX

CHECKPOINT_NAME = "checkpoint.safetensors"
METRICS, SAMPLES = "metrics.jsonl", "samples.jsonl"
MOST_LINES = 5_000  # of one answer; the next asks for more
TAIL_BYTES = 65_536
MARKS_OF_THE_END = ("validation_bits_per_char", "test_bits_per_char")


def find_runs(folders: Sequence[str]) -> dict[str, Path]:
    """Id -> run folder, for folders that are runs or hold some. Raises InputNotFoundError."""
    found: dict[str, Path] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise InputNotFoundError(f"no such run folder: {folder}")
        inside = sorted(path for path in folder.iterdir() if is_run(path))
        for run in [folder] if is_run(folder) else inside:
            name = run.resolve().name
            free = (f"{name}{end}" for end in itertools.chain([""], (f"-{n}" for n in itertools.count(2))))
            found[next(id for id in free if id not in found)] = run
    return found


def is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (METRICS, CHECKPOINT_NAME))


def describe(id: str, folder: Path) -> dict[str, Any]:
    """The run's entry in the list."""
    last = last_line(folder / METRICS)
    return {
        "id": id,
        "name": folder.resolve().name,
        "finished": is_finished(folder),
        "step": last.get("step", 0),
        "seconds": last.get("seconds", 0.0),
    }


def facts(folder: Path) -> dict[str, Any]:
    """Baselines, plan and the number of parameters; empty where they are not written yet."""
    header: dict[str, Any] = {}
    parameters = 0
    try:
        header, shapes = peek_container(folder / CHECKPOINT_NAME, "checkpoint")
        sizes = [size for name, size in shapes.items() if name.startswith("model.")]
        parameters = sum(sizes)
    except SonhoError:
        pass  # not there yet, or just being replaced
    return {
        "baselines": dict(header.get("baselines") or {}),
        "plan": str(header.get("plan", "")),
        "parameters": parameters,
    }


def is_finished(folder: Path) -> bool:
    """Whether what was kept has been measured, which is the last thing that a run does."""
    try:
        header, sizes = peek_container(folder / MODEL_FILE_NAME, "model")
    except SonhoError:
        return False
    measured = any(mark in header.get("record", {}) for mark in MARKS_OF_THE_END)
    return measured or any(name.startswith(RMS_PREFIX) for name in sizes)


def read_lines(path: Path, after: int) -> tuple[list[Any], int]:
    """The objects of a file of JSON lines from line `after` on, and the line to ask for next.

    A line that is still being written waits for its end.
    """
    lines: list[Any] = []
    try:
        with open(path, "rb") as file:
            for line in itertools.islice(file, after, after + MOST_LINES):
                if not line.endswith(b"\n"):
                    break
                lines.append(_parsed(line))
    except OSError:
        return [], after
    return [line for line in lines if line is not None], after + len(lines)


def last_line(path: Path) -> dict[str, Any]:
    """The last whole object of a file of JSON lines, or an empty one."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            tail = file.read()
    except OSError:
        return {}
    whole = tail[: tail.rfind(b"\n") + 1].splitlines()
    found = _parsed(whole[-1]) if whole else None
    return found if isinstance(found, dict) else {}


def _parsed(line: bytes) -> Any:
    """One line; what JSON has no number for becomes null."""
    try:
        return json.loads(line, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None
