"""How well are pairs of texts translated? By the recipes, on pairs that training never reads, with a beam of five.

    python benchmarks/translate.py CORPORA [--only multi30k|tatoeba|genesis] [--set section.key=value ...]

CORPORA is a folder with multi30k and tatoeba_fra_eng; Genesis stands in examples/data. Multi30k is judged on its own
validation part, which nothing else looks at: the best weights are chosen by pairs taken out of its training part.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import Row, Tables, installed, machine, save

EXAMPLES = Path(__file__).parent.parent / "examples" / "data"
BEAMS = (1, 5)


def multi30k(corpora: Path) -> tuple[list[str], list[str]]:
    """What is learned from, and what judges; an empty list where the run's own test part does."""

    def sides(part: str) -> list[str]:
        return [str(corpora / "multi30k" / f"{part}.{side}.gz") for side in ("de", "en")]

    return sides("train"), sides("val")


def tatoeba(corpora: Path) -> tuple[list[str], list[str]]:
    return [str(corpora / "tatoeba_fra_eng" / "fra-eng.txt.xz")], []


def genesis(corpora: Path) -> tuple[list[str], list[str]]:
    return [str(EXAMPLES / "genesis-en-pt.tsv")], []


SOURCES = {
    "multi30k": ("multi30k-de-en", multi30k),
    "tatoeba": ("tatoeba-en-fr", tatoeba),
    "genesis": ("genesis-en-pt", genesis),
}


def measure(name: str, corpora: Path, settings: list[str], output: Path) -> Row:
    recipe, source = SOURCES[name]
    paths, judged = source(corpora)
    sonho = [sys.executable, "-m", "sonho"]
    began = time.perf_counter()
    command = [*sonho, "train", "--recipe", recipe, *paths, "-o", str(output), *settings]
    subprocess.run(command, check=True)
    seconds = time.perf_counter() - began
    shown = subprocess.run(
        [*sonho, "inspect", str(output), "--json"], check=True, capture_output=True, text=True
    ).stdout
    model = json.loads(shown)
    record = model["record"]
    row: Row = {
        "corpus": name,
        "pairs judged": None,
        "parameters": model["parameters"],
        "minutes of training": round(seconds / 60, 1),
        "passes": record["epoch"],
        "validation BLEU": round(record["validation_bleu"], 2),
    }
    if not judged:
        part = "test" if "test_bleu" in record else "validation"
        return {
            **row,
            "judged on": part,
            "BLEU, beam 5": round(record[f"{part}_bleu"], 2),
            "chrF, beam 5": round(record[f"{part}_chrf"], 2),
        }
    for beam in BEAMS:
        began = time.perf_counter()
        evaluated = subprocess.run(
            [*sonho, "evaluate", str(output), *judged, "--beam", str(beam), "--json"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        found = json.loads(evaluated)
        row |= {f"BLEU, beam {beam}": round(found["bleu"], 2), f"chrF, beam {beam}": round(found["chrf"], 2)}
        row[f"seconds, beam {beam}"] = round(time.perf_counter() - began, 1)
        row |= {"pairs judged": found["count"], "signature": found["bleu_signature"].replace("|", " ")}
    return {**row, "judged on": "a part of its own"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", type=Path)
    parser.add_argument("--only", choices=list(SOURCES))
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the run folders here")
    parser.add_argument("--set", dest="settings", nargs="+", default=[], metavar="section.key=value")
    arguments = parser.parse_args()
    began = machine()
    chosen = [name for name in SOURCES if arguments.only in (None, name)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        rows = [measure(name, arguments.corpora, arguments.settings, folder / name) for name in chosen]
    tables: Tables = {"Translations against their references": rows}
    for row in rows:
        print(row)
    suffix = f"-{arguments.only}" if arguments.only else ""
    print(save(f"translate{suffix}", tables, began, installed("numpy", "torch", "sacrebleu")))


if __name__ == "__main__":
    main()
