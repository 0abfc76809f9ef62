"""What is in run folders, read while a training may be writing to them. Knows files, not requests."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sonho.errors import DataError, InputNotFoundError, SonhoError
from sonho.storage.container import peek_container
from sonho.storage.model_file import MODEL_FILE_NAME, RMS_PREFIX

CHECKPOINT_NAME = "checkpoint.safetensors"
METRICS, SAMPLES = "metrics.jsonl", "samples.jsonl"
MOST_LINES = 5_000  # of one answer; the next asks for more
TAIL_BYTES = 65_536
MARKS_OF_THE_END = ("validation_bits_per_char", "test_bits_per_char", "validation_accuracy", "test_accuracy")


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
    """Baselines, plan, number of parameters and tokens a character; empty, or 1, where they are not written yet."""
    header, shapes = _peek(folder / CHECKPOINT_NAME, "checkpoint")
    model, _ = _peek(folder / MODEL_FILE_NAME, "model")
    record = model.get("record", {})
    return {
        "baselines": dict(header.get("baselines") or record.get("baselines") or {}),
        "plan": str(header.get("plan", "")),
        "parameters": sum(size for name, size in shapes.items() if name.startswith("model.")),
        "tokens_per_char": _tokens_per_char(record),
    }


def _peek(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, int]]:
    """Nothing of a file that is not there yet, or just being replaced."""
    try:
        return peek_container(path, kind)
    except SonhoError:
        return {}, {}


def _tokens_per_char(record: Mapping[str, Any]) -> float:
    """From the two figures of the same text; 1 where there are none."""
    loss, bits = record.get("validation_loss"), record.get("validation_bits_per_char")
    if not loss or not bits:
        return 1.0
    ratio = float(bits) * math.log(2) / float(loss)
    return 1.0 if math.isclose(ratio, 1.0, rel_tol=1e-6) else ratio


def is_finished(folder: Path) -> bool:
    """Whether what was kept has been measured, which is the last thing that a run does."""
    header, sizes = _peek(folder / MODEL_FILE_NAME, "model")
    measured = any(mark in header.get("record", {}) for mark in MARKS_OF_THE_END)
    return measured or any(name.startswith(RMS_PREFIX) for name in sizes)


def read_lines(path: Path, after: int = 0, *, most: int = MOST_LINES, strict: bool = False) -> tuple[list[Any], int]:
    """The objects of a file of JSON lines from line `after` on, and the line to ask for next.

    A line that is still being written waits for its end. One that is not JSON is left out; `strict` raises DataError.
    """
    lines: list[Any] = []
    try:
        with open(path, "rb") as file:
            for line in itertools.islice(file, after, after + most):
                if not line.endswith(b"\n"):
                    break
                lines.append(_parsed(line))
    except OSError:
        return [], after
    if strict and None in lines:
        raise DataError(f"{path}, line {after + lines.index(None) + 1}, is not JSON; take it out")
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
