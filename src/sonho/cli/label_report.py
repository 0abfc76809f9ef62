"""The tables of a classifier or tagger: its score beside what it should beat, each label, confusion, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from sonho.evaluation.labels import LabelReport

MOST_COLUMNS = 20  # of the confusion matrix as text; a picture holds more


def print_labels(console: Console, what: str, report: LabelReport, baselines: Mapping[str, float]) -> None:
    """The score of a model and of the baselines, the best first, and what follows from it."""
    from sonho.evaluation.labels import standard_error

    words = report.word_accuracy
    unit, count = ("records", report.count) if report.words is None else ("words", report.words[0])
    own = report.accuracy if words is None else words
    table = Table(title=f"{what}: {count:,} {unit}", title_justify="left", title_style="bold")
    for heading in ("", f"{unit} right", "errors"):
        table.add_column(heading, justify="right" if heading else "left")
    rows = [(own, "this model", "bold"), *((share, name, "") for name, share in baselines.items())]
    for share, name, style in sorted(rows, reverse=True):
        table.add_row(name, f"{100 * share:.2f} %", f"{100 * (1 - share):.2f} %", style=style)
    console.print(table)
    error = 100 * standard_error(own, count)
    console.print(
        Text(
            f"accuracy {100 * own:.2f} +- {error:.2f} %, macro F1 {report.macro_f1:.4f}, {report.loss:.4f} nats/"
            f"{'record' if words is None else 'character'}, calibration error {100 * report.calibration_error:.2f} %"
        )
    )


def print_details(console: Console, report: LabelReport) -> None:
    """The table of each label, the confusion matrix and the reliability of the probabilities."""
    console.print(_label_table(report))
    if len(report.labels) <= MOST_COLUMNS:
        console.print(_confusion(report))
    else:
        console.print(Text(f"{len(report.labels)} labels are too many for a matrix of text; --svg FILE draws it"))
    console.print(_reliability(report))


def _label_table(report: LabelReport) -> Table:
    table = Table(title="each label", title_justify="left", title_style="bold")
    table.add_column("label")
    for heading in ("count", "predicted", "precision", "recall", "F1"):
        table.add_column(heading, justify="right")
    for row in report.rows():
        figures = (f"{value:.4f}" for value in (row.precision, row.recall, row.f1))
        table.add_row(Text(row.label), f"{row.count:,}", f"{row.predicted:,}", *figures)
    return table


def _confusion(report: LabelReport) -> Text:
    """Plain lines, which no width of a terminal cuts short; the columns are numbered as the rows."""
    cells = [[f"{count:,}" if count else "." for count in row] for row in report.confusion.tolist()]
    width = 1 + max(len(cell) for row in [*cells, [str(len(report.labels))]] for cell in row)
    names = [f"{number} {label}" for number, label in enumerate(report.labels, start=1)]
    left = max(map(len, names))
    text = Text("confusion: rows are true, columns predicted\n", "bold")
    text.append(" " * left + "".join(f"{n:>{width}}" for n in range(1, len(names) + 1)) + "\n", "")
    for i, (name, row) in enumerate(zip(names, cells, strict=True)):
        text.append(f"{name:<{left}}", "not bold")
        for j, cell in enumerate(row):
            text.append(f"{cell:>{width}}", "bold" if i == j else "not bold")
        text.append("\n")
    return text


def _reliability(report: LabelReport) -> Table:
    table = Table(title="how sure, and how often right", title_justify="left", title_style="bold")
    for heading in ("probability", "count", "mean", "right"):
        table.add_column(heading, justify="right")
    for row in report.reliability:
        shown = f"{row.low:.1f} to {row.high:.1f}"
        table.add_row(shown, f"{row.count:,}", f"{100 * row.confidence:.1f} %", f"{100 * row.accuracy:.1f} %")
    return table
