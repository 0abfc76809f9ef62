"""Writes RESULTS.md and docs/results.md from results/*.json, so that no number is typed by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((HERE / "results").glob("*.json"))]


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
    lines = ["# Benchmarks", "", GENERATED]
    for record in records:
        where, results = record["machine"], record["results"]
        load = where.get("load", (record.get("load") or [0])[0])
        lines += [
            f"## {record.get('name', 'training speed')}",
            "",
            f"`{record['command']}`, commit {record['commit'][:8]}, {record['date'][:10]}, {where['cores']} cores of "
            f"{where['processor']}, load {load:.1f} at the start.",
            "",
        ]
        if isinstance(results, dict):
            lines += ["| what | value |", "|---|---|", *(f"| {name} | {value:,} |" for name, value in results.items())]
        else:
            lines += speed_table(record)
        lines.append("")
    return "\n".join(lines)


def speed_table(record: dict[str, Any]) -> list[str]:
    """Whole optimiser steps beside torch.nn's layers; the ratio is the median of interleaved pairs."""
    lines = [
        f"Whole optimiser steps of {record['batch_size']} x {record['window']} symbols, {record['threads']} threads,",
        "against the same network of `torch.nn` layers; the ratio is the median of interleaved pairs.",
        "",
        "| layers | sonho, ms | torch, ms | ratio | aim |",
        "|---|---|---|---|---|",
    ]
    for row in record["results"]:
        layers = f"{row['cell']} {row['layers']} x {row['hidden_size']}"
        aim = row["bar"] or "-"
        times = f"{row['sonho_ms']:.1f} | {row['torch_ms']:.1f}"
        lines.append(f"| {layers} | {times} | **{row['ratio']:.2f}** | {aim} |")
    return lines


def number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def main() -> None:
    records = load()
    recipes = [record for record in records if record.get("name", "").startswith("recipe-")]
    others = [record for record in records if record not in recipes]
    (HERE / "RESULTS.md").write_text(bench_page(others), encoding="utf-8")
    (HERE.parent / "docs" / "results.md").write_text(recipes_page(recipes), encoding="utf-8")


if __name__ == "__main__":
    main()
