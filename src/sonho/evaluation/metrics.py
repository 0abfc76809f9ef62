"""What is reported about a model: counts of nats, tokens, characters and bytes, and what follows from them.

Knows numbers and token ids, not models. M is the number of predicted tokens, V the size of the vocabulary.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sonho.errors import DataError
from sonho.text import Tokenizer

NATS_PER_BIT = math.log(2)


@dataclass(frozen=True)
class Report:
    """How well a model predicted a text. Of a stream, the first token is not predicted and not counted.

    An `<unk>` counts as one character, however long the word was, for its letters are not predicted: only
    reports with the same unknown tokens can be compared. `left_out` are symbols of the text that have no
    token at all; no figure includes them.
    """

    nats: float  # of all predicted tokens together
    num_tokens: int
    num_correct: int  # tokens that were the likeliest
    num_chars: int
    num_bytes: int  # in UTF-8
    num_unknown: int = 0  # predicted tokens that are <unk>
    left_out: tuple[str, ...] = ()

    @property
    def loss(self) -> float:
        """Nats per token."""
        return self.nats / self.num_tokens

    @property
    def bits_per_char(self) -> float:
        return self.nats / NATS_PER_BIT / self.num_chars if self.num_chars else math.nan

    @property
    def bits_per_byte(self) -> float:
        return self.nats / NATS_PER_BIT / self.num_bytes if self.num_bytes else math.nan

    @property
    def perplexity(self) -> float:
        """Per token."""
        return math.exp(min(self.loss, 700.0))  # further up there is no float

    @property
    def accuracy(self) -> float:
        """Share of tokens that were the likeliest."""
        return self.num_correct / self.num_tokens

    def to_dict(self) -> dict[str, Any]:
        """Counts and figures as plain values, ready for JSON."""
        names = ("loss", "bits_per_char", "bits_per_byte", "perplexity", "accuracy")
        values = {**{name: getattr(self, name) for name in names}, **dataclasses.asdict(self)}
        # JSON has no nan and no infinity.
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


class Tally:
    """Adds up a report, batch by batch."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._nats = 0.0
        self._seen = np.zeros(tokenizer.vocab_size, np.int64)  # how often each token was predicted
        self._correct = 0

    def add(self, nats: float, num_correct: int, targets: np.ndarray) -> None:
        """Count predicted `targets`, of any shape; negative ones are not scored and not counted."""
        self._nats += nats
        self._correct += num_correct
        self._seen += np.bincount(targets[targets >= 0].ravel(), minlength=len(self._seen))

    @property
    def num_tokens(self) -> int:
        """Tokens predicted so far."""
        return int(self._seen.sum())

    def report(self, *, left_out: tuple[str, ...] = ()) -> Report:
        """The report of all that was added. Raises DataError where nothing was."""
        if not self.num_tokens:
            raise DataError("nothing to score: the text has no token to predict; give a longer one")
        unk_id = self._tokenizer.unk_id
        return Report(
            nats=self._nats,
            num_tokens=self.num_tokens,
            num_correct=self._correct,
            num_chars=int(self._seen @ self._tokenizer.char_counts()),
            num_bytes=int(self._seen @ self._tokenizer.byte_counts()),
            num_unknown=0 if unk_id is None else int(self._seen[unk_id]),
            left_out=left_out,
        )
