"""How fast sound is written on one core, against the 8,000 samples of a second.

    OMP_NUM_THREADS=1 python benchmarks/sound.py

Models of the recipe's shape and others, with random weights: the speed does not depend on what was learned. A
real-time factor of 1 is as fast as it sounds. Counted are the seconds that the processor spends on one thread, so that
a busy machine measures the same; the wall clock of the quickest of five stands beside them.
"""

from __future__ import annotations

import os
import time

from common import machine, save
from random_model import random_model
from sonho.data.sound import FIRST, RATE
from sonho.decoding.model import Model

SAMPLES = 2 * RATE
SYMBOLS = "".join(map(chr, range(FIRST, FIRST + 256)))
RUNS = 5


def main() -> None:
    os.environ.setdefault("SONHO_THREADS", "1")
    began, rows = machine(), []
    for cell, hidden_size in (("gru", 192), ("gru", 256), ("gru", 512), ("lstm", 256)):
        model = Model(random_model(SYMBOLS, cell=cell, hidden_size=hidden_size, embedding_dim=64))
        spent = [_seconds(model) for _ in range(RUNS)]
        processor, wall = min(times[0] for times in spent), min(times[1] for times in spent)
        rows.append(
            {
                "cell": cell,
                "units": hidden_size,
                "samples / processor second": round(SAMPLES / processor),
                "real-time factor": round(SAMPLES / processor / RATE, 1),
                "real-time factor, wall clock": round(SAMPLES / wall / RATE, 1),
            }
        )
        print(rows[-1])
    print(save("sound", {"Writing sound, one core": rows}, began))


def _seconds(model: Model) -> tuple[float, float]:
    """Of the processor, and by the clock."""
    began = time.process_time(), time.perf_counter()
    model.generate(SYMBOLS[128], max_tokens=SAMPLES, seed=1, temperature=0.9)
    return time.process_time() - began[0], time.perf_counter() - began[1]


if __name__ == "__main__":
    main()
