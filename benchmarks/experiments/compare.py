"""Which settings learn most from the same tokens, or in the same seconds? One training a case, its last loss kept.

    python benchmarks/experiments/compare.py CASES.jsonl --texts FOLDER --out results.jsonl

A line of CASES is {"text": FILE, "bytes": first so many (0: all), "tokens": seen in training, "seeds": [0]} and
settings such as "model.hidden_size": 256; "lever" names an idea of levers.py. With "seconds" in place of "tokens" the
plan chooses what the case leaves open, and all cores work. Losses are of a character, whatever a token is. Cases that
are in the results already are not run again. What came of them, and why the defaults are what they are, stands in
docs/log.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

from levers import lever

from sonho.evaluation.metrics import Report
from sonho.training.run import train

OWN = ("text", "bytes", "tokens", "seconds", "seeds", "kind", "lever")


def run(case: dict[str, Any], seed: int, texts: Path) -> dict[str, Any]:
    """Train one case; the text's last tenth is its validation part."""
    settings: dict[str, dict[str, Any]] = {"training": {"seed": seed}, "data": {}}
    for name, value in case.items():
        if name not in OWN:
            section, key = name.split(".")
            settings.setdefault(section, {})[key] = value
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "text.txt")
        raw = b"".join(path.read_bytes() for path in sorted(texts.glob(case["text"])))
        text.write_text(raw[: case.get("bytes") or None].decode("utf-8", "ignore"), encoding="utf-8")
        steps = _length(case, settings)
        settings["training"]["sample_every"] = 10**9
        told: list[str] = []
        began = time.perf_counter()
        with lever(case["lever"], steps) if "lever" in case else contextlib.nullcontext():
            result = train([str(text)], Path(folder, "run"), settings, say=told.append)
        assert isinstance(result.validation, Report)
        lines = [json.loads(line) for line in Path(folder, "run", "metrics.jsonl").read_text().splitlines()]
        curve = [round(line["validation_loss"], 4) for line in lines if "validation_loss" in line]
        return {
            **case,
            "seed": seed,
            "loss": round(result.validation.bits_per_char * math.log(2.0), 4),
            "curve": curve,
            "learned_seconds": round(result.seconds, 1),
            "whole": round(time.perf_counter() - began, 1),
            "best_ngram": round(min(v for k, v in result.baselines.items() if "gram" in k) * math.log(2.0), 4),
        }


def _length(case: dict[str, Any], settings: dict[str, dict[str, Any]]) -> int:
    """Say how long the training is; the steps of it, 0 where the clock decides."""
    training, data = settings["training"], settings["data"]
    if "seconds" in case:
        training["minutes"] = case["seconds"] / 60
        return 0
    training["threads"] = 1
    training["steps"] = max(1, round(case["tokens"] / (data["batch_size"] * data["bptt"])))
    return int(training["steps"])


def _settings(case: dict[str, Any]) -> dict[str, Any]:
    """What makes a case: not how many seeds it has, nor what came of it."""
    return {name: value for name, value in case.items() if name != "seeds" and (name in OWN or "." in name)}


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
            if any(_settings(old) == _settings(case) and old["seed"] == seed for old in done):
                continue
            made = run(case, seed, arguments.texts)
            with arguments.out.open("a") as out:
                out.write(json.dumps(made) + "\n")
            shown = {k: v for k, v in case.items() if k != "seeds"}
            found = made["loss"], f"({made['best_ngram']})", f"{made['learned_seconds']} s"
            print(*found, shown, made["curve"], flush=True)


if __name__ == "__main__":
    main()
