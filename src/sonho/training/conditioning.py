"""What the records of a corpus come with, as rows of numbers: the labels that there are, or the vectors of a file.

Shapes: R records, C different marks (labels, or records that each have a vector), F numbers of a condition.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sonho.config import Config
from sonho.data.corpus import Corpus, Part
from sonho.data.vectors import check_count, read_vectors
from sonho.errors import UsageError
from sonho.storage.condition import Condition, Rows, split_labels

# A feature that never changes says nothing, and must not be divided by 0.
LEAST_SCALE = 1e-6
ROWS_AT_ONCE = 65536


@dataclass(frozen=True)
class Conditions:
    """`rows` (C, F): row `part.labels[i]` belongs to record i of a part."""

    condition: Condition
    rows: Rows

    @property
    def digest(self) -> str:
        """SHA-256 of the rows."""
        return hashlib.sha256(np.ascontiguousarray(self.rows, "<f4").data).hexdigest()


def fit_conditions(config: Config, corpus: Corpus) -> Conditions | None:
    """The condition that the settings ask for, its mean and scale those of the training part; None where they do not.

    Raises UsageError where the settings do not fit, DataError for a file of vectors that does not.
    """
    kind = config.model.condition
    if kind == "none":
        if config.data.vectors:
            raise UsageError("data.vectors needs model.condition=vector (--condition vector)")
        return None
    if corpus.train.labels is None or (kind == "label") != bool(corpus.label_names):
        missing = "labels: --label-column NAME" if kind == "label" else "a row for each record: --vectors FILE.npy"
        raise UsageError(f"model.condition={kind} needs {missing}")
    return _of_labels(config, corpus) if kind == "label" else _of_vectors(config, corpus)


def records_for_conditions(config: Config, given: Iterable[str]) -> Config:
    """The settings of a conditioned run, whose text is records, and whose labels may be the names of files.

    Raises UsageError for a cell that cannot be conditioned.
    """
    if config.model.condition == "none":
        return config
    if config.model.task != "generate":
        raise UsageError(f"model.condition makes texts; leave it out for task {config.model.task}")
    if config.model.cell in ("conv", "ngram"):
        raise UsageError(f"model.condition begins a state, and {config.model.cell} has none; take lstm, gru or rnn")
    data = config.data
    if "data.kind" not in given:
        data = dataclasses.replace(data, kind="records")
    if config.model.condition == "label" and "data.labelled" not in given:
        data = dataclasses.replace(data, labelled=True)
    return dataclasses.replace(config, data=data)


def _of_labels(config: Config, corpus: Corpus) -> Conditions:
    assert corpus.train.labels is not None
    separator = config.data.label_separator
    names = tuple(sorted({label for name in corpus.label_names for label in split_labels(name, separator)}))
    zero = Condition((0.0,) * len(names), (1.0,) * len(names), names, separator)
    values = zero.label_rows(corpus.label_names)  # (C, F)
    counts = np.bincount(corpus.train.labels, minlength=len(values))
    shares = counts @ values.astype(np.float64) / counts.sum()
    condition = dataclasses.replace(zero, mean=tuple(shares.tolist()))
    return Conditions(condition, condition.label_rows(corpus.label_names))


def _of_vectors(config: Config, corpus: Corpus) -> Conditions:
    values, path = read_vectors(config.data.vectors), config.data.vectors
    parts = [part for part in (corpus.train, corpus.validation, corpus.test) if part is not None]
    check_count(path, len(values), sum(part.num_records for part in parts))
    mean, scale = _mean_and_scale(values, corpus.train)
    condition = Condition(tuple(mean.tolist()), tuple(scale.tolist()))
    return Conditions(condition, condition.rows(values))


def _mean_and_scale(values: np.ndarray, train: Part) -> tuple[np.ndarray, np.ndarray]:
    """Of each column of `values`, over the records of the training part; (F,) each."""
    assert train.labels is not None
    chosen = np.sort(train.labels)
    pieces = [values[chosen[at : at + ROWS_AT_ONCE]] for at in range(0, len(chosen), ROWS_AT_ONCE)]
    mean = sum(piece.sum(axis=0, dtype=np.float64) for piece in pieces) / len(chosen)
    square = sum(np.square(piece - mean).sum(axis=0, dtype=np.float64) for piece in pieces) / len(chosen)
    scale = np.sqrt(square)
    return np.asarray(mean), np.where(scale > LEAST_SCALE * np.maximum(1.0, np.abs(mean)), scale, 1.0)
