"""Which part of the data learns, which one judges. Knows sizes and hashes, not tokens."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sonho.config import DataConfig, DataKind
from sonho.errors import UsageError

SPLITS = ("train", "validation", "test")
EXACT_UP_TO = 10_000  # distinct records; with more, chance alone comes close to the share that was asked for
_ALL = 1 << 64
_NOT_LETTERS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Shares:
    """What is held out: shares of the whole, or a file for the test."""

    validation: float
    test: float
    test_files: tuple[str, ...] = ()


def read_shares(config: DataConfig) -> Shares:
    """`data.test` is a share such as 0.1, or else a path, or several with commas between them.

    >>> read_shares(DataConfig(test="0.2"))
    Shares(validation=0.1, test=0.2, test_files=())
    """
    validation = 0.0 if config.validation_files else config.validation
    try:
        test = float(config.test or 0)
    except ValueError:
        several = config.test.split(",")
        found = len(several) > 1 and not Path(config.test).is_file() and all(Path(path).is_file() for path in several)
        return Shares(validation, 0.0, tuple(several) if found else (config.test,))
    if Path(config.test).is_file():
        return Shares(validation, 0.0, (config.test,))
    if not 0 <= test < 1:
        raise UsageError(f"data.test = {config.test}: a share lies between 0 and 1, and a file must exist")
    if test + validation >= 1:
        raise UsageError(
            f"data.validation = {config.validation} and data.test = {config.test} leave nothing to train on"
        )
    return Shares(validation, test)


def data_kind(config: DataConfig) -> DataKind:
    """The kind that the settings amount to: predicting only the last token of a piece implies windows."""
    if config.objective == "last" and config.kind == "records":
        raise UsageError("data.objective=last reads one long text; leave out data.kind=records")
    return "windows" if config.objective == "last" else config.kind


def stream_sizes(num_chars: int, shares: Shares, least: int) -> dict[str, int]:
    """Characters of each split of a long text, in this order; held-out parts are the tail.

    A held-out part has at least `least` characters, as long as that is no more than a fifth.

    >>> stream_sizes(1_115_394, Shares(0.1, 0.0), least=64)
    {'train': 1003854, 'validation': 111540, 'test': 0}
    """
    least = min(least, num_chars // 5)
    test = max(num_chars - int(num_chars * (1 - shares.test)), least) if shares.test else 0
    kept = int(num_chars * (1 - shares.test - shares.validation))
    validation = max(num_chars - test - kept, least) if shares.validation else 0
    return {"train": num_chars - validation - test, "validation": validation, "test": test}


class TextCutter:
    """Hands out a streamed text in consecutive runs of so many characters."""

    def __init__(self, chunks: Iterable[str]) -> None:
        self._chunks = iter(chunks)
        self._rest = ""

    def take(self, count: int) -> Iterator[str]:
        """The next `count` characters, or what there is, in pieces; use it up before the next call."""
        while count > 0:
            chunk = self._rest or next(self._chunks, "")
            if not chunk:
                return
            piece, self._rest = chunk[:count], chunk[count:]
            count -= len(piece)
            yield piece


@dataclass(frozen=True)
class RecordSplit:
    """Sends each record to a side by a hash of the seed and its text.

    Exact duplicates therefore share a side, and neither the order nor the file of a record matters. With `folded`,
    texts that differ only in case, spaces and punctuation share one too: the same news comes from several agencies.
    """

    seed: int
    test_below: int  # hashes under this bound are the test's
    validation_below: int  # the next ones, under this bound, are for validation
    folded: bool = False

    def hash(self, records: Sequence[str]) -> np.ndarray:
        """A number for each record, shape (R,) uint64."""
        key, hash_bytes = self.seed.to_bytes(8, "little"), hashlib.blake2b
        if self.folded:
            records = [_NOT_LETTERS.sub("", record.lower()) or record for record in records]
        encoded = [record.encode("utf-8", "surrogatepass") for record in records]
        digests = [hash_bytes(data, digest_size=8, key=key).digest() for data in encoded]
        return np.frombuffer(b"".join(digests), "<u8")

    def sides(self, hashes: np.ndarray) -> dict[str, np.ndarray]:
        """For each split a mask of the records that are its own, each (R,) bool."""
        is_test = _below(hashes, self.test_below)
        is_held_out = _below(hashes, self.validation_below)
        return {"train": ~is_held_out, "validation": is_held_out & ~is_test, "test": is_test}


def split_records(blocks: Iterable[Sequence[str]], shares: Shares, seed: int, *, folded: bool = False) -> RecordSplit:
    """Choose the bounds; reads no more records than it needs.

    Up to 10,000 distinct records get the shares to the nearest record, and at least one to validate
    on where there are two; beyond, the bounds are the shares of all possible hashes.
    """
    split = RecordSplit(seed, round(shares.test * _ALL), round((shares.test + shares.validation) * _ALL), folded)
    if not split.validation_below:
        return split
    distinct: set[int] = set()
    for block in blocks:
        distinct.update(split.hash(block).tolist())
        if len(distinct) > EXACT_UP_TO:
            return split
    values, most = sorted(distinct), len(distinct) - 1
    validation = min(max(round(shares.validation * len(values)), 1), most) if shares.validation else 0
    test = min(max(round(shares.test * len(values)), 1), most - validation) if shares.test else 0
    bounds = [*values, _ALL]
    return RecordSplit(seed, bounds[max(test, 0)], bounds[max(test + validation, 0)], folded)


def _below(hashes: np.ndarray, bound: int) -> np.ndarray:
    return np.asarray(hashes < np.uint64(bound)) if bound < _ALL else np.ones(len(hashes), bool)
