"""What a score is compared with: n-grams, single letters and xz, on the same held-out text."""

from __future__ import annotations

import lzma
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from sonho.config import DataKind
from sonho.evaluation.evaluate import evaluate_ngram
from sonho.evaluation.kneser_ney import fit_part
from sonho.evaluation.metrics import Report
from sonho.text import Tokenizer, masked_ids

if TYPE_CHECKING:
    from sonho.data.parts import Part

TEXT_CHUNK = 2**18  # tokens turned into text at a time


@dataclass(frozen=True)
class Baseline:
    """A line of the table: `seconds` is the time to fit and score, `report` there for n-grams."""

    name: str
    bits_per_char: float
    seconds: float
    report: Report | None = None


def baselines(
    train: Part,
    held_out: Part,
    tokenizer: Tokenizer,
    data_kind: DataKind,
    *,
    orders: Collection[int] = (4, 5, 6, 7),
    max_tokens: int = 30_000_000,
    limit: int = 0,
    xz_chars: int = 4_000_000,
) -> list[Baseline]:
    """Single letters, xz and Kneser-Ney n-grams of `orders`, weakest idea first.

    The n-grams are fitted on at most `max_tokens` of `train` (about 100 bytes of memory each) and scored on
    what a network is scored on with the same `limit`. xz and single letters read the first `xz_chars`
    characters of the held-out text.
    """
    rows = []
    text = "".join(_first(part_text(held_out, tokenizer), xz_chars))
    rows.append(_timed("single letters", lambda: letter_entropy([text])))
    rows.append(_timed("xz", lambda: xz_bits_per_char(text)))
    began = time.perf_counter()
    masked = masked_ids(tokenizer, data_kind)
    vocab_size = tokenizer.vocab_size
    models = fit_part(train, orders, vocab_size, masked=masked, max_tokens=max_tokens) if orders else {}
    fitted = (time.perf_counter() - began) / max(len(models), 1)
    for order, model in sorted(models.items()):
        began = time.perf_counter()
        report = evaluate_ngram(model, held_out, tokenizer, data_kind, limit=limit)
        seconds = fitted + time.perf_counter() - began
        rows.append(Baseline(f"{order}-gram Kneser-Ney", report.bits_per_char, seconds, report))
    return rows


def letter_entropy(chunks: Iterable[str]) -> float:
    """Bits per character of a text under its own letter frequencies; nan where there is no text.

    >>> letter_entropy(["ab", "ab"])
    1.0
    """
    counted: Counter[str] = Counter()
    for chunk in chunks:
        counted.update(chunk)
    counts = np.array(list(counted.values()), np.float64)
    total = counts.sum()
    return float(-(counts / total * np.log2(counts / total)).sum()) if total else math.nan


def xz_bits_per_char(text: str) -> float:
    """Bits per character of a text as a file of `xz -9`; nan where there is no text."""
    if not text:
        return math.nan
    content = text.encode("utf-8", "surrogatepass")
    # A dictionary longer than the text finds nothing more, and preset 9 would take 64 MB of it.
    size = min(max(1 << len(content).bit_length(), 4096), 1 << 26)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": size}]
    return 8 * len(lzma.compress(content, filters=filters)) / len(text)


def part_text(part: Part, tokenizer: Tokenizer) -> Iterator[str]:
    """The text of a part in pieces; records end with a newline. Symbols without a token are not in it."""
    if part.offsets is not None:
        for start, stop in pairwise(part.offsets.tolist()):
            yield tokenizer.decode(part.tokens.read(start, stop)) + "\n"
        return
    decoder = tokenizer.decoder()
    for start in range(0, len(part.tokens), TEXT_CHUNK):
        yield decoder.push(part.tokens.read(start, start + TEXT_CHUNK))
    yield decoder.flush()


def _first(chunks: Iterable[str], num_chars: int) -> Iterator[str]:
    for chunk in chunks:
        if num_chars <= 0:
            return
        yield chunk[:num_chars]
        num_chars -= len(chunk)


def _timed(name: str, measure: Callable[[], float]) -> Baseline:
    began = time.perf_counter()
    bits = measure()
    return Baseline(name, bits, time.perf_counter() - began)
