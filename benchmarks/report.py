"""Writes RESULTS.md and docs/results.md from results/*.json, so that no number is typed by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from common import RESULTS

HERE = Path(__file__).parent
GENERATED = "Written by `python benchmarks/report.py` from the JSON files in `benchmarks/results`; do not edit.\n"


FITTING = [
    "`ag-news-full` with 318,319 training tokens is a cut of the first 1,500 rows, without dropout: the network of 64",
    "units goes over it 41 times and overfits (training well below held-out), the larger ones do not get far enough in",
    "the same time to do so. On all rows everything underfits at this budget (training no better than held-out), and",
    "the more so the larger the network: 0.7 minutes are ten steps for three layers of 512.",
    "",
]


def load() -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]


def recipes_page(records: list[dict[str, Any]]) -> str:
    lines = [
        "# Results of the known experiments",
        "",
        GENERATED,
        "Each is one run of `sonho train --recipe NAME`, scored on what its split held out (stream:",
        "the last tenth; records: a seeded tenth), weights frozen. *bits/char* of records count the end of a",
        "record as one character; train / held-out are nats per token.",
        "",
        "| recipe | tokens | parameters | epochs | minutes | peak MB | bits/char | best n-gram | train / held-out |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for record in records:
        result = record["results"]
        best = min((v for n, v in result["baselines"].items() if "gram" in n), default=None)
        name = " ".join([f"`{result['recipe']}`", *(f"`{s}`" for s in result["settings"])])
        nats = f"{number(result['train_loss'], 3)} / {number(result['validation_loss'], 3)}"
        size = f"{result['train_tokens']:,} | {result['parameters']:,} | {number(result['epochs'], 1)}"
        cost = f"{result['seconds'] / 60:.1f} | {number(result['peak_megabytes'], 0)}"
        score = f"**{number(result['bits_per_char'], 3)}** | {number(best, 3)}"
        lines.append(f"| {name} | {size} | {cost} | {score} | {nats} |")
    lines += ["", *FITTING, *race(records), "Where they ran:", ""]
    for record in records:
        where = record["machine"]
        lines.append(
            f"- `{record['name']}`: commit {record['commit']}, {record['date']}, {where['cores']} cores of "
            f"{where['processor']}, load {where['load']:.1f} at the start"
        )
    lines += ["", "## Samples", ""]
    for record in records:
        result = record["results"]
        if result["settings"]:
            continue
        lines += [f"### {result['recipe']}", ""]
        for sample in result["samples"]:
            text = sample["text"].replace("```", "'''")
            lines += [f"Temperature {sample['temperature']:g}:", "", "```text", text.strip("\n"), "```", ""]
    return "\n".join(lines)


def race(records: list[dict[str, Any]]) -> list[str]:
    """How long the modern way and the textbook's take to reach each other's score on the same text."""
    runs = {record["name"]: record["results"] for record in records}
    pair = [runs.get(f"recipe-{name}") for name in ("nietzsche", "nietzsche-windows")]
    if not all(pair):
        return []
    lines = ["On the same held-out tail of Nietzsche, in seconds of training:", ""]
    for one, other in (pair, pair[::-1]):
        assert one is not None
        assert other is not None
        target = other["validation_loss"]
        reached = next((seconds for seconds, loss in one["curve"] if loss <= target), None)
        when = f"after {reached:.0f} s" if reached is not None else f"never in its {one['training_seconds']:.0f} s"
        lines.append(f"- `{one['recipe']}` reaches the final score of `{other['recipe']}` ({target:.3f} nats) {when}.")
    return [*lines, ""]


def bench_page(records: list[dict[str, Any]]) -> str:
    lines = ["# Benchmarks", "", GENERATED, "What each one asks and how is at the top of its script.", ""]
    for record in records:
        results = record["results"]
        lines += [f"## {record['name']}", "", where_and_how(record), ""]
        values = {name: value for name, value in results.items() if not isinstance(value, list)}
        if values:
            lines += [*table([{"what": name, "value": value} for name, value in values.items()]), ""]
        for heading, rows in results.items():
            if isinstance(rows, list):
                lines += [f"### {heading}", "", *table(rows), ""]
    return "\n".join(lines)


def where_and_how(record: dict[str, Any]) -> str:
    """The command, the commit, the day and the machine of a record, in a sentence."""
    where = record["machine"]
    loads = [where.get("load"), where.get("load_after")] if "load" in where else record["load"]
    load = " and ".join(f"{value:.1f}" for value in loads if value is not None)
    isa = f", {where['isa']}" if where.get("isa") else ""
    versions = ", ".join(f"{name} {version}" for name, version in record.get("versions", {}).items())
    return (
        f"`{record['command']}`, commit {record['commit'][:8]}, {record['date'][:10]}, {where['cores']} cores of "
        f"{where['processor']}{isa}, load {load}{'; ' if versions else ''}{versions}."
    )


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Rows of {column: value}; a column that only some rows have is left open in the others."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    return lines + [f"| {' | '.join(cell(row.get(name)) for name in columns)} |" for row in rows]


def cell(value: Any) -> str:
    """A number as one reads it; quartiles as a range."""
    if value is None or value == "":
        return "-"
    if isinstance(value, list):
        return " to ".join(cell(item) for item in value)
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def main() -> None:
    # The board has a page of its own.
    records = [record for record in load() if record.get("name") != "time_to_quality"]
    recipes = [record for record in records if record.get("name", "").startswith("recipe-")]
    others = [record for record in records if record not in recipes]
    (RESULTS.parent / "RESULTS.md").write_text(bench_page(others), encoding="utf-8")
    if recipes:
        (HERE.parent / "docs" / "results.md").write_text(recipes_page(recipes), encoding="utf-8")


if __name__ == "__main__":
    main()
