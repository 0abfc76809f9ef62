"""Which settings learn most from the same tokens? One training a case, by steps, its last validation kept.

    python benchmarks/experiments/compare.py CASES.jsonl --texts FOLDER --out results.jsonl

A line of CASES is {"text": FILE, "bytes": first so many (0: all), "tokens": seen in training, "seeds": [0]} and
settings such as "model.hidden_size": 256. Cases that are in the results already are not run again. What came of them,
and why the defaults are what they are, stands in docs/log.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from sonho.training.run import train

OWN = ("text", "bytes", "tokens", "seeds", "kind")


def run(case: dict[str, Any], seed: int, texts: Path) -> dict[str, Any]:
    """Train one case; the text's last tenth is its validation part."""
    settings: dict[str, dict[str, Any]] = {"training": {"seed": seed, "threads": 1}, "data": {}}
    for name, value in case.items():
        if name not in OWN:
            section, key = name.split(".")
            settings.setdefault(section, {})[key] = value
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "text.txt")
        raw = b"".join(path.read_bytes() for path in sorted(texts.glob(case["text"])))
        text.write_text(raw[: case.get("bytes") or None].decode("utf-8", "ignore"), encoding="utf-8")
        data = settings["data"]
        settings["training"]["steps"] = max(1, round(case["tokens"] / (data["batch_size"] * data["bptt"])))
        settings["training"]["sample_every"] = 10**9
        told: list[str] = []
        began = time.perf_counter()
        result = train([str(text)], Path(folder, "run"), settings, say=told.append)
        assert result.validation is not None
        lines = [json.loads(line) for line in Path(folder, "run", "metrics.jsonl").read_text().splitlines()]
        curve = [round(line["validation_loss"], 4) for line in lines if "validation_loss" in line]
        return {
            **case,
            "seed": seed,
            "loss": round(result.validation.loss, 4),
            "curve": curve,
            "seconds": round(result.seconds, 1),
            "whole": round(time.perf_counter() - began, 1),
            "best_ngram": round(min(v for k, v in result.baselines.items() if "gram" in k) * 0.6931472, 4),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    done = []
    if arguments.out.exists():
        done = [json.loads(line) for line in arguments.out.read_text().splitlines()]
    for line in arguments.cases.read_text().splitlines():
        if not line.strip():
            continue
        case = json.loads(line)
        for seed in case.get("seeds", [0]):
            if any(all(old.get(k) == v for k, v in case.items()) and old["seed"] == seed for old in done):
                continue
            made = run(case, seed, arguments.texts)
            with arguments.out.open("a") as out:
                out.write(json.dumps(made) + "\n")
            shown = {k: v for k, v in case.items() if k != "seeds"}
            print(made["loss"], f"({made['best_ngram']})", f"{made['seconds']} s", shown, made["curve"], flush=True)


if __name__ == "__main__":
    main()
