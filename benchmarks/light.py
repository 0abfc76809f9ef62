"""Speeds of the light wing: start from the shell, tokenising, generating. Medians of several runs."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from common import machine, save
from sonho.config import DataConfig, ModelConfig
from sonho.decoding import Model
from sonho.storage.model_file import ModelFile, expected_shapes, save_model_file
from sonho.text import fit_tokenizer

TEXT = (Path(__file__).parent.parent / "examples" / "data" / "tinyshakespeare.txt").read_text()
RUNS = 7


def random_model(cell: str, hidden_size: int) -> ModelFile:
    """A model of random weights: speed does not depend on what was learned."""
    tokenizer = fit_tokenizer([TEXT], DataConfig())
    config = ModelConfig(cell=cell, hidden_size=hidden_size, embedding_dim=128)
    rng = np.random.default_rng(0)
    shapes = expected_shapes(config, tokenizer.vocab_size)
    arrays = {name: rng.normal(0, 0.05, shape).astype(np.float32) for name, shape in shapes.items()}
    return ModelFile(config, tokenizer, "stream", arrays)


def seconds(work: Callable[[], object], runs: int = RUNS) -> float:
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    began = machine()
    results: dict[str, float] = {}
    for level in ("char", "byte", "word"):
        tokenizer = fit_tokenizer([TEXT], DataConfig(level=level))
        taken = seconds(lambda t=tokenizer: t.encode(TEXT))
        results[f"encode, level {level}, million characters/s"] = round(len(TEXT) / taken / 1e6, 1)
    for cell in ("lstm", "gru", "rnn"):
        for hidden_size in (128, 256, 512):
            model = Model(random_model(cell, hidden_size))
            taken = seconds(lambda m=model: m.generate("A", max_tokens=2000, seed=1, temperature=0.8), 3)
            results[f"generate, {cell} {hidden_size}, batch 1, characters/s"] = round(2000 / taken)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_model_file(path, random_model("lstm", 256))
        command = [sys.executable, "-m", "sonho", "generate", str(path), "-p", "A", "-m", "1", "--seed", "1"]
        taken = seconds(lambda: subprocess.run(command, check=True, capture_output=True))
    results["shell to the first character, seconds"] = round(taken, 3)
    for name, value in results.items():
        print(f"{name:48} {value:,}")
    print(save("light", results, began))


if __name__ == "__main__":
    main()
