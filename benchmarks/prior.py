"""What does an n-gram prior bring, and what does it cost?

    python benchmarks/prior.py MODEL TEST.txt TRAIN.txt

MODEL was trained on TRAIN.txt with `--prior ngram`, TEST.txt is what it never read. Three tables: nats per character of
the network alone, with its prior, adaptive, and both (and the seconds each takes); characters a second of the network
alone and with the prior on one thread, in turns, of MODEL and of random networks beside the same counts; the share of
20 generated texts that stands in copies of 20 characters or more, at temperature 0.8.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("SONHO_THREADS", "1")

import numpy as np

from common import Row, machine, save
from sonho.config import Cell, DataConfig, ModelConfig
from sonho.data.corpus import encode_for_evaluation
from sonho.decoding.model import Model
from sonho.evaluation.evaluate import evaluate
from sonho.evaluation.metrics import Report
from sonho.evaluation.novelty import novelty
from sonho.storage.model_file import ModelFile, load_model_file
from sonho.storage.shapes import expected_shapes
from sonho.training.adapt import AdaptiveStepper, adaptive_with_prior, read

ROUNDS, TOKENS = 9, 4000
TEXTS, TEXT_TOKENS, TEMPERATURE = 20, 2000, 0.8
SIZES: tuple[tuple[Cell, int], ...] = (("lstm", 128), ("lstm", 256))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "test", "train"):
        arguments.add_argument(name, type=Path)
    given = arguments.parse_args()
    file = load_model_file(given.model)
    tables = {
        "Nats per character": losses(file, given.test),
        "Characters a second": speeds(file),
        "Share copied": copies(file, given.train),
    }
    save("prior", tables, machine())
    for heading, rows in tables.items():
        print(heading, *rows, sep="\n    ")


def losses(file: ModelFile, test: Path) -> list[Row]:
    part = encode_for_evaluation([test], file.tokenizer, DataConfig(kind=file.data_kind))
    ways: dict[str, Callable[[], Report]] = {
        "network": lambda: evaluate(file, part, prior=False),
        "with prior": lambda: evaluate(file, part),
        "adaptive": lambda: read(AdaptiveStepper(file), file.tokenizer, part),
        "adaptive, with counts that learn": lambda: read(adaptive_with_prior(file), file.tokenizer, part),
    }
    rows = []
    for name, way in ways.items():
        began = time.perf_counter()
        rows.append({"how": name, "nats": round(way().loss, 4), "seconds": round(time.perf_counter() - began, 1)})
    return rows


def speeds(file: ModelFile) -> list[Row]:
    rows = []
    for name, model in {"the model": file, **{f"random {c} {h}": random(file, c, h) for c, h in SIZES}}.items():
        sides = {"network": Model(replace(model, prior={})), "with prior": Model(model)}
        rates: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(ROUNDS):
            for side, writer in sides.items():
                began = time.perf_counter()
                made = writer.generate("", max_tokens=TOKENS, temperature=TEMPERATURE, seed=1)
                rates[side].append(made.num_tokens / (time.perf_counter() - began))
        share = statistics.median(b / a for a, b in zip(*rates.values(), strict=True))
        medians = {side: round(statistics.median(found)) for side, found in rates.items()}
        rows.append({"model": name, **medians, "ratio": round(share, 2)})
    return rows


def random(file: ModelFile, cell: Cell, hidden_size: int) -> ModelFile:
    """A random network with the vocabulary and the counts of `file`."""
    config = ModelConfig(cell=cell, hidden_size=hidden_size)
    rng = np.random.default_rng(0)
    shapes = expected_shapes(config, file.tokenizer.vocab_size)
    arrays = {name: (0.1 * rng.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}
    return replace(file, model=config, arrays=arrays, gradient_rms={})


def copies(file: ModelFile, train: Path) -> list[Row]:
    text = train.read_text(encoding="utf-8")
    rows = []
    for name, model in (("network", replace(file, prior={})), ("with prior", file)):
        writer = Model(model)
        texts = [
            writer.generate("\n", max_tokens=TEXT_TOKENS, temperature=TEMPERATURE, seed=seed).text
            for seed in range(TEXTS)
        ]
        made = [novelty(generated, [text]) for generated in texts]
        copied = sum(found.share_copied * found.num_chars for found in made) / sum(found.num_chars for found in made)
        longest = max((found.longest for found in made), key=len)
        rows.append({"how": name, "share copied": round(copied, 4), "longest copy": len(longest)})
    return rows


if __name__ == "__main__":
    main()
