"""Pieces of words as tokens: byte-level BPE, which knows every text.

Learning and encoding are done by the `tokenizers` library. Where it is not installed, encoding is done here; decoding
and storing never need it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from heapq import heappop, heappush
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sonho.config import Level, UnknownPolicy
from sonho.errors import DataError, UsageError
from sonho.text.byte import display_bytes, starts_char
from sonho.text.cutting import recut, slices
from sonho.text.incremental import IncrementalDecoder, Utf8Decoder, as_ids
from sonho.text.merging import Merger
from sonho.text.steps import Steps
from sonho.text.strict import require_keys, require_list
from sonho.text.tokenizer import EOS, PAD, Tokenizer, check_policy

SAMPLE_CHARS = 20_000_000
"""Text that the merges are learned from: more changes them hardly, and takes time and memory."""

LONGEST_TOKEN_BYTES = 64
MOST_MERGES = 1_000_000

_PIECE_CHARS = 1 << 14  # one piece of work for a thread of the library
_BLOCK_CHARS = 1 << 18  # handed over at once: the library needs a hundred bytes and more for each token

Merge = tuple[str, str]


def _byte_letters() -> list[str]:
    """The library's visible letter for each byte, indexed by byte."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return [chr(byte if byte in visible else 0x100 + hidden.index(byte)) for byte in range(256)]


BYTE_LETTERS = _byte_letters()
_SURROGATES = re.compile("[\ud800-\udfff]")
_BYTE_OF = {letter: byte for byte, letter in enumerate(BYTE_LETTERS)}


class SubwordTokenizer(Tokenizer):
    """Byte-level BPE. Ids: `<pad>`, 256 bytes, merged pieces, `<eos>`; the library's ids are one less.

    The merges, in the order they were learned, are all that there is to know. They are written in the
    library's alphabet, in which every byte has a visible letter and a space is Ġ.
    """

    level: Level = "subword"

    def __init__(self, merges: list[Merge], steps: Steps) -> None:
        self.merges = merges
        self.steps = steps
        self._pieces = _pieces_of(merges)  # as the library spells them
        self._bytes = [b"", *(bytes(map(_BYTE_OF.__getitem__, piece)) for piece in self._pieces), b""]
        self.vocab_size = len(self._bytes)
        self.unk_id = None

    def encode(self, text: str, unknown: UnknownPolicy = "skip") -> np.ndarray:
        check_policy(unknown)
        text = self.steps.apply(text)
        if len(text) <= _PIECE_CHARS:
            return self._ids_of(text)
        return np.concatenate(list(self._encode_pieces([text])))

    def encode_chunks(self, chunks: Iterable[str]) -> Iterator[np.ndarray]:
        return self._encode_pieces(self.steps.apply_chunks(chunks))

    def unknown_in(self, text: str) -> list[str]:
        return []

    def decode(self, ids: ArrayLike) -> str:
        return self._to_bytes(ids).decode("utf-8", "replace")

    def decoder(self) -> IncrementalDecoder:
        return Utf8Decoder(self._to_bytes)

    def token_text(self, id: int) -> str:
        if not 0 <= id < self.vocab_size:
            raise DataError(f"token {id} is outside the vocabulary of {self.vocab_size}")
        if id in (self.pad_id, self.eos_id):
            return PAD if id == self.pad_id else EOS
        return display_bytes(self._bytes[id])

    def char_counts(self) -> np.ndarray:
        counts = [sum(map(starts_char, piece)) for piece in self._bytes]
        return np.array([*counts[:-1], 1], np.int64)

    def byte_counts(self) -> np.ndarray:
        return np.array([*map(len, self._bytes[:-1]), 1], np.int64)

    def to_json(self) -> dict[str, Any]:
        merges = [list(merge) for merge in self.merges]
        return {"level": self.level, "steps": self.steps.to_json(), "merges": merges}

    @classmethod
    def from_json(cls, values: Any) -> SubwordTokenizer:
        """Rebuild from `to_json`. Raises DataError unless everything is as it should be."""
        values = require_keys(values, ("level", "steps", "merges"), "the subword tokenizer")
        merges = require_list(values["merges"], MOST_MERGES, "the list of merges")
        return cls(_checked_merges(merges), Steps.from_json(values["steps"]))

    def _encode_pieces(self, pieces: Iterable[str]) -> Iterator[np.ndarray]:
        return map(self._ids_of, recut(slices(pieces, _BLOCK_CHARS), _between_words))

    def _ids_of(self, block: str) -> np.ndarray:
        if not library_is_installed():
            ids = np.array(self._merger.encode(_SURROGATES.sub("\ufffd", block)), self.dtype)
            ids += self.dtype.type(1)
            return ids
        if len(block) <= _PIECE_CHARS:  # a prompt or a record: waking the library's threads would take longer
            encodings = [self._library.encode(block, add_special_tokens=False)]
        else:
            pieces = list(recut(slices([block], _PIECE_CHARS), _between_words))
            encodings = self._library.encode_batch_fast(pieces, add_special_tokens=False)
        ids = np.concatenate([np.array(encoding.ids, self.dtype) for encoding in encodings])
        ids += self.dtype.type(1)  # the library knows no <pad>
        return ids

    def _to_bytes(self, ids: ArrayLike) -> bytes:
        return b"".join(map(self._bytes.__getitem__, as_ids(ids, self.vocab_size).tolist()))

    @cached_property
    def _merger(self) -> Merger:
        id_of = {piece: id for id, piece in enumerate(self._pieces)}
        merges = {
            (id_of[left], id_of[right]): (rank, id_of[left + right]) for rank, (left, right) in enumerate(self.merges)
        }
        return Merger([id_of[letter] for letter in BYTE_LETTERS], merges)

    @cached_property
    def _library(self) -> Any:
        tokenizers = _import_tokenizers()
        vocabulary = {piece: id for id, piece in enumerate(self._pieces)}
        return _byte_level(tokenizers, tokenizers.models.BPE(vocab=vocabulary, merges=self.merges))


