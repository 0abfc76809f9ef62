"""The texts of the board and how each is split. Knows files, not models.

The last tenth is the test part: the tail of a stream; of records, those whose hash falls there, so that equal
items share a side. Of the rest, all entrants hold out what `sonho train` by the clock does: a fiftieth, at least 10,000
bytes, from the end (of records: those that the same seed takes). What the test part alone has of symbols is cut out of
it, as no entrant can know them.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
from dataclasses import dataclass
from pathlib import Path

from sonho.data.splits import Shares, split_records, stream_sizes
from sonho.training.held_out import validation_share

HELD_OUT, MOST_VALIDATION = 0.1, 0.1
# Of the test part only: which items it has does not depend on the seed of a training.
TEST_SEED = 7
# name -> file among the corpora, what `sonho train --kind` is told, what samples begin with
SOURCES = {
    "tiny-shakespeare": ("tinyshakespeare/input.txt", "stream", "ROMEO:"),
    "nietzsche": ("nietzsche/nietzsche.txt", "stream", "The "),
    "ag-news-titles": ("ag_news/train_titles.csv.gz", "records", ""),
}


@dataclass(frozen=True)
class Texts:
    """One text, split: `fit` is what `sonho train` reads, `train` and `validation` are its parts."""

    name: str
    kind: str
    prompt: str
    fit: Path
    train: Path
    validation: Path
    test: Path
    share: float  # of `fit` that is the validation part
    left_out: int  # characters of the test part that were cut out of it


def write_texts(name: str, corpora: Path, folder: Path, seed: int) -> Texts:
    """Split a text of SOURCES into files of `folder`."""
    file, kind, prompt = SOURCES[name]
    if kind == "records":
        parts = _split_records(read_titles(corpora / file), seed)
    else:
        parts = _split_stream((corpora / file).read_text(encoding="utf-8").replace("\r\n", "\n"))
    known = set(parts["fit"])
    kept = "".join(symbol for symbol in parts["test"] if symbol in known)
    left_out, parts["test"] = len(parts["test"]) - len(kept), kept
    folder.mkdir(parents=True, exist_ok=True)
    paths = {part: folder / f"{name}-{seed}-{part}.txt" for part in parts}
    for part, text in parts.items():
        paths[part].write_text(text, encoding="utf-8", newline="\n")
    return Texts(name, kind, prompt, **paths, share=_share(parts["fit"]), left_out=left_out)


def read_titles(path: Path) -> list[str]:
    """The titles of AG News, one line each: the second column."""
    with gzip.open(path, "rb") as file:
        rows = csv.reader(io.StringIO(file.read().decode("utf-8"), newline=""))
        titles = (" ".join(row[1].splitlines()).strip() for row in rows)
        return [title for title in titles if title]


def _split_stream(text: str) -> dict[str, str]:
    fit = stream_sizes(len(text), Shares(0.0, HELD_OUT), least=0)["train"]
    train = stream_sizes(fit, Shares(_share(text[:fit]), 0.0), least=0)["train"]
    return {"fit": text[:fit], "train": text[:train], "validation": text[train:fit], "test": text[fit:]}


def _split_records(records: list[str], seed: int) -> dict[str, str]:
    test = _sides(records, Shares(0.0, HELD_OUT), TEST_SEED, "test")
    fit = [record for record, held_out in zip(records, test, strict=True) if not held_out]
    share = _share("".join(f"{record}\n" for record in fit))
    validation = _sides(fit, Shares(share, 0.0), seed, "validation")
    parts = {
        "fit": fit,
        "train": [record for record, held_out in zip(fit, validation, strict=True) if not held_out],
        "validation": [record for record, held_out in zip(fit, validation, strict=True) if held_out],
        "test": [record for record, held_out in zip(records, test, strict=True) if held_out],
    }
    return {part: "".join(f"{record}\n" for record in chosen) for part, chosen in parts.items()}


def _share(fit: str) -> float:
    """The share that a run of minutes holds out; one of seconds could hold out less, but all have the same part."""
    return validation_share(len(fit.encode()), MOST_VALIDATION, math.inf)


def _sides(records: list[str], shares: Shares, seed: int, side: str) -> list[bool]:
    split = split_records([records], shares, seed)
    return [bool(own) for own in split.sides(split.hash(records))[side]]
