"""Cutting a stream of text into pieces at places where a cut changes nothing.

Knows strings and positions, not what is done with the pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

BLOCK_CHARS = 1 << 20
"""Characters worked on at once: large enough for NumPy, small enough for any memory."""

REACH_CHARS = 4096
"""How far back from the end of a piece a safe place is looked for."""

CanCut = Callable[[str, str], bool]
"""Whether a text may be cut between two characters: (the one before, the one after)."""


def in_blocks(chunks: Iterable[str], size: int = BLOCK_CHARS) -> Iterator[str]:
    """Join small chunks and slice large ones, so that none is longer than `size` characters.

    >>> list(in_blocks(["ab", "c", "defgh"], size=3))
    ['abc', 'def', 'gh']
    """
    held: list[str] = []
    held_chars = 0
    for chunk in chunks:
        held.append(chunk)
        held_chars += len(chunk)
        if held_chars < size:
            continue
        text = "".join(held)
        whole = held_chars - held_chars % size
        yield from (text[start : start + size] for start in range(0, whole, size))
        held, held_chars = [text[whole:]], held_chars - whole
    if held_chars:
        yield "".join(held)


def slices(chunks: Iterable[str], size: int) -> Iterator[str]:
    """Slice chunks longer than `size` characters; short ones stay apart.

    >>> list(slices(["abcde", "f"], size=3))
    ['abc', 'de', 'f']
    """
    for chunk in chunks:
        yield from (chunk[start : start + size] for start in range(0, len(chunk), size))


def recut(chunks: Iterable[str], can_cut: CanCut) -> Iterator[str]:
    """Move the borders between chunks back to places where `can_cut` allows one.

    The end of each chunk is held back until the next one shows what follows it. At most about
    `REACH_CHARS` are held: a longer stretch without a safe place is cut anywhere, so that a stream
    made of nothing else still passes in little memory.

    >>> list(recut(["one tw", "o three"], lambda before, after: after == " "))
    ['one', ' two', ' three']
    """
    held = ""
    for chunk in chunks:
        text = held + chunk
        cut = _last_cut(text, can_cut)
        if cut:
            yield text[:cut]
        held = text[cut:]
    if held:
        yield held


def _last_cut(text: str, can_cut: CanCut) -> int:
    nearest = max(1, len(text) - REACH_CHARS)
    for cut in range(len(text) - 1, nearest - 1, -1):
        if can_cut(text[cut - 1], text[cut]):
            return cut
    return len(text) - 1 if nearest > 1 else 0
