"""The end of a text, learned last: what a run by the clock does with its held-out part when all is chosen by it.

What follows a text resembles its end: a play goes on, its people and their names with it. Training sees every part
alike. So the end of the held-out part is read as `sonho adapt` reads (Krause et al. 2018), but only where that helps:
after the first half of it, the second must be predicted better than before. Most novels do not change so much, and
are left as they are (docs/log.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sonho.data.corpus import Part
from sonho.data.parts import MemoryStore
from sonho.evaluation.evaluate import evaluate
from sonho.storage.model_file import ModelFile
from sonho.text import Tokenizer
from sonho.training.adapt import AdaptiveStepper, learn

# Tokens of the end that are read, and the least of which half can tell whether it helps.
MOST_TOKENS, LEAST_TOKENS = 20_000, 4_000


@dataclass(frozen=True)
class Ending:
    """What reading the end made of a model: nats per token of the second half before and after reading the first."""

    model_file: ModelFile
    tokens: int
    before: float
    after: float


def tokens_to_read(part: Part, seconds: float, seconds_a_token: float) -> int:
    """How many of the last tokens of `part` can be read in so much time; 0 where they would be too few."""
    tokens = min(part.num_tokens, MOST_TOKENS, int(seconds / max(seconds_a_token, 1e-9)))
    return tokens if tokens >= LEAST_TOKENS else 0


def read_end(model_file: ModelFile, part: Part, tokens: int) -> Ending | None:
    """Let the model learn from the last `tokens` of `part`; None where the first half does not help with the second.

    Raises UsageError for a model that cannot be adapted.
    """
    tokenizer = model_file.tokenizer
    ids = part.tokens.read(part.num_tokens - tokens, part.num_tokens)
    first, second = (_as_part(half, tokenizer) for half in np.array_split(ids, 2))
    before = evaluate(model_file, second).loss
    stepper = AdaptiveStepper(model_file)
    learn(stepper, tokenizer, first)
    after = evaluate(stepper.model_file, second).loss
    if after >= before:
        return None
    learn(stepper, tokenizer, second)
    return Ending(stepper.model_file, tokens, before, after)


def _as_part(ids: np.ndarray, tokenizer: Tokenizer) -> Part:
    chars, num_bytes = (int(counts[ids].sum()) for counts in (tokenizer.char_counts(), tokenizer.byte_counts()))
    return Part(MemoryStore(ids), None, chars, num_bytes)
