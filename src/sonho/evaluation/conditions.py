"""What a conditioned model is told of each record of a held-out part, and the same mixed up.

The difference between the two scores is what the labels or vectors say about the texts.
Shapes: R records, C different marks, F numbers of a condition.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from sonho.storage.condition import Rows

if TYPE_CHECKING:
    from sonho.data.parts import Part
    from sonho.storage.model_file import ModelFile

SHUFFLE_SEED = 0


def conditions_of(model_file: ModelFile, part: Part, vectors: str) -> Rows | None:
    """Rows (C, F), of which record i has row `part.labels[i]`; None where the model or the text has none.

    `vectors` is the path of the part's own. Raises DataError where it has not a row for each record.
    """
    condition = model_file.condition
    if condition is None or part.labels is None:
        return None
    if condition.labels:
        return condition.label_rows(model_file.labels)
    from sonho.data.vectors import check_count, read_vectors

    values = read_vectors(vectors)
    check_count(vectors, len(values), part.num_records)
    return condition.rows(values)


def with_shuffled_labels(part: Part) -> Part:
    """The same records, each with the label or vector of another one drawn by chance."""
    assert part.labels is not None
    return dataclasses.replace(part, labels=np.random.default_rng(SHUFFLE_SEED).permutation(part.labels))
