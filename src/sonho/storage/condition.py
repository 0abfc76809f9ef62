"""What a conditioned model is told: names of labels, or vectors, as rows of numbers whose mean over the training is 0.

Shapes: N rows, F numbers of a condition. A label is one number, 1 where it is given; several share that 1 by their
weights. Rows are standardised with the mean and scale that are stored, so that 0 stands for "nothing known".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonho.data.labels import unknown_label
from sonho.errors import DataError, UsageError

Rows = NDArray[np.float32]
MOST_STRENGTH = 10.0
Label = str | Sequence[str] | Mapping[str, float]


@dataclass(frozen=True)
class Condition:
    """`labels` are the names, or none for vectors. `separator` stands between the labels of one item, if any."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    labels: tuple[str, ...] = ()
    separator: str = ""

    @property
    def size(self) -> int:
        return len(self.mean)

    def rows(self, values: np.ndarray) -> Rows:
        """Standardise values (N, F). Raises UsageError for another F or what is not a finite number."""
        if values.ndim != 2 or values.shape[1] != self.size:
            found = values.shape[1] if values.ndim == 2 else f"the shape {values.shape}"
            raise UsageError(f"the model was trained on vectors of {self.size} numbers, got {found}")
        if not np.isfinite(values).all():
            raise UsageError("a vector holds NaN or infinity; give finite numbers")
        standard = (values.astype(np.float64) - np.array(self.mean)) / np.array(self.scale)
        rows: Rows = standard.astype(np.float32)
        return rows

    def label_row(self, label: Label) -> Rows:
        """The row (1, F) of a label, of several, or of labels with weights, which are scaled to the sum 1.

        Raises UsageError for an unknown label, naming those that are known, or weights that cannot be.
        """
        if not self.labels:
            raise UsageError("the model was trained on vectors and knows no labels; give a vector")
        weights = _as_weights(label, self.separator)
        values = np.zeros((1, self.size))
        for name, weight in weights.items():
            if name not in self.labels:
                raise UsageError(unknown_label(name, self.labels))
            values[0, self.labels.index(name)] = weight / sum(weights.values())
        return self.rows(values)

    def vector_row(self, vector: Sequence[float] | np.ndarray) -> Rows:
        """The row (1, F) of a vector (F,)."""
        if self.labels:
            raise UsageError(f"the model was trained on labels, not on vectors; known: {', '.join(self.labels)}")
        try:
            values = np.asarray(vector, np.float64)
        except (TypeError, ValueError):
            raise UsageError(f"a vector is a list of numbers, got {vector!r}") from None
        return self.rows(values[None] if values.ndim == 1 else values)

    def label_rows(self, names: Sequence[str]) -> Rows:
        """The rows (C, F) of what stands in a label column: `separator` between several labels of one item."""
        empty = np.zeros((0, self.size), np.float32)
        return np.concatenate([empty, *(self.label_row(split_labels(name, self.separator)) for name in names)])

    def to_json(self) -> dict[str, Any]:
        return {
            "mean": list(self.mean),
            "scale": list(self.scale),
            "labels": list(self.labels),
            "separator": self.separator,
        }


def told_row(condition: Condition | None, label: Any = None, vector: Any = None, strength: float = 1.0) -> Rows | None:
    """The row (1, F) of what a person asks for; None where that is nothing: the mean. Raises UsageError.

    `strength` above 1 takes it further from the mean than any record was.
    """
    if not (isinstance(strength, int | float) and 0 <= strength <= MOST_STRENGTH):
        raise UsageError(f"strength must be a number from 0 to {MOST_STRENGTH:g}, got {strength!r}")
    if label is None and vector is None:
        return None
    if condition is None:
        raise UsageError("the model was trained without labels or vectors; train one with --condition")
    if label is not None and vector is not None:
        raise UsageError("give a label or a vector, not both")
    row = condition.label_row(label) if label is not None else condition.vector_row(vector)
    return row * np.float32(strength)


def split_labels(text: str, separator: str) -> list[str]:
    """The labels of one item.

    >>> split_labels("Sports; World", ";")
    ['Sports', 'World']
    """
    return [part.strip() for part in text.split(separator) if part.strip()] if separator else [text]


def condition_from_json(stored: Any) -> Condition | None:
    """Rebuild a stored condition; None where there is none. Raises DataError."""
    if stored is None:
        return None
    try:
        mean, scale = (tuple(float(value) for value in stored[name]) for name in ("mean", "scale"))
        condition = Condition(mean, scale, tuple(stored["labels"]), stored["separator"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"the condition is malformed: {error}") from None
    named = condition.labels
    sound = len(mean) == len(scale) > 0 and all(map(math.isfinite, mean)) and all(0 < s < math.inf for s in scale)
    sound = sound and (not named or len(named) == len(set(named)) == len(mean))
    if not sound or not all(isinstance(name, str) for name in (*named, condition.separator)):
        raise DataError("the condition is malformed: its mean, scale and labels do not fit")
    return condition


def _as_weights(label: Any, separator: str) -> dict[str, float]:
    if isinstance(label, str):
        label = split_labels(label, separator)
    if isinstance(label, Mapping):
        weights = dict(label)
    elif isinstance(label, Sequence):
        weights = dict.fromkeys(label, 1.0)
    else:
        raise UsageError(f"a label is a name, a list of names or weights by name, got {label!r}")
    numbers = [w for w in weights.values() if isinstance(w, int | float) and math.isfinite(w) and w >= 0]
    if len(numbers) < len(weights) or not sum(numbers) > 0:
        raise UsageError(f"weights of labels are numbers of at least 0, one of them above, got {label!r}")
    return {str(name): float(weight) for name, weight in weights.items()}
