"""Translations against their references. Knows texts and figures, not models."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sonho.decoding.encoder_decoder import Score
from sonho.evaluation.agreement import Agreement, agreement


@dataclass(frozen=True)
class TranslationReport:
    """A model on pairs of texts. `loss` is nats per target token with <eos>, each after the true ones before it."""

    count: int  # pairs
    loss: float
    tokens: int
    accuracy: float  # of the tokens, those that came first
    beam: int
    agreement: Agreement | None  # None without sacrebleu

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.loss, 700.0))

    def figures(self) -> dict[str, float]:
        """What is kept of a report."""
        own = {"loss": self.loss, "accuracy": self.accuracy}
        return own if self.agreement is None else {**own, "bleu": self.agreement.bleu, "chrf": self.agreement.chrf}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = dataclasses.asdict(self)
        agreement = values.pop("agreement") or {}
        return {**values, "perplexity": self.perplexity, **agreement}


def translation_report(
    score: Score, texts: Sequence[str], references: Sequence[str], *, beam: int, agree: bool = True
) -> TranslationReport:
    """The report of `texts`, one for each reference; without `agree` (no sacrebleu) that of the loss alone."""
    return TranslationReport(
        count=len(references),
        loss=score.nats / max(score.tokens, 1),
        tokens=score.tokens,
        accuracy=score.correct / max(score.tokens, 1),
        beam=beam,
        agreement=agreement(texts, [[one] for one in references]) if agree else None,
    )
