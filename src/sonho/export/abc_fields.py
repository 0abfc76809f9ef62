"""The fields of ABC that the music depends on: metre, unit length, tempo, key. The ABC standard 2.1, section 3.1."""

from __future__ import annotations

import re
from fractions import Fraction

from sonho.errors import DataError

# Sharps (flats below 0) of the major key on each letter, and what a mode adds.
SHARPS = {"F": -1, "C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5}
MODES = {"maj": 0, "ion": 0, "mix": -1, "dor": -2, "min": -3, "aeo": -3, "phr": -4, "loc": -5, "lyd": 1}
ORDER = "FCGDAEB"  # in which sharps come; flats come backwards
ACCIDENTALS = {"^^": 2, "^": 1, "=": 0, "_": -1, "__": -2}
# Where a tune says nothing: quarter notes at 160, dotted quarters of a jig at 107.
USUAL_TEMPO = Fraction(40)


def parse_metre(text: str) -> Fraction | None:
    """The length of a bar in whole notes; None for free metre. Raises DataError.

    >>> parse_metre("C|"), parse_metre("6/8"), parse_metre("(2+3)/8"), parse_metre("none")
    (Fraction(1, 1), Fraction(3, 4), Fraction(5, 8), None)
    """
    text = text.strip()
    if text in ("C", "C|"):
        return Fraction(1)
    if text.lower() == "none":
        return None
    found = re.fullmatch(r"\(?(\d{1,3}(?:\+\d{1,3})*)\)?/(1|2|4|8|16|32)", text.replace(" ", ""))
    top = sum(map(int, found[1].split("+"))) if found else 0
    if found is None or not top:
        raise DataError(f"the metre {_short(text)} is not C, C|, none or such as 6/8")
    return Fraction(top, int(found[2]))


def parse_unit(text: str) -> Fraction:
    """The unit length, such as 1/8. Raises DataError."""
    found = re.fullmatch(r"1(?:/(1|2|4|8|16|32|64))?", text.replace(" ", ""))
    if found is None:
        raise DataError(f"the unit length {_short(text)} is not such as 1/8")
    return Fraction(1, int(found[1] or 1))


def usual_unit(metre: Fraction | None) -> Fraction:
    """The unit length where a tune names none."""
    return Fraction(1, 16) if metre is not None and metre < Fraction(3, 4) else Fraction(1, 8)


def parse_tempo(text: str, unit: Fraction) -> Fraction:
    """Whole notes a minute, from `1/4=120` or `120`. Raises DataError.

    >>> parse_tempo('"Lively" 1/4=120', Fraction(1, 8)), parse_tempo("240", Fraction(1, 8))
    (Fraction(30, 1), Fraction(30, 1))
    """
    bare = re.sub(r'"[^"]*"', "", text).strip()
    if not bare:
        return USUAL_TEMPO
    found = re.fullmatch(r"(?:((?:\d+/\d+\s*)+)=)?\s*(\d{1,4})", bare)
    if found is None or not int(found[2]):
        raise DataError(f"the tempo {_short(text)} is not such as 1/4=120")
    try:
        beat = sum(map(Fraction, found[1].split()), Fraction(0)) if found[1] else unit
    except ZeroDivisionError:
        raise DataError(f"the tempo {_short(text)} is not such as 1/4=120") from None
    return (beat or unit) * int(found[2])


def parse_key(text: str) -> dict[str, int]:
    """What the key does to each letter: semitones. Raises DataError.

    >>> parse_key("D Mixolydian"), parse_key("Gm"), parse_key("none")
    ({'F': 1}, {'B': -1, 'E': -1}, {})
    """
    words = [word for word in text.split() if "=" not in word[1:]]  # not clef=bass
    bare = " ".join(words)
    if bare in ("", "none", "Hp", "HP"):
        return {"F": 1, "C": 1} if bare.lower() == "hp" else {}
    found = re.fullmatch(r"([A-G])([#b]?) ?([A-Za-z]*)((?: ?(?:\^\^|__|[\^_=])[A-Ga-g])*)", bare)
    if found is None:
        raise DataError(f"the key {_short(text)} is not such as G, Am or D Mixolydian")
    letter, sign, mode, more = found.groups()
    shift = -3 if mode == "m" else MODES.get(mode[:3].lower() or "maj")
    if shift is None or (mode[3:] and not _is_mode(mode)):
        raise DataError(f"the mode {_short(mode)} of the key is none of {', '.join(MODES)}")
    sharps = SHARPS[letter] + {"#": 7, "b": -7, "": 0}[sign] + shift
    if not -7 <= sharps <= 7:
        raise DataError(f"the key {_short(text)} has more than seven sharps or flats")
    letters = ORDER[:sharps] if sharps >= 0 else ORDER[sharps:][::-1]
    key = dict.fromkeys(letters, 1 if sharps > 0 else -1)
    for accidental, name in re.findall(r"(\^\^|__|[\^_=])([A-Ga-g])", more):
        key[name.upper()] = ACCIDENTALS[accidental]
    return key


def _is_mode(name: str) -> bool:
    names = ("major", "ionian", "mixolydian", "dorian", "minor", "aeolian", "phrygian", "locrian", "lydian")
    return any(full.startswith(name.lower()) for full in names)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")
