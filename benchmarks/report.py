"""Writes RESULTS.md and docs/results.md from results/*.json, so that no number is typed by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
GENERATED = "Written by `python benchmarks/report.py` from the JSON files in `benchmarks/results`; do not edit.\n"


def load() -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((HERE / "results").glob("*.json"))]


def recipes_page(records: list[dict[str, Any]]) -> str:
    lines = [
        "# Results of the known experiments",
        "",
        GENERATED,
        "Each is one run of `sonho train --recipe NAME`, scored on what its split held out (stream:",
        "the last tenth; records: a seeded tenth), weights frozen. *bits/char* of records count the end of a",
        "record as one character.",
        "",
        "| recipe | parameters | epochs | minutes | peak MB | bits/char | best n-gram | train / held-out nats/token |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for record in records:
        result = record["results"]
        best = min((v for n, v in result["baselines"].items() if "gram" in n), default=None)
        name = " ".join([f"`{result['recipe']}`", *(f"`{s}`" for s in result["settings"])])
        nats = f"{number(result['train_loss'], 3)} / {number(result['validation_loss'], 3)}"
        lines.append(
            f"| {name} | {result['parameters']:,} | {number(result['epochs'], 1)} | {result['seconds'] / 60:.1f} | "
            f"{result['peak_megabytes']} | **{number(result['bits_per_char'], 3)}** | {number(best, 3)} | {nats} |"
        )
    lines += ["", "Where they ran:", ""]
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


def bench_page(records: list[dict[str, Any]]) -> str:
    lines = ["# Benchmarks", "", GENERATED]
    for record in records:
        where = record["machine"]
        lines += [
            f"## {record['name']}",
            "",
            f"`{record['command']}`, commit {record['commit']}, {record['date']}, {where['cores']} cores of "
            f"{where['processor']}, load {where['load']:.1f} at the start.",
            "",
            "| what | value |",
            "|---|---|",
            *(f"| {name} | {value:,} |" for name, value in record["results"].items()),
            "",
        ]
    return "\n".join(lines)


def number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def main() -> None:
    records = load()
    recipes = [record for record in records if record["name"].startswith("recipe-")]
    others = [record for record in records if not record["name"].startswith("recipe-")]
    (HERE / "RESULTS.md").write_text(bench_page(others), encoding="utf-8")
    (HERE.parent / "docs" / "results.md").write_text(recipes_page(recipes), encoding="utf-8")


if __name__ == "__main__":
    main()
