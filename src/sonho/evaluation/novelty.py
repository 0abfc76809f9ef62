"""How much of a generated text is copied from the training text. Knows characters, not tokens.

Every run of 20 characters of the generated text is hashed; the training text streams past, a chunk at a
time, and its runs are looked up, so that memory does not grow with it. What the hashes find is compared
letter by letter.

G is the number of characters generated, C of a chunk, P of places in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

COPY_CHARS = 20  # shorter repeats are the language, not a copy
CHUNK_CHARS = 2**20
BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2**64
INVERSE = pow(BASE, -1, 2**64)

Codes = NDArray[np.uint32]
Hashes = NDArray[np.uint64]
Places = NDArray[np.intp]


@dataclass(frozen=True)
class Novelty:
    """`longest`: the longest verbatim copy, "" where none has 20 characters.

    `num_copied` of the `num_chars` generated characters lie in copies of 20 characters or more.
    """

    longest: str
    num_copied: int
    num_chars: int

    @property
    def share_copied(self) -> float:
        return self.num_copied / self.num_chars if self.num_chars else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        figures = {"longest_chars": len(self.longest), "share_copied": self.share_copied}
        return {**dataclasses.asdict(self), **figures}


def novelty(generated: str, training: Iterable[str]) -> Novelty:
    """Compare a generated text with the training text, which may come in pieces of any size.

    >>> novelty("It was a bright cold day in April.", ["a bright co", "ld day in March"]).longest
    'a bright cold day in '
    """
    own = _codes(generated)
    copies = _Grams(own, COPY_CHARS)
    seen = np.zeros(len(own), bool)  # a copied run of 20 characters begins here
    best, start = COPY_CHARS - 1, 0
    longer = copies
    for codes in _chunks(training, max(len(own) - 1, 0)):
        hashes = _Prefixes(codes)
        places, found = copies.find(hashes)
        same = _equal(codes, places, own, found, COPY_CHARS)
        seen[found[same]] = True
        places = places[same]
        while len(places):  # a longer copy begins at one of these places, or there is none
            places, found = longer.find(hashes, places)
            length = _common(codes[places[0] :], own[found[0] :]) if len(places) else 0
            if length > best:
                best, start = length, int(found[0])
                longer = _Grams(own, best + 1)
            else:
                places = places[1:]  # the hash was equal, the letters were not
    copied = copies.spread(seen)
    longest = generated[start : start + best] if best >= COPY_CHARS else ""
    return Novelty(longest, int(copied.sum()), len(own))


class _Prefixes:
    """Hashes of runs of any width: the sum of letter * BASE**i up to each place, modulo 2**64."""

    def __init__(self, codes: Codes) -> None:
        powers = _powers(BASE, len(codes))
        self._sums = np.zeros(len(codes) + 1, np.uint64)
        np.cumsum(codes * powers, out=self._sums[1:])
        self._inverse = _powers(INVERSE, len(codes))

    def runs(self, width: int, places: Places | None = None) -> Hashes:
        """The hash of the run of `width` letters at each place, or at all of them."""
        if places is None:
            count = max(len(self._inverse) - width + 1, 0)
            return (self._sums[width : width + count] - self._sums[:count]) * self._inverse[:count]
        return (self._sums[places + width] - self._sums[places]) * self._inverse[places]

    def __len__(self) -> int:
        return len(self._inverse)


class _Grams:
    """The runs of `width` characters in the generated text, to be looked up by hash."""

    def __init__(self, own: Codes, width: int) -> None:
        self._width = width
        hashes = _Prefixes(own).runs(width)
        self._hashes, self._first, self._gram = np.unique(hashes, return_index=True, return_inverse=True)
        # Most of a training text is not here: a table that stays in the cache says so at once.
        self._shift = np.uint64(64 - min(max(20, len(hashes).bit_length() + 3), 26))
        self._table = np.zeros(1 << (64 - int(self._shift)), bool)
        self._table[self._hashes >> self._shift] = True

    def find(self, text: _Prefixes, places: Places | None = None) -> tuple[Places, Places]:
        """Where in a text runs with a known hash begin (P,), and where they are in the generated text (P,).

        Looks at the given places only, or at all.
        """
        if places is not None:
            places = places[places + self._width <= len(text)]
        hashes = text.runs(self._width, places)
        maybe = np.flatnonzero(self._table[hashes >> self._shift])
        hashes = hashes[maybe]
        at = np.searchsorted(self._hashes, hashes)
        at[at == len(self._hashes)] = 0
        known = self._hashes[at] == hashes if len(self._hashes) else np.zeros(len(at), bool)
        maybe = maybe[known]
        return (maybe if places is None else places[maybe]), self._first[at[known]]

    def spread(self, seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The characters (G,) that lie in a run seen at its first place (G,), wherever else it stands."""
        starts = np.flatnonzero(seen[self._first][self._gram])
        edges = np.zeros(len(seen) + 1, np.int64)
        np.add.at(edges, starts, 1)
        np.add.at(edges, starts + self._width, -1)
        return np.cumsum(edges[:-1]) > 0


def _chunks(training: Iterable[str], overlap: int) -> Iterator[Codes]:
    """The training text in chunks that overlap by `overlap` letters: no copy is longer, so none is cut."""
    size = max(CHUNK_CHARS, 4 * overlap)
    kept = np.zeros(0, np.uint32)
    for piece in _gathered(training, size):
        codes = np.concatenate([kept, _codes(piece)])
        yield codes
        kept = codes[len(codes) - min(overlap, len(codes)) :]


def _gathered(pieces: Iterable[str], size: int) -> Iterator[str]:
    """The same text in pieces of about `size` characters."""
    waiting: list[str] = []
    length = 0
    for piece in pieces:
        for start in range(0, len(piece), size):
            waiting.append(piece[start : start + size])
            length += len(waiting[-1])
            if length >= size:
                yield "".join(waiting)
                waiting, length = [], 0
    if waiting:
        yield "".join(waiting)


def _codes(text: str) -> Codes:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _powers(base: int, count: int) -> Hashes:
    """base**0, base**1, ... modulo 2**64, (count,)."""
    powers = np.full(count, base, np.uint64)
    powers[:1] = 1
    return np.multiply.accumulate(powers) if count else powers


def _equal(a: Codes, in_a: Places, b: Codes, in_b: Places, width: int) -> NDArray[np.bool_]:
    """Whether the runs of `width` letters at each pair of places are the same, (P,)."""
    equal = np.ones(len(in_a), bool)
    for i in range(width):
        equal &= a[in_a + i] == b[in_b + i]
    return equal


def _common(a: Codes, b: Codes) -> int:
    """How many letters both begin with."""
    size = min(len(a), len(b))
    differ = a[:size] != b[:size]
    return int(differ.argmax()) if differ.any() else size
