"""BLEU by sacrebleu. Knows texts, not models."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from sonho.errors import UsageError


@dataclass(frozen=True)
class Bleu:
    """Corpus BLEU-4 from 0 to 100, and the signature that says how it was counted."""

    score: float
    signature: str


def bleu(texts: Sequence[str], references: Sequence[Sequence[str]]) -> Bleu:
    """Of texts against the references of each, at least one, of which there may be more for some than for others."""
    if importlib.util.find_spec("sacrebleu") is None:
        raise UsageError("BLEU needs the package sacrebleu; pip install 'sonho[caption]'")
    from sacrebleu.metrics import BLEU

    metric = BLEU()
    # sacrebleu wants streams: the first reference of every text, then the second, ...; None where there is none.
    streams = [list(stream) for stream in zip_longest(*references)]
    score = metric.corpus_score(list(texts), streams).score
    return Bleu(score, metric.get_signature().format())
