"""What OpenAI's `logprobs` hold, from log-probabilities. Knows numbers and token strings, not requests.

Shapes: T tokens, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sonho.decoding.state import Array
from sonho.evaluation.evaluate import log_softmax

# JSON has no infinity: a token that could not be there.
IMPOSSIBLE = -9999.0


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token, its log-probability in nats, the likeliest beside it, and where its text begins and ends.

    `logprob` and `top` are None where nothing was predicted.
    """

    token: str
    logprob: float | None
    top: dict[str, float] | None
    start: int
    end: int


def score_tokens(
    logits: Array, tokens: Sequence[int], count: int, strings: Sequence[str]
) -> list[tuple[float, dict[str, float]]]:
    """The log-probability of each of `tokens` (T,) under `logits` (T, V), and those of the `count` likeliest and it."""
    log_probs = log_softmax(logits)  # (T, V)
    chosen = log_probs[np.arange(len(tokens)), list(tokens)].tolist()
    if not count:
        return [(_finite(value), {strings[token]: _finite(value)}) for token, value in zip(tokens, chosen, strict=True)]
    best = np.argsort(-log_probs, axis=1, kind="stable")[:, :count]
    values = np.take_along_axis(log_probs, best, axis=1).tolist()
    scored = []
    for token, value, ids, others in zip(tokens, chosen, best.tolist(), values, strict=True):
        top = {strings[id]: other for id, other in zip(ids, others, strict=True) if math.isfinite(other)}
        top.setdefault(strings[token], _finite(value))
        scored.append((_finite(value), top))
    return scored


def as_openai(entries: Iterable[TokenLogprob]) -> dict[str, Any]:
    """The four lists of a choice."""
    entries = list(entries)
    return {
        "tokens": [entry.token for entry in entries],
        "token_logprobs": [entry.logprob for entry in entries],
        "top_logprobs": [entry.top for entry in entries],
        "text_offset": [entry.start for entry in entries],
    }


def _finite(value: float) -> float:
    return value if math.isfinite(value) else IMPOSSIBLE