def fit_subword(pieces: Iterable[str], steps: Steps, *, max_vocab: int, min_count: int, seed: int) -> SubwordTokenizer:
    """Learn merges from a seeded sample of a text until there are `max_vocab` ids.

    A pair seen once is never merged: it would store the text instead of learning from it.
    """
    sample = _sample(pieces, random.Random(seed), SAMPLE_CHARS)
    if not sample:
        raise DataError("the text is empty, so there is no vocabulary to learn; give a text with letters in it")
    tokenizers = _import_tokenizers()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=max_vocab - 2,
        min_frequency=max(2, min_count),
        initial_alphabet=BYTE_LETTERS,
        max_token_length=LONGEST_TOKEN_BYTES,
        show_progress=False,
    )
    library = _byte_level(tokenizers, tokenizers.models.BPE())
    library.train_from_iterator(sample, trainer)
    return SubwordTokenizer(_learned_merges(library), steps)


def _byte_level(tokenizers: Any, model: Any) -> Any:
    library = tokenizers.Tokenizer(model)
    library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return library


def _learned_merges(library: Any) -> list[Merge]:
    import json

    merges = json.loads(library.to_str())["model"]["merges"]
    # Older versions of the library write a pair as one string.
    return [(left, right) for left, right in (m.split(" ") if isinstance(m, str) else m for m in merges)]


def _pieces_of(merges: Iterable[Merge]) -> list[str]:
    """Every piece in the order of the library's ids: bytes by letter, then what the merges make."""
    return list(dict.fromkeys([*sorted(BYTE_LETTERS), *(left + right for left, right in merges)]))


def _checked_merges(merges: list[Any]) -> list[Merge]:
    known = set(BYTE_LETTERS)
    checked: dict[Merge, None] = {}
    for merge in merges:
        if not isinstance(merge, list) or len(merge) != 2 or not all(isinstance(part, str) for part in merge):
            raise DataError(f"the merge {repr(merge)[:60]} is no pair of pieces; the file is damaged")
        left, right = merge
        if left not in known or right not in known or (left, right) in checked:
            raise DataError(f"the merge {repr(merge)[:60]} is repeated or joins unknown pieces; the file is damaged")
        if len(left + right) > LONGEST_TOKEN_BYTES:  # a hostile file could double a piece with every merge
            raise DataError(f"the merge {repr(merge)[:60]} is longer than {LONGEST_TOKEN_BYTES} bytes")
        known.add(left + right)
        checked[left, right] = None
    return list(checked)


def _sample(pieces: Iterable[str], rng: random.Random, most_chars: int) -> list[str]:
    """A uniform choice of blocks of text, at most `most_chars` long together, in one pass."""
    heap: list[tuple[float, int, str]] = []  # the blocks with the smallest random keys, largest on top
    total = 0
    for number, block in enumerate(slices(pieces, _PIECE_CHARS)):
        heappush(heap, (-rng.random(), number, block))
        total += len(block)
        while total > most_chars and len(heap) > 1:
            total -= len(heappop(heap)[2])
    return [block for _, _, block in sorted(heap, key=lambda item: item[1])]


def _between_words(before: str, after: str) -> bool:
    """Whether the library's pattern for words always ends one here, whatever stands around."""
    if before.isalpha():
        return not after.isalpha()
    return after in " \n\t" and not before.isspace()


@cache
def library_is_installed() -> bool:
    """Whether pieces of words can be learned here."""
    return find_spec("tokenizers") is not None


def _import_tokenizers() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise UsageError("learning pieces of words needs the package tokenizers; install sonho[subword]") from None
    return tokenizers
