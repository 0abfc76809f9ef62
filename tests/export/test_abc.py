import pytest

from sonho.errors import DataError
from sonho.export.abc import AbcError, parse_tune, split_tunes
from sonho.export.abc_fields import parse_key, parse_metre, parse_tempo


def pitches(notes):
    return [note[0][0] for note in notes]


def lengths(notes):
    return [note[1] for note in notes]


def test_letters_commas_and_apostrophes_are_octaves_around_middle_c(notes_of):
    assert pitches(notes_of("C c C, c' B")) == [60, 72, 48, 84, 71]


def test_the_key_and_accidentals_shift_a_note_to_the_end_of_its_bar(notes_of):
    assert pitches(notes_of("F ^G G g =F|F G", key="D")) == [66, 68, 68, 80, 65, 66, 67]
    assert pitches(notes_of("_B ^^C __D")) == [70, 62, 60]


@pytest.mark.parametrize(
    ("key", "letters"),
    [("G", "F"), ("A Dorian", "F"), ("D Mixolydian", "F"), ("Em", "F"), ("Bb", "BE"), ("F# Minor", "FCG")],
)
def test_a_key_names_the_letters_that_it_shifts(key, letters):
    assert "".join(parse_key(key)) == letters


def test_lengths_are_multiples_and_fractions_of_the_unit(notes_of):
    assert lengths(notes_of("A A2 A/ A// A3/2 A/4")) == [1, 2, 0.5, 0.25, 1.5, 0.25]


def test_broken_rhythm_lengthens_one_note_and_shortens_the_other(notes_of):
    assert lengths(notes_of("A>B A<B A2>>B2")) == [1.5, 0.5, 0.5, 1.5, 3.5, 0.5]


def test_tuplets_squeeze_as_many_notes_as_they_say(notes_of):
    assert lengths(notes_of("(3ABc d (2ef (3:2:2A2B"))[:4] == pytest.approx([2 / 3] * 3 + [1])
    assert lengths(notes_of("(2ef", metre="6/8")) == [1.5, 1.5]
    assert sum(lengths(notes_of("(3:2:2A2B c"))) == pytest.approx(3)


def test_chords_sound_together_and_share_a_length(notes_of):
    assert notes_of("[CEG]2 [C2E2]") == [((60, 64, 67), 2), ((60, 64), 2)]


def test_what_takes_no_time_is_passed_over(notes_of):
    assert lengths(notes_of('"Am"A {g}B !trill!c (de) .f ~g y|! % rest of the line')) == [1] * 7


def test_rests_of_notes_and_of_whole_bars_take_time(notes_of, tune_of):
    assert notes_of("z2 A|x") == [((), 2), ((69,), 1), ((), 1)]
    assert [bar.length for bar in tune_of("A4|Z2|A4|").bars] == [tune_of("A4").bars[0].length] * 4


def test_fields_within_the_music_change_it_from_there_on(tune_of):
    tune = tune_of("FG AB|[M:3/4][K:D]F2 G2 A2|\nL:1/4\nF2 G|")
    assert [float(bar.metre) for bar in tune.bars] == [0.5, 0.75, 0.75]
    assert [bar.notes[0].pitches[0] for bar in tune.bars] == [65, 66, 66]
    assert [float(bar.length) for bar in tune.bars] == [0.5, 0.75, 0.75]


def test_a_missing_unit_length_follows_from_the_metre():
    assert [float(parse_tune(f"X:1\nT:t\nM:{m}\nK:C\nA").bars[0].length) for m in ("2/4", "6/8")] == [1 / 16, 1 / 8]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("T:t\nK:C\nA", "line 1: a tune begins with X: and a whole number"),
        ("X:one\nT:t\nK:C\nA", "line 1: a tune begins with X:"),
        ("X:1\nK:C\nA", "line 2: a title .* not K:"),
        ("X:1\nT:t\nM:4/4", "line 3: the header has no key"),
        ("X:1\nT:t\nABc|\nK:C", "line 3: music before the key"),
        ("X:1\nT:t\nX:2\nK:C\nA", "line 3: another X:"),
        ("X:1\nT:t\nK:C\nABc|A;", "line 4: ';' at column 6 is no sign of ABC"),
        ("X:1\nT:t\nK:C\nA/0", r"line 4: the length /0 is not such as"),
        ("X:1\nT:t\nK:C\nA0", "line 4: a note lasts nothing"),
        ("X:1\nT:t\nK:C\n>A", "line 4: '>' has no note before it"),
        ("X:1\nT:t\nK:C\n-A", "line 4: a tie"),
        ("X:1\nT:t\nK:C\n[CE", "line 4: "),
        ("X:1\nT:t\nK:C\n[1,99-100A", "line 4: the ending"),
        ("X:1\nT:t\nM:4/5\nK:C\nA", "the metre '4/5' is not"),
        ("X:1\nT:t\nK:H\nA", "the key 'H' is not"),
        ("X:1\nT:t\nK:C Foolish\nA", "the mode 'Foolish'"),
        ("X:1\nT:t\nL:1/3\nK:C\nA", "the unit length '1/3'"),
        ("X:1\nT:t\nK:C\n|z4|", "line 4: the tune has no notes"),
        ("X:1\nT:t\nK:C\nV:2\nA", "voices"),
        ("X:1\nT:t\nK:C\n(0AB", "a tuplet of 0"),
        ("X:1\nT:t\nK:C\nC,,,,,,,,,", "out of the range"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text, message):
    with pytest.raises(AbcError, match=message):
        parse_tune(text)


@pytest.mark.parametrize(
    "text", ["[1,9-A", "A9999/1", "(9A", "A>", "(3", "|[1", "[1", "::", "K:", "[M:1/8]", "\\", "Z9"]
)
def test_no_line_of_music_brings_anything_but_a_tune_or_an_error(tune_of, text):
    with pytest.raises(DataError):
        tune_of(text + "\n;")


def test_metres_and_tempos_that_cannot_be_are_named():
    for read, value in (
        (parse_metre, "0/4"),
        (parse_metre, "x"),
        (lambda q: parse_tempo(q, parse_metre("1/8")), "1/0=9"),
    ):
        with pytest.raises(DataError, match=value):
            read(value)


def test_a_text_falls_into_tunes_at_blank_lines():
    assert split_tunes("% a book\n\nX:1\r\nT:a\r\n\r\n \n\nX:2\n\n") == ["X:1\nT:a", "X:2"]


def parses(text):
    try:
        parse_tune(text)
    except AbcError:
        return False
    return True


def test_most_tunes_of_the_corpora_parse(corpora):
    for name, least in (("abc_irish/irish.abc", 0.98), ("abc_nottingham/jigs.abc", 0.99)):
        tunes = split_tunes((corpora / name).read_text())
        assert sum(map(parses, tunes)) / len(tunes) >= least
