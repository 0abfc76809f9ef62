"""From token ids to probabilities of labels, without torch. Knows ids and numbers, not text.

Shapes: N rows, T time, C labels, W width of the encoder, R records, L tokens.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sonho.config import OF_LABELS, TaskName
from sonho.data.parts import Part
from sonho.decoding.encoder import EncoderRunner
from sonho.decoding.state import Array
from sonho.errors import ModelFileError, UsageError
from sonho.storage.model_file import ModelFile

ROWS_AT_ONCE = 64
TOKENS_AT_ONCE = 2**15


class LabelRunner:
    """A classifier or tagger as arrays of probabilities."""

    def __init__(self, model_file: ModelFile) -> None:
        check_has_labels(model_file)
        for name, array in model_file.arrays.items():
            if not np.isfinite(array).all():
                raise ModelFileError(f"array {name} holds NaN or infinity; the model cannot be used, train it again")
        self.config, self.num_labels = model_file.model, len(model_file.labels)
        self.eos_id = model_file.tokenizer.eos_id
        self._arrays = model_file.arrays
        self._encoder = EncoderRunner(model_file.model, model_file.arrays)

    def records(self, part: Part) -> Array:
        """A classifier's probabilities (R, C) float32 of the records of a part, in their order."""
        found = np.empty((part.num_records, self.num_labels), np.float32)
        for rows, inputs, lengths in record_batches(part, self.eos_id):
            pooled = self._pool(self._encoder.encode(inputs, lengths), lengths)
            found[rows] = self._probabilities(pooled)
        return found

    def tokens(self, part: Part) -> Array:
        """A tagger's probabilities (L, C) float32 of the tokens of a part, in their order; at <eos> they are zero."""
        found = np.zeros((part.num_tokens, self.num_labels), np.float32)
        assert part.offsets is not None
        for rows, inputs, lengths in record_batches(part, self.eos_id):
            probabilities = self._probabilities(self._encoder.encode(inputs, lengths))
            for row, length, own in zip(rows, lengths, probabilities, strict=True):
                start = part.offsets[row]
                found[start : start + length - 1] = own[1:length]
        return found

    def _probabilities(self, hidden: Array) -> Array:
        """(..., W) to (..., C)."""
        logits = hidden @ self._arrays["output.weight"].T + self._arrays["output.bias"]
        logits -= logits.max(axis=-1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=-1, keepdims=True)
        return logits

    def _pool(self, hidden: Array, lengths: Array) -> Array:
        """Outputs (N, T, W) to one vector a record (N, W)."""
        size, kind = self.config.hidden_size, self.config.pooling
        inside = (np.arange(hidden.shape[1]) < lengths[:, None])[:, :, None]  # (N, T, 1)
        if kind == "last":
            last = hidden[np.arange(len(hidden)), lengths - 1]
            return np.concatenate([last[:, :size], hidden[:, 0, size:]], axis=1)
        if kind == "mean":
            return np.asarray(hidden.sum(axis=1) / lengths[:, None])
        if kind == "max":
            return np.asarray(np.where(inside, hidden, -np.inf).max(axis=1))
        scores = np.where(inside, (hidden @ self._arrays["attention.weight"])[:, :, None], -np.inf)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray((weights * hidden).sum(axis=1) / weights.sum(axis=1))


def record_batches(part: Part, eos_id: int) -> Iterator[tuple[Array, Array, Array]]:
    """Records of like length together: their numbers (N,), inputs (N, T) as in training, and lengths (N,)."""
    assert part.offsets is not None
    starts, lengths = part.offsets[:-1], np.diff(part.offsets)  # a record ends with <eos>, its input begins with it
    order = np.argsort(lengths, kind="stable")
    first = 0
    while first < len(order):
        longest = int(lengths[order[min(first + ROWS_AT_ONCE, len(order)) - 1]])
        count = max(1, min(ROWS_AT_ONCE, TOKENS_AT_ONCE // longest))
        rows = order[first : first + count]
        own = lengths[rows]
        tokens = part.tokens.gather(starts[rows], int(own.max())).astype(np.int64)
        inputs = np.zeros_like(tokens)
        inputs[:, 0] = eos_id
        inputs[:, 1:] = tokens[:, :-1]
        yield rows, np.where(np.arange(tokens.shape[1]) < own[:, None], inputs, 0), own
        first += count


# What a model is called, and what it is for.
KINDS: dict[TaskName, tuple[str, str]] = {
    "generate": ("language model", "use generate or score"),
    "classify": ("classifier", "use predict, or evaluate on labelled text"),
    "tag": ("tagger", "use predict, or evaluate on text"),
    "translate": ("translation model", "use translate, or evaluate on pairs of texts"),
    "caption": ("captioner", "use caption, or evaluate on a table of pictures and texts"),
}


def check_has_labels(model_file: ModelFile) -> None:
    """Raise UsageError for a model that is no classifier or tagger."""
    if model_file.model.task not in OF_LABELS:
        kind, advice = KINDS[model_file.model.task]
        raise UsageError(f"this is a {kind}, which predicts no labels; {advice}")


def check_generates(model_file: ModelFile) -> None:
    """Raise UsageError for a model that is no language model."""
    if model_file.model.task != "generate":
        kind, advice = KINDS[model_file.model.task]
        lacks = "writes no text" if model_file.model.task in OF_LABELS else "writes nothing by itself"
        raise UsageError(f"this is a {kind}, which {lacks}; {advice}")


def check_translates(model_file: ModelFile) -> None:
    """Raise UsageError for a model that does not translate."""
    if model_file.model.task != "translate":
        kind, advice = KINDS[model_file.model.task]
        raise UsageError(f"this is a {kind}, which does not translate; {advice}")
