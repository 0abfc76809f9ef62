import time
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sonho.errors import DataError
from sonho.text.cutting import REACH_CHARS
from sonho.text.steps import Steps, _starts_afresh

ALL_STEPS = [
    Steps(normalize, lowercase, newlines)
    for normalize in ("none", "NFC", "NFKC")
    for lowercase in (False, True)
    for newlines in ("keep", "fold")
]
# Letters whose neighbours matter: sigmas, marks of three classes, jamo, half-width kana, a styled sigma.
TRICKY = st.text("aΑΣσ.'\u00ad \r\n\u0301\u0323\u0345İ\u1112\u1161\u11ab가ﾊﾞ\u09c7\u09be𝚺ﬁK1", max_size=12)


pytestmark = pytest.mark.usefixtures("small_blocks")


@given(st.sampled_from(ALL_STEPS), st.lists(TRICKY | st.text(max_size=5), max_size=6))
@example(Steps(newlines="fold"), ["a\r", "\nb\r", "\r", "\n"])
@example(Steps("NFC"), ["e", "\u0301"])
@example(Steps("NFC"), ["\u1112", "\u1161", "\u11ab"])
@example(Steps(lowercase=True), ["ΑΣ", "Α"])
@example(Steps(lowercase=True), ["Α", "Σ"])
@example(Steps(lowercase=True), ["ΑΣ", ".", "Α"])
@example(Steps("NFC", lowercase=True), ["İ\u0327"])
def test_a_text_in_chunks_is_treated_as_the_whole_text(steps, chunks):
    assert "".join(steps.apply_chunks(chunks)) == steps.apply("".join(chunks))


@given(st.sampled_from(ALL_STEPS), TRICKY | st.text())
@example(Steps("NFC", lowercase=True), "İ\u0327")  # the dot above goes behind the cedilla
def test_steps_applied_twice_change_nothing_more(steps, text):
    once = steps.apply(text)
    assert steps.apply(once) == once


def test_no_character_that_joins_with_the_one_before_counts_as_a_fresh_start():
    pairs = [unicodedata.decomposition(chr(code)).split() for code in range(0x20000)]
    seconds = {chr(int(pair[1], 16)) for pair in pairs if len(pair) == 2 and pair[0][0] != "<"}
    assert len(seconds) > 60
    assert not [second for second in seconds if _starts_afresh("x", second)]


def test_line_ends_fold_to_line_feeds():
    assert Steps().apply("a\r\nb\rc\n\r\r\nd") == "a\nb\nc\n\n\nd"
    assert Steps(newlines="keep").apply("a\r\nb\r") == "a\r\nb\r"


def test_the_steps_that_are_asked_for_are_done():
    assert Steps().apply("E\u0301ﬁ") == "E\u0301ﬁ"
    assert Steps("NFC").apply("E\u0301ﬁ") == "Éﬁ"
    assert Steps("NFKC").apply("E\u0301ﬁ") == "Éfi"
    assert Steps("NFC", lowercase=True).apply("E\u0301 ΟΔΟΣ") == "é οδος"


def test_half_a_surrogate_pair_becomes_the_replacement_character():
    assert Steps().apply("a\ud83d\ude00\udfffb") == "a\ufffd\ufffd\ufffdb"


def test_endless_marks_pass_without_filling_the_memory():
    pieces = list(Steps("NFC").apply_chunks(["e" + "\u0301" * 500] + ["\u0301" * 500] * 30))
    assert sum(map(len, pieces)) == 500 * 31  # the first mark joined the letter
    assert max(map(len, pieces)) <= REACH_CHARS + 500


def test_many_marks_are_normalised_in_linear_time():
    marks = "\u0301\u0323" * 30_000
    start = time.process_time()
    assert len(Steps("NFC").apply("e" + marks)) >= len(marks)
    assert time.process_time() - start < 1.5  # sorted all at once they take 3 seconds, ten times as many 5 minutes


@pytest.mark.parametrize("steps", ALL_STEPS)
def test_steps_survive_json(steps):
    assert Steps.from_json(steps.to_json()) == steps


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("normalize", "NFD", "expected one of none, NFC, NFKC"),
        ("normalize", ["NFC"], "expected one of"),
        ("lowercase", 1, "expected true or false"),
        ("newlines", None, "expected one of keep, fold"),
        ("extra", 1, "has the unknown key 'extra'"),
    ],
)
def test_wrong_steps_are_refused(key, value, message):
    with pytest.raises(DataError, match=message):
        Steps.from_json({**Steps().to_json(), key: value})
