"""What `sonho train TEXT --minutes M` gives, and whether it ends when it said: whole commands, from a cold start.

    python benchmarks/minutes.py CORPORA quality|busy|texts

quality    tiny-shakespeare, a run for each of five budgets: seconds of the command, and nats per character of the last
           tenth, which it never read, with frozen weights. Of the run of 90 seconds also as it learns on while it is
           scored (`evaluate --adapt`), and both again of a run with `--prior ngram`; seconds of `evaluate` beside them.
busy       how long runs of 0.5, 1, 3 and 10 minutes take while another process keeps a core busy.
texts      two minutes each for a poem of 20 kB, a book of 600 kB, 32,000 names, lines of Tatoeba and 100 MB of made-up
           logs, scored on a last tenth (of names, every tenth), beside Kneser-Ney n-grams of letters, of orders 4 to
           10, and of the tokens that the plan chose, of orders 4 to 7, all counted on what the run was given.

Writes results/minutes-*.json.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from board.texts import write_texts
from common import Row, Tables, machine, save
from sonho.config import DataConfig, DataKind
from sonho.data.corpus import encode_for_evaluation
from sonho.evaluation.baselines import baselines
from sonho.text.fitting import fit_tokenizer

BUDGETS = (0.0833, 0.3333, 1.5, 3.0, 10.0)
LEARNS_ON = 1.5  # the run that is scored adaptive as well, and made once more with a prior
BUSY = (0.5, 1.0, 3.0, 10.0)
TEXT_MINUTES, HELD_OUT = 2.0, 10
LETTER_ORDERS = (4, 5, 6, 7, 8, 9, 10)
SCORED = 1_000_000  # tokens of a longer test part, spread evenly
LOG_BYTES = 100_000_000
# Patterns that come back, and in each line something drawn anew: a text that is not periodic.
SERVICES = ("api", "billing", "search", "mail", "auth", "cache", "worker", "gateway")
MESSAGES = (
    "GET /v1/users/{number} 200 in {number} ms",
    "POST /v1/orders 201 in {number} ms, order {code}",
    "connection from 10.{byte}.{byte}.{byte}:{port} closed after {number} s",
    "job {code} finished: {number} rows, {number} skipped",
    "retry {digit} of 5 for {code}: timeout after {number} ms",
    "cache miss for key session:{code}",
    "user {number} logged in from 10.{byte}.{byte}.{byte}",
    "disk at {byte} %, {number} MB free on /data{digit}",
)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("corpora", type=Path)
    arguments.add_argument("what", choices=PARTS)
    given = arguments.parse_args()
    began = machine()
    with tempfile.TemporaryDirectory() as folder:
        tables = PARTS[given.what](given.corpora, Path(folder))
    print(save(f"minutes-{given.what}", tables, began))


def quality(corpora: Path, folder: Path) -> Tables:
    text = write_texts("tiny-shakespeare", corpora, folder, 0)
    rows: list[Row] = []
    for minutes in BUDGETS:
        run = folder / f"run-{minutes}"
        seconds = train(text.fit, minutes, run)
        found = evaluate(run, text.test)
        rows.append({"budget, s": round(60 * minutes), "took, s": seconds, "nats per character": nats(found)})
        print(rows[-1], flush=True)
    return {"Frozen, no counts": rows, "Two more levers, 90 s": levers(text.fit, text.test, folder)}


def levers(fit: Path, test: Path, folder: Path) -> list[Row]:
    frozen, counted = folder / f"run-{LEARNS_ON}", folder / "run-prior"
    train(fit, LEARNS_ON, counted, "--prior", "ngram")
    rows = []
    for how, run, name, extra in (
        ("adaptive", frozen, "adapted", ["--adapt"]),
        ("with n-gram prior", counted, "with_prior", []),
        ("both", counted, "adapted_with_prior", ["--adapt"]),
    ):
        began = time.perf_counter()
        found = evaluate(run, test, *extra)
        seconds = round(time.perf_counter() - began, 1)
        rows.append({"how": how, "nats per character": nats(found[name]), "`evaluate`, s": seconds})
        print(rows[-1], flush=True)
    return rows


def busy(corpora: Path, folder: Path) -> Tables:
    text = write_texts("tiny-shakespeare", corpora, folder, 0)
    rows: list[Row] = []
    with another_process():
        for minutes in BUSY:
            seconds = train(text.fit, minutes, folder / f"run-{minutes}")
            rows.append({"minutes": minutes, "took, s": seconds, "of the budget": round(seconds / 60 / minutes, 3)})
            print(rows[-1], flush=True)
    return {"While another process uses a core": rows}


def texts(corpora: Path, folder: Path) -> Tables:
    rows: list[Row] = []
    for name, lines in read_texts(corpora):
        kind: DataKind = "records" if name == "names" else "stream"
        fit, test = folder / f"{name}-fit.txt", folder / f"{name}-test.txt"
        write_split(lines, kind, fit, test)
        plan: list[str] = []
        seconds = train(fit, TEXT_MINUTES, folder / name, "--kind", kind, log=plan)
        found = evaluate(folder / name, test, "--limit", str(SCORED), "--train-text", str(fit), baselines=True)
        letters = letter_ngrams(fit, test, kind)
        tokens = {name: bits for name, bits in found["baselines"].items() if "Kneser-Ney" in name}
        best = min((*letters.items(), *tokens.items()), key=lambda row: row[1])
        rows.append({
            "text": name,
            "MB": round(sum(path.stat().st_size for path in (fit, test)) / 1e6, 2),
            "took, s": seconds,
            "nats per character": nats(found),
            "best n-gram": round(best[1] * math.log(2), 4),
            "which": best[0],
            "plan": next((line.strip() for line in plan if line.startswith("Plan for")), ""),
        })  # fmt: skip
        print(rows[-1], flush=True)
    return {"Two minutes, five texts": rows}


def train(text: Path, minutes: float, run: Path, *extra: str, log: list[str] | None = None) -> float:
    """The seconds of the command; what it said goes to `log`."""
    command = [sys.executable, "-m", "sonho", "train", str(text), "--minutes", str(minutes), "-o", str(run), *extra]
    began = time.perf_counter()
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    seconds = round(time.perf_counter() - began, 1)
    if done.returncode:
        raise SystemExit(f"sonho train ended with {done.returncode}: {done.stdout[-500:]}")
    if log is not None:
        log.extend(done.stdout.splitlines())
    return seconds


def evaluate(run: Path, test: Path, *extra: str, baselines: bool = False) -> dict[str, Any]:
    command = [sys.executable, "-m", "sonho", "evaluate", str(run), str(test), "--json", *extra]
    command += [] if baselines else ["--no-baselines"]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def nats(report: dict[str, Any]) -> float:
    return round(float(report["bits_per_char"]) * math.log(2), 4)


@contextmanager
def another_process() -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def read_texts(corpora: Path) -> Iterator[tuple[str, list[str]]]:
    """Each text as its lines, ends included."""
    poem = (corpora / "books" / "os_lusiadas.txt").read_text(encoding="utf-8")
    verses = poem[poem.index("As armas") :].encode()[:20_000].decode(errors="ignore")
    book = (corpora / "books" / "sense_and_sensibility.txt").read_text(encoding="utf-8")
    yield "poem", verses.splitlines(keepends=True)
    yield "book", book[-600_000:].splitlines(keepends=True)
    yield "names", (corpora / "names" / "names.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    pairs = lzma.decompress((corpora / "tatoeba_fra_eng" / "fra-eng.txt.xz").read_bytes()).decode()
    yield "tatoeba", pairs.splitlines(keepends=True)
    yield "logs", list(made_up_logs(LOG_BYTES))


def made_up_logs(num_bytes: int) -> Iterator[str]:
    """Lines of a few patterns whose numbers, codes and times change, until they are so many bytes."""
    rng, millis = random.Random(0), 1_700_000_000_000
    draw = {
        "number": lambda: str(int(rng.expovariate(1 / 300))),
        "byte": lambda: str(rng.randrange(256)),
        "digit": lambda: str(rng.randrange(1, 6)),
        "port": lambda: str(rng.randrange(1024, 65536)),
        "code": lambda: f"{rng.getrandbits(24):06x}",
    }
    written = 0
    while written < num_bytes:
        millis += int(rng.expovariate(1 / 40))
        level = rng.choices(("INFO", "DEBUG", "WARN", "ERROR"), (70, 20, 8, 2))[0]
        message = re.sub(r"\{(\w+)\}", lambda found: draw[found[1]](), rng.choice(MESSAGES))
        line = f"{millis / 1000:.3f} {level} {rng.choice(SERVICES)}: {message}\n"
        written += len(line)
        yield line


def write_split(lines: list[str], kind: DataKind, fit: Path, test: Path) -> None:
    """The last tenth is the test part; of records, every tenth."""
    if kind == "records":
        held_out = [index % HELD_OUT == HELD_OUT - 1 for index in range(len(lines))]
    else:
        held_out = [index >= len(lines) - len(lines) // HELD_OUT for index in range(len(lines))]
    for path, side in ((fit, False), (test, True)):
        chosen = (line for line, own in zip(lines, held_out, strict=True) if own == side)
        path.write_text("".join(chosen), encoding="utf-8", newline="\n")


def letter_ngrams(fit: Path, test: Path, kind: DataKind) -> dict[str, float]:
    """Bits per character of n-grams of letters, counted on all of `fit` (of more than 30 million, on the last)."""
    config = DataConfig(level="char", kind=kind)
    tokenizer = fit_tokenizer([fit.read_text(encoding="utf-8")], config)
    train, held_out = (encode_for_evaluation([path], tokenizer, config) for path in (fit, test))
    rows = baselines(train, held_out, tokenizer, kind, orders=LETTER_ORDERS, limit=SCORED)
    return {f"{row.name} of letters": row.bits_per_char for row in rows if "Kneser-Ney" in row.name}


PARTS = {"quality": quality, "busy": busy, "texts": texts}


if __name__ == "__main__":
    main()
