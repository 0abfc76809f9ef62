"""Does a text have the label that was asked for? An independent classifier judges generated titles and surnames.

    python benchmarks/condition.py CORPORA [--only titles|surnames] [--set section.key=value ...]

CORPORA is a folder with ag_news and surnames. A model is trained by the recipe, 1,000 texts are generated at
temperature 0.8, as many of each label; peers/label_classifier.py (scikit-learn, in .venv-bench, which `make bench`
makes) has learned from rows that the model never saw and names the label of each. It judges real held-out texts as
well: more than that agreement cannot be expected. Chance is one over the number of labels. Results go to
results/condition-*.json.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import sonho
from common import Row, Tables, installed, machine, save
from sonho.decoding import Model
from workers import peers_python

TEXTS, TEMPERATURE = 1000, 0.8
STRENGTHS = (1.0, 2.0, 3.0)  # of the label
TOPICS = ("World", "Sports", "Business", "Sci/Tech")
Pairs = list[tuple[str, str]]  # text, label


def topics(corpora: Path, folder: Path) -> tuple[Path, Pairs]:
    """The titles to learn from, and other titles with their topics: those of a second file that the first lacks."""
    path = corpora / "ag_news" / "train_titles.csv.gz"
    seen = {folded(row[1]) for row in rows_of(path)}
    joined = [
        (row[1].split(" . ")[0], TOPICS[int(row[0]) - 1]) for row in rows_of(path.with_name("train_joined.csv.gz"))
    ]
    return path, [pair for pair in joined if folded(pair[0]) not in seen]


def surnames(corpora: Path, folder: Path) -> tuple[Path, Pairs]:
    """Two thirds of the names, in a file a language, and the others: a hash of the name sends it to its side."""
    others: Pairs = []
    for path in sorted((corpora / "surnames").glob("*.txt")):
        names = dict.fromkeys(path.read_text(encoding="utf-8").split("\n"))
        judged = {name for name in names if hashlib.sha256(name.encode()).digest()[0] % 3 == 0}
        (folder / path.name).write_text("\n".join(n for n in names if n and n not in judged) + "\n", encoding="utf-8")
        others += [(name, path.stem) for name in sorted(judged) if name]
    return folder / "*.txt", others


SOURCES = {"titles": ("titles-by-topic", topics), "surnames": ("surnames-by-language", surnames)}


def measure(name: str, corpora: Path, python: str, settings: list[str]) -> tuple[Row, list[Row]]:
    """The row of a corpus, and one for each label."""
    recipe, source = SOURCES[name]
    with tempfile.TemporaryDirectory() as scratch:
        texts = Path(scratch, "texts")
        texts.mkdir()
        data, others = source(corpora, texts)
        began = time.perf_counter()
        run = Path(scratch, "run")
        command = [sys.executable, "-m", "sonho", "train", "--recipe", recipe, "--data", str(data), "-o", str(run)]
        subprocess.run([*command, "--quiet", *settings], check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - began
        model = sonho.load(run)
    assert isinstance(model, Model)
    condition, record = model.model_file.condition, model.model_file.record
    assert condition is not None
    asked = [condition.labels[number % condition.size] for number in range(TEXTS)]
    made = {strength: texts_of(model, asked, strength) for strength in STRENGTHS}
    # The judge learns from four fifths of the other rows, and the last fifth says how good it is.
    held = [pair for number, pair in enumerate(others) if number % 5 == 0]
    learned = [pair for number, pair in enumerate(others) if number % 5]
    generated = {f"strength {strength:g}": texts for strength, texts in made.items()}
    judged = judge(python, learned, **generated, real=[text for text, _ in held])
    right = {kind: agreements(judged[kind], asked) for kind in generated}
    real = agreements(judged["real"], [label for _, label in held])
    row = {
        "corpus": name,
        "labels": condition.size,
        "minutes of training": round(seconds / 60, 1),
        "bits/char": round(record["validation_bits_per_char"], 3),
        **{f"agreement at {kind}, %": mean(shares) for kind, shares in right.items()},
        "real texts, mean over labels, %": mean(real),
        "chance, %": round(100 / condition.size, 1),
    }
    each = []
    for label in condition.labels:
        two = [text for text, own in zip(made[1.0], asked, strict=True) if own == label][:2]
        shares: Row = {f"{kind}, %": right[kind][label] for kind in generated}
        each.append(
            {"corpus": name, "label": label, **shares, "real, %": real.get(label), "two of them": " / ".join(two)}
        )
    return row, each


def texts_of(model: Model, asked: list[str], strength: float) -> list[str]:
    made = model.generate_batch(
        [""] * TEXTS, labels=asked, seeds=range(TEXTS), temperature=TEMPERATURE, max_tokens=200, strength=strength
    )
    return [one.text for one in made]


def judge(python: str, learned: Pairs, **texts: list[str]) -> dict[str, list[str]]:
    given = {"train": [[text for text, _ in learned], [label for _, label in learned]], "judge": texts}
    script = Path(__file__).parent / "peers" / "label_classifier.py"
    done = subprocess.run([python, str(script)], input=json.dumps(given), check=True, capture_output=True, text=True)
    labels: dict[str, list[str]] = json.loads(done.stdout)
    return labels


def agreements(judged: list[str], asked: list[str]) -> dict[str, float]:
    """Percent of each label's texts that were judged to have it."""
    pairs = list(zip(judged, asked, strict=True))
    return {
        label: percent(sum(found == label for found, own in pairs if own == label), asked.count(label))
        for label in sorted(set(asked))
    }


def percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1)


def mean(shares: dict[str, float]) -> float:
    return round(sum(shares.values()) / len(shares), 1)


def folded(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.lower())


def rows_of(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(gzip.decompress(path.read_bytes()).decode("utf-8"), newline="")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", type=Path)
    parser.add_argument("--only", choices=list(SOURCES))
    parser.add_argument("--set", dest="settings", nargs="+", default=[], metavar="section.key=value")
    arguments = parser.parse_args()
    python = peers_python()
    if python is None:
        raise SystemExit("there is no .venv-bench with scikit-learn; `make bench` makes it")
    for name in SOURCES:
        if arguments.only not in (None, name):
            continue
        began = machine()
        whole, by_label = measure(name, arguments.corpora, python, arguments.settings)
        for row in (whole, *by_label):
            print(row)
        tables: Tables = {
            "Generated texts whose label an independent classifier names": [whole],
            "By label": list(by_label),
        }
        versions = installed("numpy", "torch") | installed("scikit-learn", python=python)
        print(save(f"condition-{name}", tables, began, versions))


if __name__ == "__main__":
    main()
