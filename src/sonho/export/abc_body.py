"""The signs of ABC music: notes, lengths, bars. The ABC standard 2.1, section 4. Knows one line at a time.

An accidental holds for its letter in every octave to the end of the bar.
"""

from __future__ import annotations

import re
from fractions import Fraction

from sonho.errors import DataError
from sonho.export.abc_fields import ACCIDENTALS, parse_key, parse_metre, parse_tempo, parse_unit
from sonho.export.tune import Bar, Note

SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
MIDDLE_C = 60
LENGTH = r"(\d{0,4})(/*)(\d{0,4})"
PITCH = r"(\^\^|\^|__|_|=)?([A-Ga-g])([,']*)"
IN_CHORD = r"(?:\^\^|\^|__|_|=)?[A-Ga-g][,']*\d{0,4}/*\d{0,4}-?\s*"
# Notes of a tuplet that take the time of how many, where the tune does not say; 5, 7 and 9 depend on the metre.
TUPLETS = {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}
LONGEST = Fraction(64)  # whole notes: what is longer is a slip of a digit

ENDING = re.compile(r"(\d[\d,-]*)")  # behind a bar line also without its bracket

# In this order; `_read_` and the name is the method that reads it.
SIGNS = [
    (name, re.compile(pattern))
    for name, pattern in (
        ("bar", r"::|:*(?:\[\||\|)+[|\]]*:*"),
        ("ending", r"\[(\d[\d,-]*)"),
        ("inline", r"\[([A-Za-z]):([^\]]*)\]"),
        ("chord", rf"\[((?:{IN_CHORD})+)\]{LENGTH}"),
        ("note", PITCH + LENGTH),
        ("rest", r"[zx]" + LENGTH),
        ("rests", r"Z(\d{0,3})"),
        ("tuplet", r"\((\d)(?::(\d?))?(?::(\d?))?"),
        ("broken", r"(>+|<+)"),
        ("tie", r"-"),
        # Grace notes, chord names, decorations, slurs, old line ends, spacing: they take no time.
        ("silent", r'\{[^}]*\}|"[^"]*"|![A-Za-z0-9.+()<>]*!|[.~HJKLMOPRSTuv]|[()!`\\\s*]|y\d*'),
    )
]


