"""Translations against their references: BLEU and chrF by sacrebleu, with signatures that say how they were counted.

Knows texts and figures, not models. sacrebleu (Post 2018) is an extra: `sonho[translate]`.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sonho.decoding.encoder_decoder import Score
from sonho.errors import UsageError


@dataclass(frozen=True)
class Agreement:
    """How far texts agree with their references, 0 to 100 each."""

    bleu: float
    chrf: float
    bleu_signature: str
    chrf_signature: str


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
        agreement=agreement(texts, references) if agree else None,
    )


def has_sacrebleu() -> bool:
    return importlib.util.find_spec("sacrebleu") is not None


def check_sacrebleu() -> None:
    """Raise UsageError where it is not installed."""
    if not has_sacrebleu():
        raise UsageError("BLEU and chrF need the package sacrebleu; pip install 'sonho[translate]'")


def agreement(texts: Sequence[str], references: Sequence[str]) -> Agreement:
    """BLEU and chrF of a corpus, with sacrebleu's defaults. Raises UsageError where it is not installed."""
    check_sacrebleu()
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    bleu, chrf = BLEU(), CHRF()
    return Agreement(
        bleu=bleu.corpus_score(texts, [references]).score,
        chrf=chrf.corpus_score(texts, [references]).score,
        bleu_signature=str(bleu.get_signature()),
        chrf_signature=str(chrf.get_signature()),
    )
