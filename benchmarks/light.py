"""How fast is the light wing: tokenising, generating one text, starting from the shell?

    python benchmarks/light.py

Medians of several runs. decode_speed.py and startup.py look closer, and at others as well.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from common import machine, save
from random_model import random_model
from sonho.config import DataConfig, Level
from sonho.decoding import Model
from sonho.storage.model_file import save_model_file
from sonho.text import fit_tokenizer

TEXT = (Path(__file__).parent.parent / "examples" / "data" / "tinyshakespeare.txt").read_text()
RUNS = 7


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
    levels: tuple[Level, ...] = ("char", "byte", "word")
    for level in levels:
        encode = fit_tokenizer([TEXT], DataConfig(level=level)).encode
        taken = seconds(partial(encode, TEXT))
        results[f"encode, level {level}, million characters/s"] = round(len(TEXT) / taken / 1e6, 1)
    for cell in ("lstm", "gru", "rnn"):
        for hidden_size in (128, 256, 512):
            generate = Model(random_model(TEXT, cell=cell, hidden_size=hidden_size, embedding_dim=128)).generate
            taken = seconds(partial(generate, "A", max_tokens=2000, seed=1, temperature=0.8), 3)
            results[f"generate, {cell} {hidden_size}, batch 1, characters/s"] = round(2000 / taken)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_model_file(path, random_model(TEXT, cell="lstm", hidden_size=256, embedding_dim=128))
        command = [sys.executable, "-m", "sonho", "generate", str(path), "-p", "A", "-m", "1", "--seed", "1"]
        taken = seconds(lambda: subprocess.run(command, check=True, capture_output=True))
    results["shell to the first character, seconds"] = round(taken, 3)
    for name, value in results.items():
        print(f"{name:48} {value:,}")
    print(save("light", results, began))


if __name__ == "__main__":
    main()
