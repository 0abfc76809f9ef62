"""How fast does sonho train, against torch's own layers and against Keras on its two back ends for CPUs?

    python benchmarks/train_speed.py [--threads 1] [--optimizer muon] [--grid [full]] [--peers torch]

Whole optimiser steps (forward, loss, backward, clipping, AdamW) of the same network: embedding, recurrent layers,
output layer. Each side is a process of its own and they take turns; the ratio is the median over the rounds.
sonho runs at its default, whose products are of bfloat16 where the processor has them, and in float32. torch runs at
the fastest of its thread numbers and OpenMP wait policies, tried on each case; sonho and Keras run at their defaults.
Keras starts each window from a zero state and does not clip. Needs .venv-bench for Keras (`make bench` makes it).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

from common import Row, installed, machine, save
from sonho.native import library
from workers import KERAS, PAUSE_SECONDS, Turn, Worker, peers_python, rate, ratio, take_turns, unit_seconds

VOCAB_SIZE = 84
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
# cell, hidden size, layers, how many times as fast as torch's layers we want to be at least
CASES = [
    ("lstm", 128, 1, 2.5),
    ("lstm", 256, 1, 2.5),
    ("lstm", 512, 2, 2.0),
    ("gru", 128, 1, 4.0),
    ("gru", 256, 1, 3.0),
    ("gru", 512, 1, 2.0),
    ("rnn", 256, 1, None),
]
SIZES, LAYERS, BATCHES, WINDOWS = (64, 128, 256, 512), (1, 2), (8, 32, 64, 128), (64, 128)
# The policies tried on torch; "" is its own. ACTIVE is left out: its threads spin for ever, also in others' turns.
POLICIES = ("", "PASSIVE")
TILE_SECONDS = 0.3

Case = dict[str, Any]


def step_flops(case: Case) -> float:
    """Floating-point operations of the products of one step, as few as the network allows.

    Forward, 2 for each multiply-add (N batch, T window, V vocabulary, D embedding, H hidden, G gates, L layers):

        2 (N T (L G H H + (L - 1) G H H + H V) + V D G H)

    recurrent, between layers, output, and the first layer's input once for each symbol, not for each position.
    Backward is twice that: for the inputs and for the weights. Gates, softmax, clipping and the optimiser count
    as nothing. The same number is used for every side.
    """
    size: int = case["hidden_size"]
    gates = GATES[case["cell"]] * size
    each = (2 * case["layers"] - 1) * gates * size + size * case["vocab_size"]
    table = case["vocab_size"] * case["embedding_dim"] * gates
    forward = 2.0 * (case["batch_size"] * case["window"] * each + table)
    return 3.0 * float(forward)


def cases(arguments: argparse.Namespace) -> list[tuple[Case, float | None]]:
    """What is measured, and the aim if there is one."""
    shared = {
        "work": "train",
        "vocab_size": VOCAB_SIZE,
        "embedding_dim": arguments.embedding_dim,
        "optimizer": arguments.optimizer,
        "threads": arguments.threads,
    }

    def case(cell: str, size: int, layers: int, batch_size: int = 64, window: int = 64) -> Case:
        sizes = {"cell": cell, "hidden_size": size, "layers": layers, "batch_size": batch_size, "window": window}
        return {**shared, **sizes}

    if not arguments.grid:
        return [(case(cell, size, layers), aim) for cell, size, layers, aim in CASES[: arguments.cases or None]]
    grid = [(h, n, b, t) for h in SIZES for n in LAYERS for b in BATCHES for t in WINDOWS]
    if arguments.grid == "some":  # one thing at a time is changed
        middle = (256, 1, 64, 64)
        grid = [point for point in grid if sum(a != b for a, b in zip(point, middle, strict=True)) <= 1]
    return [(case(cell, *point), None) for cell in arguments.cells for point in grid[: arguments.cases or None]]


def best_of_torch(workers: dict[str, Worker], case: Case) -> tuple[Worker, str]:
    """Try torch's settings briefly; returns the fastest, with the case built, and its name."""
    found: dict[tuple[str, int], float] = {}
    for threads in range(1, case["threads"] + 1):
        for policy in workers if threads > 1 else list(workers)[:1]:
            workers[policy].case(**{**case, "threads": threads})
            time.sleep(PAUSE_SECONDS)
            found[policy, threads] = max(workers[policy].run().rate for _ in range(2))
    policy, threads = max(found, key=lambda setting: found[setting])
    workers[policy].case(**{**case, "threads": threads})
    return workers[policy], f"{threads} {policy.lower()}".strip()


