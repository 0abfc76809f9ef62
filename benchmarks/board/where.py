"""Where the board's figures come from: the machines, their speed and load, and how the seconds were kept."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

from board.entrants import title
from board.results import Cell, Results


class Machines:
    """The machines of the results, numbered from the one with the most cells."""

    def __init__(self, results: Results) -> None:
        counted = Counter(name_of(cell) for cell in results.cells)
        self.names = [name for name, _ in counted.most_common()]
        self._cells = results.cells

    def mark(self, cells: Sequence[Cell]) -> str:
        """The raised numbers of the machines that a figure is from; none for the first alone, nor without a clock."""
        numbers = sorted({self.names.index(name_of(cell)) + 1 for cell in cells if cell["budget"]})
        return "" if numbers in ([], [1]) else f"<sup>{', '.join(map(str, numbers))}</sup>"

    def lines(self) -> list[str]:
        """One a machine: how many figures are from it, how fast it was and how busy."""
        return [f"{number}. {name}: {self._described(name)}" for number, name in enumerate(self.names, 1)]

    def _described(self, name: str) -> str:
        cells = [cell for cell in self._cells if name_of(cell) == name]
        loads = [cell["machine"]["load"] or 0.0 for cell in cells]
        speeds = [speed for cell in cells if (speed := cell["machine"].get("gigaflops"))]
        said = f"{len(cells)} cells; load before a cell {_spread(loads, 1)}"
        if speeds:
            said += f"; products of float32 before a cell (in {len(speeds)}) {_spread(speeds, 0)} GFLOP/s"
        return f"{said}."


def where(results: Results) -> list[str]:
    """The machines and commits, how busy they were, and how the seconds were kept."""
    commits = sorted({cell["commit"] for cell in results.cells})
    dates = sorted({cell["date"] for cell in results.cells})
    lines = ["## Where and how", "", *Machines(results).lines(), ""]
    lines.append(f"Commits {', '.join(commits)}; {dates[0]} to {dates[-1]}.")
    tried = Counter(name_of(trial) for trial in results.trials)
    if tried:
        counted = "; ".join(f"{trials} on {name}" for name, trials in tried.items())
        lines.append(f"Trials to pick the settings of peers: {counted}.")
    timed = [cell for cell in results.cells if cell["budget"]]
    if timed:
        seeds = sorted(Counter((cell["text"], cell["entrant"], cell["budget"]) for cell in timed).values())
        lines.append(f"Seeds of a figure: {seeds[0] if seeds[0] == seeds[-1] else f'{seeds[0]} to {seeds[-1]}'}.")
        late = max(timed, key=lambda cell: cell["seconds"] / cell["budget"])
        which = f"{title(late['entrant'])}, {late['seconds']:.1f} s of {late['budget']:g} ({late['text']})"
        lines.append(f"The latest: {which}.")
    cut = {cell["text"]: cell["left_out"] for cell in results.cells if cell.get("left_out")}
    lines += [f"Cut out of the test part of {text}, being nowhere else: {n} characters." for text, n in cut.items()]
    return [*lines, ""]


def name_of(cell: Cell) -> str:
    """The machine of a cell, as the page calls it."""
    return f"{cell['machine']['cores']} cores of {cell['machine']['processor']}"


def _spread(values: list[float], digits: int) -> str:
    """Median (least to most)."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
