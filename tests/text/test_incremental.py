import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonho.config import DataConfig
from sonho.text import fit_tokenizer

TEXT = "né à 日本, 😀😀 the the\u0301 <unk> Ωmega שלום " * 3
LEVELS = ["char", "byte", "word", "subword"]


@pytest.fixture(scope="module")
def tokenizers():
    return {level: fit_tokenizer([TEXT], DataConfig(level=level, newlines="keep")) for level in LEVELS}


@pytest.mark.parametrize("level", LEVELS)
@given(data=st.data())
def test_pieces_and_the_rest_joined_are_the_decoded_text(tokenizers, level, data):
    tokenizer = tokenizers[level]
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=40))
    decoder = tokenizer.decoder()
    pieces = []
    while ids_left := ids[sum(map(len, pieces)) :]:
        pieces.append(ids_left[: data.draw(st.integers(1, 5))])
    assert "".join([decoder.push(piece) for piece in pieces] + [decoder.flush()]) == tokenizer.decode(ids)


@pytest.mark.parametrize("level", LEVELS)
def test_no_piece_holds_half_a_character(tokenizers, level):
    tokenizer = tokenizers[level]
    decoder = tokenizer.decoder()
    shown = ""
    for id in tokenizer.encode(TEXT):
        shown += decoder.push([id])
        assert TEXT.startswith(shown)
    assert shown == TEXT
    assert decoder.flush() == ""


def test_the_bytes_of_a_character_wait_for_the_last_one(tokenizers):
    decoder = tokenizers["byte"].decoder()
    assert [decoder.push([byte + 1]) for byte in "😀!".encode()] == ["", "", "", "😀", "!"]


def test_an_unfinished_character_is_replaced_as_soon_as_that_is_certain(tokenizers):
    decoder = tokenizers["byte"].decoder()
    assert decoder.push([0xE6 + 1, 0x97 + 1]) == ""
    assert decoder.push([ord("a") + 1]) == "\ufffda"
    assert decoder.push([0xF0 + 1]) == ""
    assert decoder.flush() == "\ufffd"
    assert decoder.flush() == ""


def test_a_single_id_may_be_pushed(tokenizers):
    tokenizer = tokenizers["char"]
    assert tokenizer.decoder().push(tokenizer.encode("é")[0]) == "é"
