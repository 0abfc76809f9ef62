"""A tune as it sounds: repeats and endings played out, ties joined, seconds in place of lengths."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from sonho.export.tune import Bar, Part, Tune


@dataclass(frozen=True)
class Sounding:
    """Some pitches from a moment on, for a while; both in seconds."""

    start: float
    seconds: float
    pitches: tuple[int, ...]


def soundings(tune: Tune) -> list[Sounding]:
    """Every note of the tune, in the order played; a note is tied to one of the same pitches behind it."""
    seconds_of = 60 / tune.whole_notes_a_minute  # of a whole note
    made: list[tuple[Fraction, Fraction, tuple[int, ...]]] = []
    at, tied = Fraction(0), False
    for bar in played_bars(tune.parts()):
        for note in bar.notes:
            if tied and made and made[-1][2] == note.pitches:
                start, length, pitches = made.pop()
                made.append((start, length + note.length, pitches))
            elif note.pitches:
                made.append((at, note.length, note.pitches))
            tied = note.tied
            at += note.length
    return [Sounding(float(start * seconds_of), float(length * seconds_of), p) for start, length, p in made]


def played_bars(parts: list[Part]) -> list[Bar]:
    """The bars in the order played.

    A repeat sign leads back to where its section began: the last `|:`, or behind the last repeat or double bar. A
    section is played twice, or as often as its endings say.
    """
    played: list[Bar] = []
    number, section, turn = 0, 0, 1
    while number < len(parts):
        part = parts[number]
        if part.endings and turn not in part.endings:
            number += 1
            continue
        behind_endings = number > 0 and bool(parts[number - 1].endings) and not part.endings
        if number > section and (part.begins_repeat or behind_endings):
            section, turn = number, 1
        played += part.bars
        again = part.ends_repeat and (turn == 1 or _has_ending(parts, number + 1, turn + 1))
        number += 1
        if again:
            number, turn = section, turn + 1
        elif part.ends_repeat or part.endings or _closes_section(parts, number):
            section, turn = number, 1
    return played


def _has_ending(parts: list[Part], number: int, turn: int) -> bool:
    return number < len(parts) and turn in parts[number].endings


def _closes_section(parts: list[Part], number: int) -> bool:
    """Whether a double bar, and no ending, stands before the part of this number."""
    return parts[number - 1].bars[-1].closing == "||" and not (number < len(parts) and parts[number].endings)
