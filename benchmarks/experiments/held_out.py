"""What does it cost to leave the end of a text out of training? Kneser-Ney of order 6, since it is counted in a second.

    python benchmarks/experiments/held_out.py NAME=FILE... --out results.jsonl

At four places of a text the tenth that follows is a test. The model is counted on everything before it; on the same
without its last 2, 5 and 10 %; and without a tenth that lies elsewhere. A line of the results has the nats per
character of each. What came of it stands in docs/log.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from sonho.evaluation.kneser_ney import fit

ORDER = 6
PLACES = (0.5, 0.6, 0.7, 0.8)
LEFT_OUT = (0.0, 0.02, 0.05, 0.1)
MOST_CHARS = 1_500_000


def measure(text: str) -> list[dict[str, float]]:
    """A dict for each place: what is left out, to nats per character of the tenth that follows."""
    symbols = {symbol: i + 1 for i, symbol in enumerate(sorted(set(text)))}
    ids = np.array([symbols[symbol] for symbol in text[-MOST_CHARS:]])

    def nats(train: np.ndarray, test: np.ndarray) -> float:
        model = fit(train, ORDER, len(symbols) + 2, masked=[0, len(symbols) + 1])
        return round(-float(model.log_probs(test).mean()), 4)

    rows = []
    for place in PLACES:
        end = int(len(ids) * place / 0.9)
        before, test = ids[:end], ids[end : end + len(ids) // 10]
        row = {f"tail {share:g}": nats(before[: int(end * (1 - share))], test) for share in LEFT_OUT}
        row["elsewhere 0.1"] = nats(np.concatenate([before[: int(end * 0.1)], before[int(end * 0.2) :]]), test)
        rows.append({"place": place, **row})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", nargs="+", metavar="NAME=FILE")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    for argument in arguments.texts:
        name, _, path = argument.partition("=")
        for row in measure(Path(path).read_text(encoding="utf-8")):
            line = json.dumps({"text": name, **row})
            print(line, flush=True)
            with arguments.out.open("a") as out:
                out.write(line + "\n")


if __name__ == "__main__":
    main()
