"""Making tokenizers: learned from a text, rebuilt from JSON, grown by the symbols of another text.

The one place that knows all levels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from sonho.config import DataConfig
from sonho.errors import DataError, UsageError
from sonho.text.byte import ByteTokenizer
from sonho.text.char import CharTokenizer, count_chars
from sonho.text.steps import Steps
from sonho.text.strict import require_choice
from sonho.text.subword import SubwordTokenizer, fit_subword
from sonho.text.tokenizer import Tokenizer
from sonho.text.vocabulary import build_vocabulary, extend_vocabulary, id_map
from sonho.text.word import WordTokenizer, count_words, split_chunks, split_words

USUAL_MAX_VOCAB = {"char": 0, "byte": 0, "word": 30_000, "subword": 2_000}

_FROM_JSON: dict[str, Callable[[Any], Tokenizer]] = {
    "char": CharTokenizer.from_json,
    "byte": ByteTokenizer.from_json,
    "word": WordTokenizer.from_json,
    "subword": SubwordTokenizer.from_json,
}


def fit_tokenizer(chunks: Iterable[str], config: DataConfig, *, seed: int = 0) -> Tokenizer:
    """Learn the vocabulary of a text in one pass, in memory that does not grow with it.

    With `config.kind == "records"` each chunk is a record of its own; otherwise the chunks are one long
    text, cut anywhere. `max_vocab` counts all ids, special tokens included. Byte level reads nothing.

    >>> fit_tokenizer(["hello"], DataConfig()).encode("hole").tolist()
    [2, 4, 1, 3]
    """
    steps = Steps.of(config)
    max_vocab = config.max_vocab or USUAL_MAX_VOCAB[config.level]
    if config.level in ("byte", "subword") and 0 < max_vocab < 258:
        raise UsageError(f"max_vocab = {max_vocab} does not hold the 256 bytes; give at least 258, or 0")
    if config.level == "byte":
        return ByteTokenizer(steps)
    if config.level == "subword":
        pieces = _pieces(chunks, steps, config)
        return fit_subword(pieces, steps, max_vocab=max_vocab, min_count=config.min_count, seed=seed)
    is_word = config.level == "word"
    counts = _counts(chunks, steps, config, is_word)
    vocabulary = build_vocabulary(counts, max_vocab=max_vocab, min_count=config.min_count, always_unk=is_word)
    return WordTokenizer(vocabulary, steps) if is_word else CharTokenizer(vocabulary, steps)


def tokenizer_from_json(values: Any) -> Tokenizer:
    """Rebuild a tokenizer from the plain values of `to_json`.

    Raises DataError for anything that `to_json` cannot have written.
    """
    if not isinstance(values, dict):
        raise DataError(f"the tokenizer must be a table, got {type(values).__name__}; the file is damaged")
    return _FROM_JSON[require_choice(values.get("level"), tuple(_FROM_JSON), "the tokenizer's level")](values)


def grow(tokenizer: Tokenizer, chunks: Iterable[str], config: DataConfig | None = None) -> tuple[Tokenizer, np.ndarray]:
    """Add the symbols of another text, for a model that goes on learning from it.

    Known symbols keep their order, new ones stand behind them, by falling count. Returns the new
    tokenizer and, for each of its ids, the old id or -1, shape (V_new,) int64. Byte and subword know
    every text already and stay as they are. Of `config` only kind, max_vocab and min_count are used; the
    steps remain the tokenizer's own.

    >>> bigger, old_ids = grow(fit_tokenizer(["aab"], DataConfig()), ["cab"])
    >>> bigger.encode("abc").tolist(), old_ids.tolist()
    ([1, 2, 3], [0, 1, 2, -1, 3])
    """
    if not isinstance(tokenizer, CharTokenizer | WordTokenizer):
        return tokenizer, np.arange(tokenizer.vocab_size, dtype=np.int64)
    config = config or DataConfig()
    is_word = isinstance(tokenizer, WordTokenizer)
    old = tokenizer.vocabulary
    max_vocab = config.max_vocab or (max(USUAL_MAX_VOCAB["word"], old.size) if is_word else 0)
    counts = _counts(chunks, tokenizer.steps, config, is_word)
    new = extend_vocabulary(old, counts, max_vocab=max_vocab, min_count=config.min_count)
    return type(tokenizer)(new, tokenizer.steps), id_map(old, new)


def _counts(chunks: Iterable[str], steps: Steps, config: DataConfig, is_word: bool) -> dict[str, int]:
    pieces = _pieces(chunks, steps, config)
    if not is_word:
        return count_chars(pieces)
    return count_words(map(split_words, pieces) if config.kind == "records" else split_chunks(pieces))


def _pieces(chunks: Iterable[str], steps: Steps, config: DataConfig) -> Iterable[str]:
    return map(steps.apply, chunks) if config.kind == "records" else steps.apply_chunks(chunks)
