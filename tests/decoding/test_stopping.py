import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonho.decoding.stopping import StopMatcher


def run(stops, pieces):
    matcher = StopMatcher(stops)
    shown = [matcher.push(piece) for piece in pieces]
    return shown, matcher.flush(), matcher.stopped


def by_definition(stops, text):
    """The stop whose end comes first cuts the text; of those that end together, the longest."""
    for end in range(1, len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            return text[: end - max(map(len, ending))], True
    return text, False


def test_a_stop_across_pieces_is_not_shown():
    assert run(["\n\n"], ["one\n", "\ntwo"]) == (["one", ""], "", True)


def test_what_only_looked_like_a_stop_is_shown_as_soon_as_that_is_certain():
    assert run(["END"], ["an E", "N", "d"]) == (["an ", "", "ENd"], "", False)


def test_the_beginning_of_a_stop_is_shown_when_the_text_is_over():
    assert run(["END"], ["the EN"]) == (["the "], "EN", False)


@pytest.mark.parametrize(
    ("stops", "text", "shown"),
    [
        (["abc", "b"], "xabc", "xa"),
        (["abc", "c"], "xabc", "x"),
        (["aab"], "aaab", "a"),
        (["ab", "ba"], "xbab", "x"),
    ],
)
def test_of_several_stops_the_one_that_ends_first_counts_and_then_the_longest(stops, text, shown):
    for pieces in ([text], list(text)):
        parts, _, stopped = run(stops, pieces)
        assert ("".join(parts), stopped) == (shown, True)


def test_nothing_comes_after_a_stop():
    matcher = StopMatcher(["."])
    assert [matcher.push("a.b"), matcher.push("c"), matcher.flush()] == ["a", "", ""]


def test_without_stops_everything_passes():
    assert run([], ["a", "b"]) == (["a", "b"], "", False)


@given(
    stops=st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
    pieces=st.lists(st.text("ab", max_size=4), max_size=8),
)
def test_where_the_pieces_are_cut_changes_nothing(stops, pieces):
    shown, rest, stopped = run(stops, pieces)
    assert ("".join(shown) + rest, stopped) == by_definition(stops, "".join(pieces))


@given(
    stops=st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3),
    text=st.text("ab", max_size=20),
)
def test_no_part_of_a_stop_is_ever_shown_too_early(stops, text):
    expected, _ = by_definition(stops, text)
    matcher, so_far = StopMatcher(stops), ""
    for char in text:
        so_far += matcher.push(char)
        assert expected.startswith(so_far)
