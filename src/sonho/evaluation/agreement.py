"""How far texts agree with their references: BLEU and chrF by sacrebleu, with signatures that say how it was done.

Knows texts, not models. sacrebleu (Post 2018) is an extra: `sonho[translate]`, `sonho[caption]`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

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
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    # sacrebleu wants streams: the first reference of every text, then the second, ...; None where there is none.
    streams = list(zip_longest(*references))
    bleu, chrf = BLEU(), CHRF()
    return Agreement(
        bleu=bleu.corpus_score(texts, streams).score,
        chrf=chrf.corpus_score(texts, streams).score,
        bleu_signature=str(bleu.get_signature()),
        chrf_signature=str(chrf.get_signature()),
    )
