"""How long does one epoch of the AG News titles take, at the notebook's batch of 8 and at 64?

    python benchmarks/ag_news_epoch.py --data train_titles.csv.gz [--set section.key=value ...]

The whole command `sonho train --recipe ag-news-titles` (one-hot, LSTM of 128), for one epoch. The seconds are those
of the run's own log, at the last training step: reading the titles, validating and drawing samples are not in them.
Beside it the notebook's own network in Keras on TensorFlow, by `fit`, whose seconds are those of `fit`. It learns all
titles, sonho nine tenths of them, so that characters a second compare. Needs .venv-bench for it (`make bench`).
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from board.texts import read_titles
from common import Row, installed, machine, save
from workers import KERAS, Worker, peers_python

# Looking and saving wait for the end, where they no longer count.
NEVER = 10**9
QUIET = [f"training.{name}={NEVER}" for name in ("validate_every", "sample_every", "checkpoint_every")]


def epoch(data: Path, optimizer: str, batch_size: int, steps: int, settings: list[str]) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "run"
        length = ["--steps", str(steps)] if steps else ["--epochs", "1"]
        command = [sys.executable, "-m", "sonho", "train", "--recipe", "ag-news-titles", "--data", str(data)]
        sizes = [f"training.optimizer={optimizer}", f"data.batch_size={batch_size}"]
        command += ["-o", str(output), "--quiet", *length, *sizes, *QUIET, *settings]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    last = [line for line in lines if "train_loss" in line][-1]
    validated = [line["validation_loss"] for line in lines if "validation_loss" in line]
    return {
        "optimizer": optimizer,
        "batch": batch_size,
        "steps": last["step"],
        "epochs": last["epoch"],
        "characters": last["tokens_seen"],
        "seconds": round(last["seconds"], 1),
        "characters/s": round(last["tokens_seen"] / last["seconds"]),
        "validation, nats": round(validated[-1], 4) if validated else None,
    }


def notebook_epoch(titles: list[str], batch_size: int, python: str) -> Row:
    """The notebook's network, whose program is compiled within the epoch, as it is for who runs the notebook."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "titles.txt"
        path.write_text("".join(f"{title}\n" for title in titles), encoding="utf-8", newline="\n")
        with Worker("peers.keras_lstm", python=python, cores=0, **KERAS["keras on tensorflow"]) as keras:
            keras.case(work="titles", titles=str(path), batch_size=batch_size, hidden_size=128)
            turn = keras.run(0.0)
    return {
        "optimizer": "rmsprop, Keras on TensorFlow",
        "batch": batch_size,
        "steps": -(-len(titles) // batch_size),
        "epochs": 1.0,
        "characters": round(turn.count),
        "seconds": round(turn.seconds, 1),
        "characters/s": round(turn.rate),
        "validation, nats": None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the titles, as the recipe reads them")
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--optimizers", nargs="+", default=["muon", "adamw"], help="muon is the recipe's")
    parser.add_argument("--steps", type=int, default=0, help="stop after so many, to try the script")
    parser.add_argument("--set", dest="settings", nargs="+", default=[], metavar="section.key=value")
    arguments = parser.parse_args()
    began = machine()
    rows = []
    for optimizer, batch_size in itertools.product(arguments.optimizers, arguments.batches):
        rows.append(epoch(arguments.data, optimizer, batch_size, arguments.steps, arguments.settings))
        tell(rows[-1])
    versions, python = installed("torch"), peers_python()
    if python:
        titles = read_titles(arguments.data)[: arguments.steps * arguments.batches[0] or None]
        for batch_size in arguments.batches:
            rows.append(notebook_epoch(titles, batch_size, python))
            tell(rows[-1])
        versions |= installed("keras", "tensorflow-cpu", python=python)
    else:
        print("Keras is left out: there is no .venv-bench; `make bench` makes it")
    print(save("ag_news_epoch", {"One epoch of the AG News titles": rows}, began, versions))


def tell(row: Row) -> None:
    print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)


if __name__ == "__main__":
    main()
