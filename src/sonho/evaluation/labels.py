"""How well labels are predicted: accuracy, macro F1, the table of each label, confusion, calibration.

Knows numbers of labels and probabilities, not models. Shapes: R scored items, C labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonho.errors import DataError

BINS = 10
LEAST_PROBABILITY = 1e-12  # what a probability of zero costs is bounded: 27.6 nats


@dataclass(frozen=True)
class LabelRow:
    """One label: of the items that have it `recall` were given it, of those given it `precision` have it."""

    label: str
    count: int
    predicted: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class ReliabilityRow:
    """Predictions whose probability lies in [low, high): how sure they were in the mean, and how often right."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class LabelReport:
    """The result of scoring items that have labels. `words` are given for a tagger: how many, and how many right."""

    labels: tuple[str, ...]
    confusion: NDArray[np.int64]  # (C, C): true label by predicted one
    nats: float  # of all items together
    reliability: tuple[ReliabilityRow, ...]
    words: tuple[int, int] | None = None

    @property
    def count(self) -> int:
        return int(self.confusion.sum())

    @property
    def loss(self) -> float:
        """Nats per item."""
        return self.nats / self.count

    @property
    def accuracy(self) -> float:
        return int(np.trace(self.confusion)) / self.count

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the labels that occur, however often each does."""
        return float(np.mean([row.f1 for row in self.rows() if row.count]))

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: the mean distance between confidence and accuracy over the bins."""
        return sum(row.count * abs(row.confidence - row.accuracy) for row in self.reliability) / self.count

    @property
    def word_accuracy(self) -> float | None:
        """Share of the words of which every character is right; None but for a tagger."""
        return None if self.words is None else self.words[1] / self.words[0]

    @property
    def commonest(self) -> float:
        """The accuracy of always giving the label that is commonest here."""
        return int(self.confusion.sum(axis=1).max()) / self.count

    def rows(self) -> list[LabelRow]:
        """A row for each label, in their order."""
        true, given, right = self.confusion.sum(axis=1), self.confusion.sum(axis=0), np.diag(self.confusion)
        counts = zip(self.labels, true.tolist(), given.tolist(), right.tolist(), strict=True)
        return [
            LabelRow(label, t, g, r / g if g else 0.0, r / t if t else 0.0, 2 * r / (t + g) if r else 0.0)
            for label, t, g, r in counts
        ]

    def to_dict(self) -> dict[str, Any]:
        """Figures as plain values, ready for JSON."""
        values: dict[str, Any] = {
            "count": self.count,
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "loss": self.loss,
            "calibration_error": self.calibration_error,
            "labels": [row.__dict__ for row in self.rows()],
            "confusion": self.confusion.tolist(),
            "reliability": [row.__dict__ for row in self.reliability],
        }
        if self.words is not None:
            values |= {"words": self.words[0], "word_accuracy": self.word_accuracy}
        return values


def label_report(
    labels: tuple[str, ...], targets: np.ndarray, probabilities: np.ndarray, *, words: tuple[int, int] | None = None
) -> LabelReport:
    """Score probabilities (R, C) against targets (R,). Raises DataError where there is nothing to score."""
    if not len(targets):
        raise DataError("nothing to score: there is no item with a label; give a longer text")
    size, predicted = len(labels), probabilities.argmax(axis=1)
    confusion = np.bincount(targets * size + predicted, minlength=size * size).reshape(size, size)
    rows = np.arange(len(targets))
    chosen = np.maximum(probabilities[rows, targets].astype(np.float64), LEAST_PROBABILITY)
    sure, right = probabilities[rows, predicted].astype(np.float64), predicted == targets
    return LabelReport(labels, confusion, -float(np.log(chosen).sum()), _reliability(sure, right), words)


def _reliability(sure: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[ReliabilityRow, ...]:
    """The bins of equal width that hold something."""
    bins = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
    rows = []
    for number in range(BINS):
        own = bins == number
        if own.any():
            means = float(sure[own].mean()), float(right[own].mean())
            rows.append(ReliabilityRow(number / BINS, (number + 1) / BINS, int(own.sum()), *means))
    return tuple(rows)


def word_counts(words: np.ndarray, right: np.ndarray) -> tuple[int, int]:
    """How many words there are, and of how many every character is right.

    `words` (L,) has the number of the word that each character belongs to, -1 between words.

    >>> word_counts(np.array([0, 0, -1, 1]), np.array([True, True, False, False]))
    (2, 1)
    """
    inside = words >= 0
    if not inside.any():
        return 0, 0
    count = int(words.max()) + 1
    wrong = np.bincount(words[inside & ~right], minlength=count)
    return count, int((wrong == 0).sum())


def standard_error(share: float, count: int) -> float:
    """How far a share measured on so many items is off by chance alone (one standard deviation)."""
    return math.sqrt(share * (1 - share) / count)
