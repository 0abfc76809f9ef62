"""ABC notation: tunes out of a text, and a tune out of its lines. The ABC standard 2.1, one voice.

    tune = parse_tune("X:1\\nT:Rise\\nM:2/4\\nK:C\\nCDEF|")

A header is valid when its first field is X: with a whole number, a T: follows, K: is the last, and metre, unit
length, tempo and key can be read. Knows fields and lines; the signs within a line are read in abc_body.py.
"""

from __future__ import annotations

import re
from fractions import Fraction

from sonho.errors import DataError
from sonho.export.abc_body import BodyParser
from sonho.export.abc_fields import USUAL_TEMPO, parse_key, parse_metre, parse_tempo, parse_unit, usual_unit
from sonho.export.tune import Tune

# Not `G:|`, which is a note before a repeat.
FIELD = re.compile(r"([A-Za-z]):(?![|:])\s*(.*)")
# Fields that change the music in the midst of a tune; the others say something to the reader.
MUSICAL = "KLMQ"


class AbcError(DataError):
    """A tune that cannot be read: its line, and what is wrong there."""


def split_tunes(text: str) -> list[str]:
    """The tunes of a text: paragraphs between blank lines, comments by themselves left out.

    >>> split_tunes("% mine\\n\\nX:1\\nK:C\\nC\\n\\n\\nX:2\\n")
    ['X:1\\nK:C\\nC', 'X:2']
    """
    paragraphs = re.split(r"\n\s*\n", text.replace("\r\n", "\n").strip())
    return [tune.strip("\n") for tune in paragraphs if any(not line.startswith("%") for line in tune.split("\n"))]


def parse_tune(text: str) -> Tune:
    """Read one tune. Raises AbcError with the line, counted from 1, and what is wrong in it."""
    lines = [_without_comment(line) for line in text.split("\n")]
    number = 1
    try:
        fields, length = _header(lines)
        metre = parse_metre(fields["M"]) if "M" in fields else None
        unit = parse_unit(fields["L"]) if "L" in fields else usual_unit(metre)
        tempo = parse_tempo(fields["Q"], unit) if "Q" in fields else USUAL_TEMPO
        body = BodyParser(metre=metre, unit=unit, key=parse_key(fields["K"]))
        for number, line in enumerate(lines[length:], start=length + 1):
            found = FIELD.fullmatch(line)
            if found is None:
                body.line(line, number)
            elif found[1] in MUSICAL:
                body.field(found[1], found[2])
            elif found[1] == "V":
                raise DataError("voices (V:) cannot be read; only tunes of one voice")
    except AbcError:
        raise
    except DataError as error:
        raise AbcError(f"line {number}: {error}") from None
    bars = body.finish()
    if not any(note.pitches for bar in bars for note in bar.notes):
        raise AbcError(f"line {len(lines)}: the tune has no notes")
    return Tune(fields, bars, Fraction(tempo))


def _header(lines: list[str]) -> tuple[dict[str, str], int]:
    """The header's fields, and how many lines it has. Raises AbcError."""
    fields: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue  # a comment
        found = FIELD.fullmatch(line)
        if found is None:
            raise AbcError(f"line {number}: music before the key (K:), which ends the header")
        letter, value = found[1], found[2].strip()
        if not fields and not (letter == "X" and value.isdecimal()):
            raise AbcError(f"line {number}: a tune begins with X: and a whole number")
        if letter == "X" and fields:
            raise AbcError(f"line {number}: another X: in the header; a blank line goes between tunes")
        if len(fields) == 1 and letter != "T":
            raise AbcError(f"line {number}: a title (T:) comes after X:, not {letter}:")
        fields.setdefault(letter, value)
        if letter == "K":
            return fields, number
    raise AbcError(f"line {len(lines)}: the header has no key (K:)")


def _without_comment(line: str) -> str:
    return re.sub(r"(?<!\\)%.*", "", line).rstrip()
