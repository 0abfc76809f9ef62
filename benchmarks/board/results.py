"""The results of the board: one JSON file that grows cell by cell, so that hours can be run in pieces."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from common import RESULTS

NAME = "time_to_quality"
PATH = RESULTS / f"{NAME}.json"
# What names a cell. A trial is told from another by its settings as well.
KEY = ("text", "entrant", "budget", "seed")

Cell = dict[str, Any]


class Results:
    """Cells {text, entrant, budget, seed, ...}, and the trials by which settings were picked."""

    def __init__(self, path: Path = PATH) -> None:
        self.path = path
        stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self.cells: list[Cell] = stored.get("cells", [])
        self.trials: list[Cell] = stored.get("trials", [])

    def cell(self, **key: Any) -> Cell | None:
        return next((cell for cell in self.cells if _fits(cell, key, KEY)), None)

    def trial(self, **key: Any) -> Cell | None:
        return next((trial for trial in self.trials if _fits(trial, key, (*KEY, "settings"))), None)

    def add(self, cell: Cell) -> None:
        """Keep a cell, in the place of an older one of the same name if there is one."""
        old = self.cell(**{name: cell[name] for name in KEY})
        if old is None:
            self.cells.append(cell)
        else:
            self.cells[self.cells.index(old)] = cell
        self._write()

    def add_trial(self, trial: Cell) -> None:
        self.trials.append(trial)
        self._write()

    def _write(self) -> None:
        """A run that is killed here leaves the old file or the new one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lists = {"cells": self.cells, "trials": self.trials}
        parts = [f' "{name}": [\n{_lines(rows)}\n ]' for name, rows in lists.items()]
        temporary = self.path.with_suffix(".part")
        temporary.write_text(f'{{\n "name": "{NAME}",\n' + ",\n".join(parts) + "\n}\n", encoding="utf-8")
        os.replace(temporary, self.path)


def median(cells: Iterable[Cell], value: Callable[[Cell], float | None] | str) -> float | None:
    """The median over seeds of what all of the cells have, or None."""
    read = (lambda cell: cell.get(value)) if isinstance(value, str) else value
    values = [read(cell) for cell in cells]
    known = [each for each in values if each is not None]
    return statistics.median(known) if known else None


def _fits(cell: Cell, key: Cell, names: Iterable[str]) -> bool:
    return all(cell[name] == key[name] for name in names)


def _lines(rows: list[Cell]) -> str:
    return ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in rows)
