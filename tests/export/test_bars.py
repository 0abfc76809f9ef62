import pytest

from sonho.export.bars import bar_problems
from sonho.export.playing import played_bars, soundings


@pytest.mark.parametrize(
    "music",
    [
        "CDEF|GABc|c4|]",
        "A|CDEF|GAB:|",  # pickup and the bar before the repeat make one
        "A|CDEF|GABc|",  # the last bar holds the next turn's pickup
        "CDEF|GAB:|c|CDEF|GAB:|",  # a bar cut by a repeat sign, its rest behind it
        "|:CDEF|[1GABc:|[2c4|]",
        "|:A|CDEF|[1GABc:|[2GAB|]",
        "|:CDEF|GA[1Bc:|[2c2|]",  # the bar goes on in both endings
        "A||CDEF|GAB|]",  # a pickup by itself
        "CDEF|[M:3/4]CDEFGA|]",
    ],
)
def test_bars_that_add_up(tune_of, music):
    assert bar_problems(tune_of(music)) == []


@pytest.mark.parametrize(
    ("music", "length"),
    [
        ("CDEF|GAB|c4|]", "3/8"),  # too short in the middle
        ("CDEF|GABcd|c4|]", "5/8"),
        ("CDEFG|GABc|]", "5/8"),  # no pickup is longer than a bar
        ("A|CDEF|GA:|", "1/4"),  # does not complete its pickup
        ("CDEF|GAB|]", "3/8"),  # nothing to complete
        ("|:CDEF|[1GABc:|[2c|]", "1/8"),
        ("|:CDEF|GA[1Bc:|[2c|]", "3/8"),
    ],
)
def test_bars_that_do_not_add_up_are_named_by_line(tune_of, music, length):
    problems = bar_problems(tune_of(music))
    assert problems == [f"line 6: a bar of {length} where the metre is 1/2"]


def test_without_a_metre_nothing_adds_up(tune_of):
    assert bar_problems(tune_of("CDEF|GABc|", metre="none"))[0] == "line 6: there is no metre to add up to"


def letters(tune):
    names = {60: "C", 62: "D", 64: "E", 65: "F", 67: "G", 69: "A"}
    return "".join(names[note.pitches[0]] for bar in played_bars(tune.parts()) for note in bar.notes)


@pytest.mark.parametrize(
    ("music", "played"),
    [
        ("C|D|E|]", "CDE"),
        ("C|D:|E|]", "CDCDE"),
        ("C|:D|E:|F|]", "CDEDEF"),
        ("|:C|D::E|F:|", "CDCDEFEF"),
        ("|:C|[1D:|[2E|]", "CDCE"),
        ("|:C|[1D:|[2E:|[3F|]", "CDCECF"),
        ("|:C|[1,2D:|[3E|]F|]", "CDCDCEF"),
        ("|:C|[1D:|[2E||F|G:|", "CDCEFGFG"),
        ("|:C|[1D:|E|F:|", "CDCEFEF"),
        ("C||D|E:|", "CDEDE"),
        ("C:|D:|", "CCDD"),
        ("|:C D[1E:|[2F|]", "CDECDF"),
    ],
)
def test_repeats_and_endings_are_played_out(tune_of, music, played):
    assert letters(tune_of(music)) == played


def test_tied_notes_sound_as_one_and_rests_take_time(tune_of):
    notes = soundings(tune_of("C2-C2|C2zD|"))  # an eighth lasts 60 / 40 / 8 seconds
    assert [(n.start, n.seconds, n.pitches) for n in notes] == [
        (0.0, pytest.approx(0.75), (60,)),
        (pytest.approx(0.75), pytest.approx(0.375), (60,)),
        (pytest.approx(1.3125), pytest.approx(0.1875), (62,)),
    ]
