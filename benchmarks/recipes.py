"""Runs the known experiments and keeps their scores.

    python benchmarks/recipes.py CORPORA [NAME ...]

CORPORA is a folder with the texts (see FILES); results go to benchmarks/results/recipe-*.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import machine, save

FILES = {
    "tiny-shakespeare": "tinyshakespeare/input.txt",
    "nietzsche": "nietzsche/nietzsche.txt",
    "nietzsche-windows": "nietzsche/nietzsche.txt",
    "nietzsche-conv": "nietzsche/nietzsche.txt",
    "ag-news-titles": "ag_news/train_titles.csv.gz",
    "ag-news-full": "ag_news/train_titles.csv.gz",
    "ag-news-words": "ag_news/train_titles.csv.gz",
    "names": "names/names.txt",
    "markov": "tinyshakespeare/input.txt",
}


def run(corpora: Path, name: str, extra: list[str]) -> None:
    began = machine()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "run"
        command = [sys.executable, "-m", "sonho", "train", "--recipe", name, "--data", str(corpora / FILES[name])]
        started = time.perf_counter()
        process = subprocess.Popen([*command, "-o", str(output), *extra])
        _, status, usage = os.wait4(process.pid, 0)  # of this child alone
        seconds = time.perf_counter() - started
        if status:
            raise SystemExit(f"{name} ended with {os.waitstatus_to_exitcode(status)}")
        shown = subprocess.run(
            [sys.executable, "-m", "sonho", "inspect", str(output), "--json"],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        model = json.loads(shown)
        samples = output / "samples.jsonl"
        texts = [json.loads(line) for line in samples.read_text().splitlines()] if samples.exists() else []
        metrics = output / "metrics.jsonl"
        lines = [json.loads(line) for line in metrics.read_text().splitlines()] if metrics.exists() else []
    record = model["record"]
    results = {
        "recipe": name,
        "settings": extra,
        "parameters": model["parameters"],
        "train_tokens": record["train_tokens"],
        "epochs": record.get("epoch"),
        "seconds": round(seconds, 1),
        "training_seconds": lines[-1]["seconds"] if lines else None,
        "peak_megabytes": round(usage.ru_maxrss / 1024),
        "train_loss": next((line["train_loss"] for line in reversed(lines) if "train_loss" in line), None),
        "validation_loss": record.get("validation_loss"),
        "bits_per_char": record.get("validation_bits_per_char"),
        "baselines": record.get("baselines", {}),
        "curve": [[line["seconds"], line["validation_loss"]] for line in lines if "validation_loss" in line],
        "samples": texts[-8:],
    }
    suffix = "".join(f"-{item.split('=')[-1]}" for item in extra if "=" in item)
    print(save(f"recipe-{name}{suffix}", results, began))


def main() -> None:
    corpora = Path(sys.argv[1])
    names = [argument for argument in sys.argv[2:] if argument in FILES] or list(FILES)
    extra = [argument for argument in sys.argv[2:] if argument not in FILES]
    for name in names:
        run(corpora, name, extra)


if __name__ == "__main__":
    main()
