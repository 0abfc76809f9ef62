"""A classifier or tagger on held-out parts: probabilities against the labels, and what should be beaten.

The trainer validates with this too, so that both give the same figure. Shapes: R records, L tokens, C labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from sonho.data.parts import Part
from sonho.decoding.labels import LabelRunner
from sonho.errors import DataError
from sonho.evaluation.labels import LabelReport, label_report, word_counts
from sonho.storage.model_file import ModelFile
from sonho.text import Tokenizer

HASHED = 1 << 18  # places for features of the naive Bayes
SMOOTHING = 0.5
ORDERS = {"char": (1, 2, 3), "byte": (1, 2, 3), "word": (1, 2), "subword": (1, 2)}


def evaluate_labels(model_file: ModelFile, part: Part) -> LabelReport:
    """Score a part that was made with the model's own tokenizer and labels. Raises DataError without labels."""
    runner = LabelRunner(model_file)
    if model_file.model.task == "classify":
        if part.labels is None:
            raise DataError("the texts have no labels to compare with; name their column with --label-column")
        return label_report(model_file.labels, part.labels, runner.records(part))
    if part.tags is None:
        raise DataError("the texts have no tags to compare with")
    scored = part.tags >= 0
    probabilities = runner.tokens(part)
    right = probabilities.argmax(axis=1) == part.tags
    words = word_counts(word_numbers(part, model_file.tokenizer), right)
    return label_report(model_file.labels, part.tags[scored], probabilities[scored], words=words)


def word_numbers(part: Part, tokenizer: Tokenizer) -> np.ndarray:
    """The number of the word to which each token belongs, -1 outside words, (L,). Words are runs of letters, digits."""
    inside = _letters(tokenizer)[part.tokens.read(0, part.num_tokens)]
    begins = inside & ~np.concatenate([[False], inside[:-1]])
    return np.where(inside, np.cumsum(begins) - 1, -1)


def _letters(tokenizer: Tokenizer) -> np.ndarray:
    """Which ids are letters or digits, (V,) bool."""
    texts = [tokenizer.decode([i]) for i in range(tokenizer.vocab_size)]
    return np.array([text.isalnum() for text in texts])


def label_baselines(train: Part, held_out: Part, tokenizer: Tokenizer, num_labels: int) -> dict[str, float]:
    """Accuracies to beat: the commonest label, and naive Bayes or, for tags, a dictionary of words (share of words)."""
    if train.labels is not None and held_out.labels is not None:
        common = np.bincount(train.labels, minlength=num_labels).argmax()
        orders = ORDERS[tokenizer.level]
        predicted = naive_bayes(train, held_out, tokenizer.eos_id, num_labels, orders)
        return {
            "commonest label": float((held_out.labels == common).mean()),
            f"naive Bayes, {orders[-1]}-grams": float((predicted == held_out.labels).mean()),
        }
    return dictionary_baselines(train, held_out, tokenizer)


def naive_bayes(train: Part, held_out: Part, eos_id: int, num_labels: int, orders: tuple[int, ...]) -> np.ndarray:
    """Multinomial naive Bayes on hashed n-grams of tokens: the number of the likeliest label of each record, (R,)."""
    assert train.labels is not None
    counts = np.full((num_labels, HASHED), SMOOTHING)
    for label, features in zip(train.labels.tolist(), _features(train, eos_id, orders), strict=True):
        np.add.at(counts[label], features, 1.0)
    scores = np.log(counts / counts.sum(axis=1, keepdims=True)).T  # (features, C)
    prior = np.log(np.bincount(train.labels, minlength=num_labels) + SMOOTHING)
    rows = [int((scores[features].sum(axis=0) + prior).argmax()) for features in _features(held_out, eos_id, orders)]
    return np.array(rows, np.int64)


def _features(part: Part, eos_id: int, orders: tuple[int, ...]) -> Iterator[np.ndarray]:
    """The hashed n-grams of each record, its beginning marked by <eos> as its end is."""
    assert part.offsets is not None
    for start, stop in pairwise(part.offsets.tolist()):
        ids = np.append(np.uint64(eos_id), part.tokens.read(start, stop).astype(np.uint64))
        grams = []
        for order in orders:
            mixed = np.full(max(len(ids) - order + 1, 0), np.uint64(order))
            for place in range(order):
                mixed = (mixed ^ ids[place : place + len(mixed)]) * np.uint64(0x9E3779B97F4A7C15)  # wraps at 64 bits
            grams.append((mixed >> np.uint64(46)).astype(np.int64))
        yield np.concatenate(grams)


def dictionary_baselines(train: Part, held_out: Part, tokenizer: Tokenizer) -> dict[str, float]:
    """Shares of words right when nothing is restored, and when each word is as it most often was in training."""
    seen: dict[bytes, dict[bytes, int]] = {}
    for word, tags in _words(train, tokenizer):
        own = seen.setdefault(word, {})
        own[tags] = own.get(tags, 0) + 1
    usual = {word: max(forms, key=lambda form: (forms[form], form)) for word, forms in seen.items()}
    assert train.tags is not None
    common = int(np.bincount(train.tags[train.tags >= 0]).argmax())
    total = left = found = 0
    for word, tags in _words(held_out, tokenizer):
        plain = np.full(len(tags) // 8, common, np.int64).tobytes()
        total += 1
        left += tags == plain
        found += tags == usual.get(word, plain)
    return {"left as it is": left / total, "usual form of each word": found / total} if total else {}


def _words(part: Part, tokenizer: Tokenizer) -> Iterator[tuple[bytes, bytes]]:
    """The tokens and the tags of every word."""
    assert part.tags is not None
    tokens, numbers = part.tokens.read(0, part.num_tokens), word_numbers(part, tokenizer)
    places = np.flatnonzero(numbers >= 0)
    for own in np.split(places, np.flatnonzero(np.diff(numbers[places])) + 1):
        if len(own):
            yield tokens[own].tobytes(), part.tags[own].tobytes()
