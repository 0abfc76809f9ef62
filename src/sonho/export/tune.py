"""A parsed tune: notes in bars, bars in parts. Knows lengths and pitches, not notation.

Lengths are fractions of a whole note; pitches are MIDI numbers (60 = middle C).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction


@dataclass
class Note:
    """One or more pitches sounding together; none is a rest."""

    pitches: tuple[int, ...]
    length: Fraction
    tied: bool = False  # goes on in the next note of the same pitch


@dataclass
class Bar:
    """The notes between two bar lines, of which `opening` and `closing` are the symbols."""

    metre: Fraction | None  # length of a full bar; None: free
    line: int  # of the tune's text, counted from 1
    opening: str = ""
    closing: str = ""
    endings: tuple[int, ...] = ()  # an ending begins with this bar: played on these turns
    stem: Fraction = Fraction(0)  # what stands before an ending that begins in the midst of a bar
    notes: list[Note] = field(default_factory=list)

    @property
    def length(self) -> Fraction:
        return self.stem + sum((note.length for note in self.notes), Fraction(0))


@dataclass(frozen=True)
class Part:
    """Bars between two boundaries: repeat signs, double bars, beginnings of endings, the tune's ends."""

    bars: list[Bar]

    @property
    def endings(self) -> tuple[int, ...]:
        return self.bars[0].endings

    @property
    def begins_repeat(self) -> bool:
        return self.bars[0].opening.endswith(":")

    @property
    def ends_repeat(self) -> bool:
        return self.bars[-1].closing.startswith(":")


@dataclass(frozen=True)
class Tune:
    """One tune; `fields` are those of its header, a letter each."""

    fields: dict[str, str]
    bars: list[Bar]
    whole_notes_a_minute: Fraction

    @property
    def title(self) -> str:
        return self.fields.get("T", "")

    @property
    def key(self) -> str:
        return self.fields.get("K", "")

    def parts(self) -> list[Part]:
        """The bars cut at every boundary."""
        parts: list[list[Bar]] = []
        for bar in self.bars:
            if not parts or bar.endings or _is_boundary(parts[-1][-1].closing) or ":" in bar.opening:
                parts.append([])
            parts[-1].append(bar)
        return [Part(bars) for bars in parts]


def _is_boundary(closing: str) -> bool:
    """Whether a bar line is more than a plain one.

    >>> [_is_boundary(line) for line in ("|", "||", ":|", "|:", "|]")]
    [False, True, True, True, True]
    """
    return ":" in closing or "]" in closing or "[" in closing or closing.count("|") > 1
