import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonho.errors import DataError
from sonho.text.strip import restore_text, strip_text


@pytest.mark.parametrize("how", ["accents", "case", "both"])
@given(text=st.text(max_size=40))
def test_what_is_stripped_can_be_put_back(how, text):
    stripped, tags = strip_text(text, how)
    assert len(stripped) == len(tags)
    assert restore_text(stripped, tags) == unicodedata.normalize("NFC", text)
    assert strip_text(stripped, how)[0] == stripped


def test_letters_lose_their_marks_and_keep_their_places():
    stripped, tags = strip_text("Á, ação!", "accents")
    assert stripped == "A, acao!"
    assert [tag for tag in tags if tag != "keep"] == ["acute accent", "cedilla", "tilde"]


def test_a_mark_that_a_letter_cannot_carry_is_left_out():
    assert restore_text("x!", ["cedilla", "tilde"]) == "x!"
    with pytest.raises(DataError, match="'nonsense', which is no combining mark"):
        restore_text("a", ["nonsense"])
