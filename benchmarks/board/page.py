"""docs/board.md and its picture, made from the results, so that no number is typed by hand."""

from __future__ import annotations

from html import escape
from pathlib import Path

from board.entrants import ENTRANTS, Entrant, title
from board.plot import Line, Panel, svg
from board.results import PATH, Cell, Results, median
from board.where import Machines, where
from common import DEFAULT_RESULTS

DOCS = Path(__file__).parent.parent.parent / "docs"
PICTURE = Path("images") / "time-to-quality.svg"
COLUMNS = 2  # of samples
GENERATED = "Written by `python benchmarks/time_to_quality.py`; do not edit."
INTRODUCTION = """\
The best model in the minutes that there are, in nats per character (less is better): each entrant learns for so many
seconds of wall clock, counted from the cold start of its process, and is then scored on text that it has never seen.

*Split.* The last tenth of a text is the test part (AG News: a tenth of the titles, by hash), read for the score only.
Of the rest, a fiftieth (at least 10,000 bytes) is the validation part, as `sonho train --minutes 1` holds it out: by
it every entrant keeps its best weights, and by it the settings of the peers were picked, in trials that are not part of
their time: rates in trials of the whole budget, of 180 s for 600, and dropout, from 180 s on, in trials of the whole
budget. *Protocols.* The first figure is of one stream with everything that a model remembers; in brackets, cold
windows of 256 characters, each by itself. What exactly is done stands at the top of `benchmarks/board/scoring.py`. Of
xz it is what the test part adds to a file of all that was before it; in brackets, the test part by itself. Every figure
is the median of the seeds that are there. A raised number
names the machine under [where and how](#where-and-how) that a figure is from; those without one are from the first.
Machines differ in speed, so compare figures of one machine.
"""


def write_page(results: Results) -> None:
    """Write the page and the picture; a trial's (BENCH_RESULTS) beside its results."""
    if not results.cells:
        return
    docs = DOCS if PATH.parent == DEFAULT_RESULTS else PATH.parent
    (docs / PICTURE).parent.mkdir(parents=True, exist_ok=True)
    (docs / PICTURE).write_text(picture(results), encoding="utf-8")
    (docs / "board.md").write_text(page(results), encoding="utf-8")
    print(docs / "board.md", flush=True)


def page(results: Results) -> str:
    lines = ["# Time to quality", "", GENERATED, "", INTRODUCTION]
    lines += [f"![Loss over seconds of every entrant]({PICTURE.as_posix()})", ""]
    lines += ["Marks: the test part, one stream, at each budget. Thin lines: the validation part while learning.", ""]
    for text in dict.fromkeys(cell["text"] for cell in results.cells):
        lines += [f"## {text}", "", *table(results, text), "", *verdict(results, text), ""]
    return "\n".join([*lines, *picked(results), *samples(results), *where(results)])


