"""What do two trainings at once lose, against one alone?

    python benchmarks/two_trainings.py

One training with all cores, then two of the same model at once, each with its defaults (so all cores, too), in
turns. The ratio is the sum of the two over the one: 1 means that nothing is lost by starting a second. Whole
steps with Muon, the default. The same is asked of torch's layers, at torch's defaults.
"""

from __future__ import annotations

import argparse
import statistics
import time

from common import Row, installed, machine, save
from workers import LEAST_ROUNDS, PAUSE_SECONDS, Worker

VOCAB_SIZE = 84
# Long enough that two processes meet in every way that they can.
TURN_SECONDS = 1.0
MODELS = (("lstm", 256), ("gru", 256))
SIDES = {"sonho": "own_train", "torch": "peers.torch_layers"}


def together(first: Worker, second: Worker) -> float:
    """Characters a second of both in the same time."""
    first.begin(TURN_SECONDS)
    second.begin(TURN_SECONDS)
    return first.end().rate + second.end().rate


def measure(name: str, cell: str, hidden_size: int, seconds: float) -> Row:
    sizes = {"cell": cell, "hidden_size": hidden_size, "layers": 1, "batch_size": 64, "window": 64, "threads": 0}
    case = {**sizes, "work": "train", "vocab_size": VOCAB_SIZE, "embedding_dim": 64, "optimizer": "muon"}
    alone, both = [], []
    with Worker(SIDES[name]) as first, Worker(SIDES[name]) as second:
        for worker in (first, second):
            worker.case(**case)
        for number in range(max(LEAST_ROUNDS, round(seconds / (2 * TURN_SECONDS)))):
            for side in (0, 1) if number % 2 else (1, 0):  # who goes first alternates
                time.sleep(PAUSE_SECONDS)
                if side:
                    both.append(together(first, second))
                else:
                    alone.append((second if number % 4 > 1 else first).run(TURN_SECONDS).rate)
    ratios = sorted(two / one for two, one in zip(both, alone, strict=True))
    return {
        "side": name,
        "layers": f"{cell} 1 x {hidden_size}",
        "one alone, characters/s": round(statistics.median(alone)),
        "two at once, characters/s in all": round(statistics.median(both)),
        "two / one": round(statistics.median(ratios), 3),
        "quartiles": [round(ratios[len(ratios) // 4], 3), round(ratios[-1 - len(ratios) // 4], 3)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of measuring for each side and model")
    arguments = parser.parse_args()
    began, rows = machine(), []
    for cell, hidden_size in MODELS:
        for name in SIDES:
            rows.append(measure(name, cell, hidden_size, arguments.seconds))
            print(", ".join(f"{column} {value}" for column, value in rows[-1].items()), flush=True)
    print(save("two_trainings", {"Two trainings at once": rows}, began, installed("torch")))


if __name__ == "__main__":
    main()
