"""Byte-level BPE without its library, so that a model of pieces of words can be used in the base install.

Slower than the library and equal to it: the words of GPT-2's pattern, and in each the earliest merge first
(Sennrich et al. 2016, Radford et al. 2019).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

_ENDINGS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
# What Unicode calls white space; str.isspace has four control characters more.
_SPACES = frozenset(
    "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
)

Pair = tuple[int, int]


def words(text: str) -> Iterator[str]:
    """A text in parts that no merge crosses: letters, numbers or other signs, with a space before them; white space.

    >>> list(words("It's 10 o'clock,  nearly\\n"))
    ['It', "'s", ' 10', ' o', "'", 'clock', ',', ' ', ' nearly', '\\n']
    """
    start, size = 0, len(text)
    while start < size:
        end = _end_of_word(text, start)
        yield text[start:end]
        start = end


def _end_of_word(text: str, start: int) -> int:
    if text[start] == "'":
        for ending in _ENDINGS:
            if text.startswith(ending, start):
                return start + len(ending)
    begin = start
    if text[start] == " " and start + 1 < len(text) and _kind(text[start + 1]) != "Z":
        begin += 1
    kind, end = _kind(text[begin]), begin + 1
    while end < len(text) and _kind(text[end]) == kind:
        end += 1
    # The last of some white space belongs to the word that follows.
    return end - 1 if kind == "Z" and end < len(text) and end - start > 1 else end


@lru_cache(maxsize=1 << 16)
def _kind(char: str) -> str:
    """L of a letter, N of a number, Z of white space, P of anything else."""
    if char in _SPACES:
        return "Z"
    category = unicodedata.category(char)[0]
    return category if category in "LN" else "P"


class Merger:
    """From a text to the ids of its pieces. What a word becomes is remembered."""

    def __init__(self, ids: Sequence[int], merges: Mapping[Pair, tuple[int, int]]) -> None:
        """`ids` are those of the 256 bytes; `merges`: of a pair its place in the order and the id that it becomes."""
        self._ids, self._merges = ids, merges
        self._of_word = lru_cache(maxsize=1 << 16)(self._merged)

    def encode(self, text: str) -> list[int]:
        return [id for word in words(text) for id in self._of_word(word)]

    def _merged(self, word: str) -> tuple[int, ...]:
        ids = [self._ids[byte] for byte in word.encode("utf-8", "surrogatepass")]
        while len(ids) > 1:
            places = [(self._merges[pair][0], at) for at, pair in enumerate(pairwise(ids)) if pair in self._merges]
            if not places:
                break
            at = min(places)[1]
            ids[at : at + 2] = [self._merges[ids[at], ids[at + 1]][1]]
        return tuple(ids)
