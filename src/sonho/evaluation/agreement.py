"""How far texts agree with their references: BLEU and chrF by sacrebleu, with signatures that say how it was done.

Knows texts, not models. sacrebleu (Post 2018) is an extra: `sonho[translate]`, `sonho[caption]`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from sonho.errors import UsageError


@dataclass(frozen=True)
class Agreement:
    """BLEU-4 and chrF of a corpus, 0 to 100 each."""

    bleu: float
    chrf: float
    bleu_signature: str
    chrf_signature: str


def has_sacrebleu() -> bool:
    return importlib.util.find_spec("sacrebleu") is not None


def check_sacrebleu() -> None:
    """Raise UsageError where it is not installed."""
    if not has_sacrebleu():
        raise UsageError("BLEU and chrF need the package sacrebleu; pip install 'sonho[translate]'")


def agreement(texts: Sequence[str], references: Sequence[Sequence[str]]) -> Agreement:
    """Of each text with its references, at least one, by sacrebleu's defaults. Raises UsageError without sacrebleu."""
    check_sacrebleu()
    from sacrebleu.metrics.chrf import CHRF

    score, signature = bleu(texts, references)
    chrf = CHRF()
    return Agreement(
        bleu=score,
        chrf=chrf.corpus_score(texts, _streams(references)).score,
        bleu_signature=signature,
        chrf_signature=str(chrf.get_signature()),
    )


def bleu(texts: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[float, str]:
    """BLEU-4 alone, which is quick, and its signature."""
    check_sacrebleu()
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU()
    return metric.corpus_score(texts, _streams(references)).score, str(metric.get_signature())


def _streams(references: Sequence[Sequence[str]]) -> list[Any]:
    """As sacrebleu wants them: the first reference of every text, then the second, ...; None where there is none."""
    return list(zip_longest(*references))