def measure(
    case: Case,
    aim: float | None,
    own: dict[str, Worker],
    torch: dict[str, Worker],
    keras: dict[str, Worker],
    seconds: float,
) -> Row:
    for precision, worker in own.items():
        worker.case(**{**case, "precision": precision})
    sides, settings = dict(own), ""
    if torch:
        sides["torch"], settings = best_of_torch(torch, case)
    sides |= {name: worker for name, worker in keras.items() if not worker.case(**case)}
    before = tile_rates(case["threads"], own)
    turns = take_turns(sides, seconds)
    after = tile_rates(case["threads"], own)
    return row(case, turns, settings, aim, {precision: max(before[precision], after[precision]) for precision in own})


def row(case: Case, turns: dict[str, list[Turn]], settings: str, aim: float | None, tiles: dict[str, float]) -> Row:
    best = list(tiles)[-1]
    own = turns[best]
    values: Row = {
        "layers": f"{case['cell']} {case['layers']} x {case['hidden_size']}",
        "batch x window": f"{case['batch_size']} x {case['window']}",
        "sonho, characters/s": round(rate(own)),
    }
    for precision, tile in tiles.items():
        seconds = unit_seconds(turns[precision])
        gigaflops = step_flops(case) / seconds / 1e9
        values |= {f"{precision}, ms a step": round(1e3 * seconds, 2), f"{precision}, GFLOP/s": round(gigaflops, 1)}
        if tile:
            values |= {
                f"{precision}, the tile alone": round(tile, 1),
                f"{precision}, share": round(gigaflops / tile, 3),
            }
    if "torch" in turns:
        times, quartiles = ratio(own, turns["torch"])
        values |= {
            "torch, characters/s": round(rate(turns["torch"])),
            "torch's threads": settings,
            "sonho / torch": round(times, 3),
            "quartiles": [round(quartile, 3) for quartile in quartiles],
        }
        if best != "float32":
            values["float32 / torch"] = round(ratio(turns["float32"], turns["torch"])[0], 3)
    if aim is not None:
        values["aim"] = aim
    for name in (name for name in KERAS if name in turns):
        times, _ = ratio(own, turns[name])
        values |= {f"{name}, characters/s": round(rate(turns[name])), f"sonho / {name}": round(times, 2)}
    return values


def tile_rates(threads: int, precisions: Iterable[str]) -> dict[str, float]:
    """GFLOP/s of the kernels' tile alone, on this machine now."""
    rates = {}
    for precision in precisions:
        time.sleep(PAUSE_SECONDS)
        rates[precision] = library.tile_rate(threads, TILE_SECONDS, precision)
    return rates


def possible(precision: str) -> bool:
    return precision == "float32" or library.has_bfloat16()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument("--threads", type=int, default=cores)
    parser.add_argument("--seconds", type=float, default=6.0, help="of measuring for each case")
    parser.add_argument("--optimizer", choices=["adamw", "muon"], default="adamw")
    parser.add_argument("--embedding-dim", type=int, default=64)
    parser.add_argument(
        "--grid", nargs="?", const="some", choices=["some", "full"], help="sizes instead of the main cases"
    )
    parser.add_argument("--cells", nargs="+", choices=list(GATES), default=["lstm"], help="of the grid")
    parser.add_argument("--peers", nargs="*", choices=["torch", "keras"], default=["torch", "keras"])
    parser.add_argument("--cases", type=int, default=0, help="measure only so many, to try the script")
    arguments = parser.parse_args()
    began, python, rows = machine(), peers_python(), []
    versions = installed("torch")
    with ExitStack() as stack:

        def start(module: str, **options: Any) -> Worker:
            return stack.enter_context(Worker(module, cores=arguments.threads, **options))

        own = {precision: start("own_train") for precision in library.PRECISIONS if possible(precision)}
        torch, keras = {}, {}
        if "torch" in arguments.peers:
            torch = {policy: start("peers.torch_layers", OMP_WAIT_POLICY=policy) for policy in POLICIES}
        if "keras" in arguments.peers and python:
            keras = {name: start("peers.keras_lstm", python=python, **chosen) for name, chosen in KERAS.items()}
            versions |= installed("keras", "jax", "tensorflow-cpu", python=python)
        elif "keras" in arguments.peers:
            print("Keras is left out: there is no .venv-bench; `make bench` makes it")
        for case, aim in cases(arguments):
            rows.append(measure(case, aim, own, torch, keras, arguments.seconds))
            print(", ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    name = "train_speed" + ("_grid" if arguments.grid else "")
    name += "" if arguments.optimizer == "adamw" else f"_{arguments.optimizer}"
    name += "" if arguments.threads == cores else f"_{arguments.threads}_thread"
    threads = f"{arguments.threads} thread{'s' if arguments.threads > 1 else ''}"
    print(save(name, {f"Training, {arguments.optimizer}, {threads}": rows}, began, versions))


if __name__ == "__main__":
    main()
