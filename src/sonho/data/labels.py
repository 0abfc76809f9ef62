"""Labels of records: which there are, and their numbers. Knows names, not files or tokens."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from sonho.config import DataConfig
from sonho.errors import DataError, UsageError

MOST_LABELS = 10_000
LabelKind = Literal["labels", "tags"]  # one a record, one a token


def label_kind(config: DataConfig) -> LabelKind | None:
    """What has labels. Raises UsageError where both would have, or where the tokens are not characters."""
    if config.strip == "none":
        return "labels" if is_labelled(config) else None
    if is_labelled(config):
        raise UsageError("data.strip makes a label for each character; leave out the labels of the records")
    if config.level != "char" or config.num_chars:
        raise UsageError("data.strip works on whole records of characters; leave out data.level and data.num_chars")
    if config.lowercase and config.strip != "accents":
        raise UsageError("data.lowercase leaves no capitals to restore; leave it out, or take data.strip=accents")
    return "tags"


def is_labelled(config: DataConfig) -> bool:
    """Whether records have labels: asked for, or implied by the name of their column."""
    return config.labelled or bool(config.label_column)


def find_label_names(blocks: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """The distinct labels, sorted, so that neither the order of the files nor of the records matters.

    Raises DataError where there are so many that the column cannot be one of labels.

    >>> find_label_names([["b", "a"], ["b"]])
    ('a', 'b')
    """
    names: set[str] = set()
    for block in blocks:
        names.update(block)
        if len(names) > MOST_LABELS:
            raise DataError(f"more than {MOST_LABELS:,} distinct labels; is data.label_column the right one?")
    return tuple(sorted(names))


def label_ids(labels: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """The number of each label, (R,) int64. Raises DataError for one that is not among `names`."""
    numbers = {name: number for number, name in enumerate(names)}
    try:
        return np.fromiter((numbers[label] for label in labels), np.int64, len(labels))
    except KeyError as error:
        raise DataError(unknown_label(error.args[0], names)) from None


def unknown_label(label: str, names: Sequence[str]) -> str:
    """The sentence about a label that is not known: the nearest, and those that are."""
    close = difflib.get_close_matches(label, names, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    more = f" and {len(names) - 30} more" if len(names) > 30 else ""
    return f"unknown label {label!r}{hint}; known: {', '.join(names[:30])}{more}"


def label_note(names: Sequence[str], counts: np.ndarray) -> str:
    """How many labels there are and how often the commonest and the rarest of the training part occur."""
    common, rare = int(counts.argmax()), int(counts.argmin())
    return (
        f"{len(names):,} labels; the commonest is {names[common]} ({100 * counts[common] / counts.sum():.1f} %), "
        f"the rarest {names[rare]} ({100 * counts[rare] / counts.sum():.1f} %)"
    )