class BodyParser:
    """Reads lines one after the other and collects bars. Raises DataError for what is no ABC."""

    def __init__(self, *, metre: Fraction | None, unit: Fraction, key: dict[str, int]) -> None:
        self._metre, self._unit, self._key = metre, unit, key
        self._bars: list[Bar] = []
        self._bar = Bar(metre, 1)
        self._number = 1
        self._accidentals: dict[str, int] = {}
        self._tuplet = (0, Fraction(1))  # notes that are left of it, and what each is multiplied with
        self._broken = Fraction(1)  # what the next note is multiplied with
        self._after_bar = False  # a digit here would be an ending
        self._stem = Fraction(0)  # of the endings that are being read

    def line(self, text: str, number: int) -> None:
        """Read a line of music."""
        place, self._number = 0, number
        if not self._bar.notes:
            self._bar.line = number
        while place < len(text):
            if self._after_bar and (found := ENDING.match(text, place)):
                self._read_ending(found)
                place = found.end()
                continue
            for name, pattern in SIGNS:
                if found := pattern.match(text, place):
                    self._after_bar = name == "bar"
                    getattr(self, f"_read_{name}")(found)
                    place = found.end()
                    break
            else:
                raise DataError(f"{text[place : place + 8]!r} at column {place + 1} is no sign of ABC")

    def field(self, letter: str, value: str) -> None:
        """Change the key, the unit length or the metre from here on; a tempo is only looked at."""
        if letter == "K":
            self._key = parse_key(value)
        elif letter == "L":
            self._unit = parse_unit(value)
        elif letter == "M":
            self._metre = parse_metre(value)
            if not self._bar.notes:
                self._bar.metre = self._metre
        elif letter == "Q":
            parse_tempo(value, self._unit)

    def finish(self) -> list[Bar]:
        """The bars; the last may lack its line."""
        if self._bar.notes:
            self._bars.append(self._bar)
        return self._bars

    def _read_bar(self, found: re.Match[str]) -> None:
        sign = found[0]
        if self._bar.notes:
            self._bar.closing = sign
            self._bars.append(self._bar)
            self._bar = Bar(self._metre, self._number, opening=sign)
        else:  # two signs with nothing between are one
            self._bar.opening += sign
            if self._bars:
                self._bars[-1].closing += sign
        self._accidentals = {}

    def _read_ending(self, found: re.Match[str]) -> None:
        turns = _turns(found[1])
        if self._bar.notes:  # the bar goes on, in every ending
            self._stem = self._bar.length
            self._bars.append(self._bar)
            self._bar = Bar(self._metre, self._number)
        elif 1 in turns:
            self._stem = Fraction(0)
        self._bar.endings, self._bar.stem = turns, self._stem

    def _read_inline(self, found: re.Match[str]) -> None:
        self.field(found[1], found[2].strip())

    def _read_note(self, found: re.Match[str]) -> None:
        pitch = self._pitch(found[1], found[2], found[3])
        self._add((pitch,), _length(found[4], found[5], found[6]))

    def _read_chord(self, found: re.Match[str]) -> None:
        inside = list(re.finditer(PITCH + LENGTH, found[1]))
        pitches = tuple(self._pitch(note[1], note[2], note[3]) for note in inside)
        first = inside[0]
        self._add(pitches, _length(first[4], first[5], first[6]) * _length(found[2], found[3], found[4]))

    def _read_rest(self, found: re.Match[str]) -> None:
        self._add((), _length(found[1], found[2], found[3]))

    def _read_rests(self, found: re.Match[str]) -> None:
        if self._metre is None or self._bar.notes:
            raise DataError("a rest of whole bars (Z) stands alone in its bar, in a tune with a metre")
        for number in range(int(found[1] or 1)):
            if number:
                self._bars.append(self._bar)
                self._bar = Bar(self._metre, self._number)
            self._bar.notes.append(Note((), self._metre))

    def _read_tuplet(self, found: re.Match[str]) -> None:
        count = int(found[1])
        if count < 2:
            raise DataError(f"a tuplet of {count} is none; the least is (2")
        compound = self._metre is not None and self._metre.denominator >= 4 and self._metre.numerator % 3 == 0
        time = int(found[2] or TUPLETS.get(count, 3 if compound else 2))
        self._tuplet = (int(found[3] or count), Fraction(time, count))

    def _read_broken(self, found: re.Match[str]) -> None:
        if not self._bar.notes:
            raise DataError(f"{found[0]!r} has no note before it in its bar")
        short = Fraction(1, 2 ** len(found[0]))
        before, self._broken = (2 - short, short) if found[0][0] == ">" else (short, 2 - short)
        self._bar.notes[-1].length *= before

    def _read_tie(self, found: re.Match[str]) -> None:
        if not self._bar.notes or not self._bar.notes[-1].pitches:
            raise DataError("a tie (-) has no note before it")
        self._bar.notes[-1].tied = True

    def _read_silent(self, found: re.Match[str]) -> None:
        """Nothing that takes time."""

    def _pitch(self, accidental: str | None, name: str, octaves: str) -> int:
        letter = name.upper()
        if accidental:
            self._accidentals[letter] = ACCIDENTALS[accidental]
        shift = self._accidentals.get(letter, self._key.get(letter, 0))
        octave = name.islower() + octaves.count("'") - octaves.count(",")
        pitch = MIDDLE_C + SEMITONES[letter] + 12 * octave + shift
        if not 0 <= pitch <= 127:
            raise DataError(f"the note {name}{octaves} is out of the range of hearing")
        return pitch

    def _add(self, pitches: tuple[int, ...], length: Fraction) -> None:
        left, factor = self._tuplet
        length *= self._unit * self._broken * (factor if left else 1)
        if not 0 < length <= LONGEST:
            raise DataError("a note lasts nothing, or longer than 64 whole notes")
        self._tuplet, self._broken = (max(left - 1, 0), factor), Fraction(1)
        self._bar.notes.append(Note(pitches, length))


def _length(top: str, slashes: str, bottom: str) -> Fraction:
    """What a note's length is times the unit.

    >>> _length("3", "/", "2"), _length("", "//", ""), _length("2", "", "")
    (Fraction(3, 2), Fraction(1, 4), Fraction(2, 1))
    """
    if (bottom and len(slashes) != 1) or (bottom and not int(bottom)):
        raise DataError(f"the length {top}{slashes}{bottom} is not such as 2, /2 or 3/2")
    return Fraction(int(top or 1), int(bottom) if bottom else 2 ** len(slashes))


def _turns(text: str) -> tuple[int, ...]:
    """The turns of an ending such as 1, 1,3 or 1-3. Raises DataError."""
    turns: list[int] = []
    for piece in text.strip(",-").split(","):
        first, _, last = piece.partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()) or len(piece) > 5:
            raise DataError(f"the ending {text!r} is not such as 1 or 1,3")
        turns += range(int(first), int(last or first) + 1)
    return tuple(turns)
