"""What are several networks worth that learn from a short text, and what is its held-out part worth to them?

    OMP_NUM_THREADS=1 SONHO_THREADS=1 python benchmarks/experiments/ensemble.py --bytes 20000 --networks 4 NAME=FILE...

Of each text so many bytes from its middle; the last tenth of them is the test. The first network learns for `--minutes`
by the clock and holds out what such a run does; the others take as many steps, with other seeds, held out alike or
from everything. A line of the results: nats per character of Kneser-Ney (the best of orders 4 to 10, counted on
everything), and, held out and from everything, of one network (their mean loss) and of the mean logits of the first
two, four, ... of them. What came of it stands in docs/log.md, 42.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from sonho.decoding.stepper import build_stepper
from sonho.evaluation.kneser_ney import fit_orders
from sonho.storage.model_file import load_model_file
from sonho.training.run import train

ORDERS = range(4, 11)
PLANNED = {"model": ("cell", "hidden_size", "dropout", "weight_drop"), "data": ("batch_size", "bptt")}
Case = tuple[Path, str, int, bool, float]


def cut(file: Path, num_bytes: int) -> tuple[str, str]:
    raw = file.read_bytes()
    at = max(0, (len(raw) - num_bytes) // 2)
    text = raw[at : at + num_bytes].decode("utf-8", "ignore")
    fit, test = text[: len(text) * 9 // 10], text[len(text) * 9 // 10 :]
    known = set(fit)
    return fit, "".join(symbol for symbol in test if symbol in known)


def run_folder(folder: Path, name: str, seed: int, whole: bool) -> Path:
    return folder / f"{name}-{seed}-{'all' if whole else 'held-out'}"


def learn(case: Case) -> None:
    folder, name, seed, whole, minutes = case
    first = run_folder(folder, name, 0, False)
    training: dict[str, Any] = {"seed": seed, "threads": 1, "learn_end": False, "sample_every": 10**9}
    settings: dict[str, dict[str, Any]] = {"training": training}
    if seed == 0 and not whole:
        training["minutes"] = minutes
    else:
        planned = load_model_file(first)
        chosen: dict[str, Any] = {"model": vars(planned.model), "data": planned.record["data"]}
        settings |= {section: {key: chosen[section][key] for key in keys} for section, keys in PLANNED.items()}
        settings["data"]["validation"] = 0.0 if whole else planned.record["data"]["validation"]
        last = json.loads((first / "metrics.jsonl").read_text().splitlines()[-1])
        training |= {"steps": last["step"], "momentum": planned.record["training"]["momentum"]}
    train([str(folder / f"{name}.txt")], run_folder(folder, name, seed, whole), settings)


def logits(run: Path, test: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits (L, V) of a run's network and the symbols that came, (L,)."""
    model = load_model_file(run)
    ids = np.array(model.tokenizer.encode(test))
    stepper = build_stepper(model)
    made, _ = stepper.forward(ids[None, :-1], stepper.initial_state(1))
    return np.asarray(made[0], np.float64), ids[1:]


def nats(logits: np.ndarray, targets: np.ndarray) -> float:
    highest = logits.max(-1, keepdims=True)
    total = np.log(np.exp(logits - highest).sum(-1))
    return float((total - (logits - highest)[np.arange(len(targets)), targets]).mean())


def kneser_ney(fit: str, test: str) -> float:
    symbols = {symbol: i + 1 for i, symbol in enumerate(sorted(set(fit)))}
    known, unseen = (np.array([symbols[symbol] for symbol in text]) for text in (fit, test))
    models = fit_orders(known, ORDERS, len(symbols) + 2, masked=[0, len(symbols) + 1])
    return min(-float(model.log_probs(unseen).mean()) for model in models.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", nargs="+", metavar="NAME=FILE")
    parser.add_argument("--bytes", type=int, default=20_000)
    parser.add_argument("--networks", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=1.5)
    given = parser.parse_args()
    parts = {name: cut(Path(file), given.bytes) for name, _, file in (text.partition("=") for text in given.texts)}
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as made, context.Pool() as pool:
        folder = Path(made)
        for name, (fit, _) in parts.items():
            (folder / f"{name}.txt").write_text(fit, encoding="utf-8")
        ways = [(seed, whole) for whole in (False, True) for seed in range(given.networks)]
        pool.map(learn, [(folder, name, 0, False, given.minutes) for name in parts], chunksize=1)
        pool.map(learn, [(folder, name, *way, given.minutes) for name in parts for way in ways[1:]], chunksize=1)
        for name, (fit, test) in parts.items():
            row: dict[str, Any] = {"text": name, "bytes": given.bytes, "kneser_ney": kneser_ney(fit, test)}
            for whole, title in ((False, "held out"), (True, "all")):
                found = [logits(run_folder(folder, name, seed, whole), test) for seed in range(given.networks)]
                targets = found[0][1]
                row[f"{title}, 1"] = float(np.mean([nats(one, targets) for one, _ in found]))
                for count in (2**k for k in range(1, given.networks.bit_length())):
                    row[f"{title}, {count}"] = nats(np.mean([one for one, _ in found[:count]], axis=0), targets)
            print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}), flush=True)


if __name__ == "__main__":
    main()
