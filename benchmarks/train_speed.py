"""How fast sonho trains, against torch's own layers: whole optimiser steps, paired and interleaved.

    python benchmarks/train_speed.py [--threads 2] [--seconds 4] [--output benchmarks/results/train_speed.json]

Both sides are the same network (embedding, recurrent layers, output layer), loss, clipping and fused
AdamW, on the same windows, with carried states. One step of each is run in turn and the ratio of the
pair is taken, so that what else the machine does meets both; the median of the ratios is reported.
Shapes: N batch, T time, V vocabulary, H hidden.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sonho.config import ModelConfig
from sonho.models.language_model import LanguageModel, detach
from sonho.native import library

VOCAB_SIZE, BATCH_SIZE, WINDOW = 84, 64, 64
# cell, hidden size, layers, the ratio that we want at least
CASES = [
    ("lstm", 128, 1, 2.5),
    ("lstm", 256, 1, 2.5),
    ("lstm", 512, 2, 2.0),
    ("gru", 128, 1, 4.0),
    ("gru", 256, 1, 3.0),
    ("gru", 512, 1, 2.0),
    ("rnn", 256, 1, None),
]
TORCH = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}

Step = Callable[[Tensor, Tensor], float]


class TorchModel(nn.Module):
    """The same network from torch's layers."""

    def __init__(self, cell: str, size: int, layers: int, embedding_dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCAB_SIZE, embedding_dim)
        self.layers = TORCH[cell](embedding_dim, size, layers, batch_first=True)
        self.output = nn.Linear(size, VOCAB_SIZE)

    def forward(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        hidden, state = self.layers(self.embedding(tokens), state)
        return self.output(hidden), state

    def loss(self, tokens: Tensor, targets: Tensor, state: Any) -> tuple[Tensor, Any]:
        logits, state = self(tokens, state)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten()), state


def make_step(model: Any, state: Any, detach_state: Callable[[Any], Any]) -> Step:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    memory = {"state": state}

    def step(inputs: Tensor, targets: Tensor) -> float:
        began = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss, state = model.loss(inputs, targets, memory["state"])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        memory["state"] = detach_state(state)
        return time.perf_counter() - began

    return step


def detach_torch(state: Any) -> Any:
    return tuple(tensor.detach() for tensor in state) if isinstance(state, tuple) else state.detach()


def measure(cell: str, size: int, layers: int, embedding_dim: int, seconds: float) -> dict[str, Any]:
    torch.manual_seed(0)
    config = ModelConfig(cell=cell, hidden_size=size, num_layers=layers, embedding_dim=embedding_dim, dropout=0.0)
    own = LanguageModel(config, VOCAB_SIZE, masked_ids=())
    mine = make_step(own, own.initial_state(BATCH_SIZE), detach)
    peer = make_step(TorchModel(cell, size, layers, embedding_dim), None, detach_torch)
    inputs, targets = torch.randint(0, VOCAB_SIZE, (2, BATCH_SIZE, WINDOW))
    for _ in range(3):
        mine(inputs, targets), peer(inputs, targets)
    pairs = []
    end = time.perf_counter() + seconds
    while len(pairs) < 5 or time.perf_counter() < end:
        # Who goes first alternates: the second finds the caches of the first.
        if len(pairs) % 2:
            other = peer(inputs, targets)
            pairs.append((mine(inputs, targets), other))
        else:
            pairs.append((mine(inputs, targets), peer(inputs, targets)))
    ratios = sorted(other / own for own, other in pairs)
    return {
        "ratio": statistics.median(ratios),
        "ratio_quartiles": [ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]],
        "pairs": len(pairs),
        "sonho_ms": statistics.median(own for own, _ in pairs) * 1e3,
        "torch_ms": statistics.median(other for _, other in pairs) * 1e3,
        "sonho_chars_per_second": BATCH_SIZE * WINDOW / statistics.median(own for own, _ in pairs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=4.0, help="for each case")
    parser.add_argument("--embedding-dim", type=int, default=64)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    load = [os.getloadavg()[0]]
    results = []
    for cell, size, layers, bar in CASES:
        result = measure(cell, size, layers, arguments.embedding_dim, arguments.seconds)
        results.append({"cell": cell, "hidden_size": size, "layers": layers, "bar": bar, **result})
        print(
            f"{cell} {layers} x {size}: {result['ratio']:.2f}x torch (bar {bar}),"
            f" {result['sonho_ms']:.1f} and {result['torch_ms']:.1f} ms a step"
        )
    load.append(os.getloadavg()[0])
    print(f"threads {arguments.threads}, load before and after {load}")
    if arguments.output:
        record = {
            "command": " ".join(["python", "benchmarks/train_speed.py", *sys.argv[1:]]),
            "commit": subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": {"processor": processor_name(), "cores": os.cpu_count(), "isa": library.isas()[0]},
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "threads": arguments.threads,
            "load": load,
            "batch_size": BATCH_SIZE,
            "window": WINDOW,
            "vocab_size": VOCAB_SIZE,
            "embedding_dim": arguments.embedding_dim,
            "results": results,
        }
        arguments.output.write_text(json.dumps(record, indent=2) + "\n")


def processor_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
