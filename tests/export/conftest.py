"""Small tunes."""

import pytest

from sonho.export.abc import parse_tune


@pytest.fixture
def tune_of():
    """tune_of("CDEF|", metre="2/4"): a tune of these bars."""

    def make(music, *, metre="2/4", unit="1/8", key="C"):
        return parse_tune(f"X:1\nT:Test\nM:{metre}\nL:{unit}\nK:{key}\n{music}")

    return make


@pytest.fixture
def notes_of(tune_of):
    """(pitches, length in eighths) of every note."""

    def notes(music, **fields):
        return [(note.pitches, float(note.length * 8)) for bar in tune_of(music, **fields).bars for note in bar.notes]

    return notes
