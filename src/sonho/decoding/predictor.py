"""`Predictor(model_file)`, the door of classifiers and taggers: texts in, labels or restored texts out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from sonho.config import Strip
from sonho.data.corpus import encode_items
from sonho.data.encode import with_known_symbols
from sonho.decoding.labels import LabelRunner, check_generates
from sonho.errors import UsageError
from sonho.storage.model_file import ModelFile
from sonho.text.strip import restore_text, strip_text


@dataclass(frozen=True)
class Prediction:
    """The likeliest label of a text, its probability, and the probability of every label, the likeliest first."""

    text: str
    label: str
    probability: float
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Restoration:
    """A text with what was stripped put back, and the tag of each of its characters."""

    text: str  # as it was given
    restored: str
    tags: tuple[str, ...]  # one for each character of `restored`
    probability: float  # of the least certain tag; 1 for an empty text


class Predictor:
    """A classifier or tagger ready to use. It never changes, so threads may share one."""

    def __init__(self, model_file: ModelFile) -> None:
        self.model_file, self.tokenizer = model_file, model_file.tokenizer
        self.labels = model_file.labels
        self._runner = LabelRunner(model_file)
        data = model_file.record.get("data") or {}
        self._max_length = int(data.get("max_length") or 0)
        self._strip: Strip = data.get("strip", "none")

    def predict(self, texts: Sequence[str]) -> list[Any]:
        """A Prediction for each text, of a tagger a Restoration, in their order; texts of like length run together.

        Raises UsageError for a single string, which would be taken for a list of letters.
        """
        if isinstance(texts, str):
            raise UsageError("texts must be a list of strings; for one text give [text]")
        if not texts:
            return []
        if self.model_file.model.task == "tag":
            return self._restore(texts)
        part = encode_items(texts, self.tokenizer, max_length=self._max_length)
        return [self._prediction(text, row) for text, row in zip(texts, self._runner.records(part), strict=True)]

    def generate(self, *_: Any, **__: Any) -> NoReturn:
        """Raises UsageError: what has labels writes no text."""
        check_generates(self.model_file)
        raise AssertionError("check_generates refuses every model that a Predictor takes")

    stream = generate_batch = generate

    def _prediction(self, text: str, probabilities: np.ndarray) -> Prediction:
        order = np.argsort(-probabilities, kind="stable").tolist()
        ranked = {self.labels[i]: float(probabilities[i]) for i in order}
        return Prediction(text, self.labels[order[0]], float(probabilities[order[0]]), ranked)

    def _restore(self, texts: Sequence[str]) -> list[Restoration]:
        """Texts longer than a record of the training are restored in pieces."""
        longest = self._max_length or 1000
        stripped = [strip_text(self.tokenizer.steps.apply(text), self._strip)[0] for text in texts]
        pieces = [
            (n, text[at : at + longest]) for n, text in enumerate(stripped) for at in range(0, len(text), longest)
        ]
        tags: list[list[str]] = [[] for _ in texts]
        least = np.ones(len(texts))
        if pieces:
            known = [with_known_symbols(piece, self.tokenizer) for _, piece in pieces]
            part = encode_items(known, self.tokenizer, max_length=longest)
            assert part.offsets is not None
            found = self._runner.tokens(part)
            for (number, _), start, stop in zip(pieces, part.offsets[:-1], part.offsets[1:] - 1, strict=True):
                own = found[start:stop]
                tags[number] += [self.labels[i] for i in own.argmax(axis=1)]
                least[number] = min(least[number], own.max(axis=1).min())
        rows = zip(texts, stripped, tags, least.tolist(), strict=True)
        return [Restoration(text, restore_text(base, own), tuple(own), sure) for text, base, own, sure in rows]