def table(results: Results, text: str) -> list[str]:
    """A row an entrant, a column a budget."""
    columns, machines = budgets(results, text), Machines(results)
    heads = ["", "parameters", *(f"{budget:g} s" for budget in columns)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for entrant in ENTRANTS:
        rows = {budget: found(results, text, entrant, budget) for budget in columns}
        if not any(rows.values()):
            continue
        size = median([cell for cells in rows.values() for cell in cells][-1:], "parameters")
        shown = [_figures(cells) + machines.mark(cells) for cells in rows.values()]
        lines.append(f"| {entrant.title} | {f'{size:,.0f}' if size else '-'} | {' | '.join(shown)} |")
        if any("adaptive" in cell for cells in rows.values() for cell in cells):
            shown = [_number(median(cells, "adaptive")) + machines.mark(cells) for cells in rows.values()]
            lines.append(f"| *{entrant.title}, adaptive: learns on while it is scored* | | {' | '.join(shown)} |")
    return lines


def verdict(results: Results, text: str) -> list[str]:
    """Whether sonho is ahead of every peer at each budget, or who is ahead of it; with its counts too, if so."""
    lines = []
    own, counting = (next(entrant for entrant in ENTRANTS if entrant.name == name) for name in ("sonho", "sonho-prior"))
    for budget in budgets(results, text):
        mine = median(found(results, text, own, budget), "stream")
        if mine is None:
            continue
        others = {
            entrant.title: median(found(results, text, entrant, budget), "stream")
            for entrant in ENTRANTS
            if not entrant.name.startswith("sonho")
        }
        known = {title: loss for title, loss in others.items() if loss is not None}
        line = f"- {budget:g} s: sonho ({mine:.3f}) is {_placed(mine, known)}"
        counted = median(found(results, text, counting, budget), "stream")
        if counted is not None and min(known.values(), default=mine) < mine:
            line += f"; with n-gram prior ({counted:.3f}) it is {_placed(counted, known)}"
        missing = [title for title, loss in others.items() if loss is None]
        line += f"; not run: {', '.join(missing)}" if missing else ""
        lines.append(f"{line}.")
    return lines


def _placed(loss: float, others: dict[str, float]) -> str:
    better = [f"{title} ({other:.3f})" for title, other in others.items() if other < loss]
    return f"behind {', '.join(better)}" if better else f"ahead of all {len(others)} peers"


def picture(results: Results) -> str:
    panels = []
    for text in dict.fromkeys(cell["text"] for cell in results.cells):
        lines = [line for entrant in ENTRANTS if (line := _line(results, text, entrant))]
        # Of the orders of Kneser-Ney the best stands for all.
        flat = sorted((line for line in lines if "Kneser" in line.name), key=lambda line: line.points[0][1])
        best = [Line("best Kneser-Ney", flat[0].points, flat=True)] if flat else []
        panels.append(Panel(text, [line for line in lines if line not in flat] + best))
    return svg(panels, "test part, nats per character")


def picked(results: Results) -> list[str]:
    """The settings that were picked for the peers."""
    rows = [cell for cell in results.cells if cell["seed"] == 0 and _choices(cell)]
    rows.sort(key=lambda cell: (cell["text"], cell["entrant"], cell["budget"]))
    if not rows:
        return []
    lines = ["## What was picked on the validation part", ""]
    lines += ["| text | entrant | budget | settings |", "|---|---|---|---|"]
    for cell in rows:
        chosen = ", ".join(f"{name} {cell['settings'][name]:g}" for name in _choices(cell))
        lines.append(f"| {cell['text']} | {title(cell['entrant'])} | {cell['budget']:g} s | {chosen} |")
    return [*lines, ""]


def samples(results: Results) -> list[str]:
    lines: list[str] = []
    for text in dict.fromkeys(cell["text"] for cell in results.cells):
        cells = [cell for cell in results.cells if cell["text"] == text and cell.get("sample")]
        if cells:
            lines += [f"## Samples after 60 seconds: {text}", ""]
            lines += ["Temperature 0.8, the same prompt for all.", "", "<table>"]
            for first in range(0, len(cells), COLUMNS):
                row = cells[first : first + COLUMNS]
                boxes = [_box(title(cell["entrant"]), cell["sample"]) for cell in row]
                lines.append(f"<tr>{''.join(boxes)}</tr>")
            lines += ["</table>", ""]
    return lines


def budgets(results: Results, text: str) -> list[float]:
    return sorted({cell["budget"] for cell in results.cells if cell["text"] == text and cell["budget"]})


def found(results: Results, text: str, entrant: Entrant, budget: float) -> list[Cell]:
    """The cells of a budget, one a seed; what has no clock stands in every budget that it fits in."""
    own = [cell for cell in results.cells if cell["text"] == text and cell["entrant"] == entrant.name]
    if not entrant.clocked:
        return [cell for cell in own if cell["seconds"] <= budget]
    return [cell for cell in own if cell["budget"] == budget]


def _line(results: Results, text: str, entrant: Entrant) -> Line | None:
    if not entrant.clocked:
        cells = [cell for cell in results.cells if cell["text"] == text and cell["entrant"] == entrant.name]
        return Line(entrant.title, [(cell["seconds"], cell["stream"]) for cell in cells], flat=True) if cells else None
    points, curve = [], []
    for budget in budgets(results, text):
        cells = found(results, text, entrant, budget)
        seconds, loss = median(cells, "seconds"), median(cells, "stream")
        if seconds is not None and loss is not None:
            points.append((seconds, loss))
            curve = [(at, validated) for at, validated in cells[0]["curve"]]
    return Line(entrant.title, points, curve, strong=entrant.name == "sonho") if points else None


def _figures(cells: list[Cell]) -> str:
    stream, cold = median(cells, "stream"), median(cells, "cold")
    return "-" if stream is None else f"{_number(stream)} ({_number(cold)})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _choices(cell: Cell) -> list[str]:
    entrant = next((each for each in ENTRANTS if each.name == cell["entrant"]), None)
    return list(dict.fromkeys(choice.setting for choice in entrant.choices)) if entrant else []


def _box(head: str, sample: str) -> str:
    return f'<td valign="top"><b>{escape(head)}</b><pre>{_escaped(sample)}</pre></td>'


def _escaped(text: str) -> str:
    """As it is in a table of Markdown, where an empty line would end the table."""
    return escape(text.strip("\n")).replace("\n", "<br>")
