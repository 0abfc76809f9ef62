import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonho.text.byte import ByteTokenizer
from sonho.text.steps import Steps

TOKENIZER = ByteTokenizer(Steps(newlines="keep"))


def test_every_byte_has_its_own_id_between_pad_and_eos():
    assert (TOKENIZER.vocab_size, TOKENIZER.pad_id, TOKENIZER.eos_id, TOKENIZER.unk_id) == (258, 0, 257, None)
    assert TOKENIZER.encode("\x00Aé").tolist() == [1, 66, 196, 170]


@given(st.text())
def test_any_text_is_decoded_without_loss(text):
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text
    assert TOKENIZER.unknown_in(text) == []


@pytest.mark.usefixtures("small_blocks")
@given(st.text(st.characters()), st.integers(0, 9))
def test_chunks_are_encoded_as_the_whole(text, cut):
    parts = [np.zeros(0, np.uint16), *TOKENIZER.encode_chunks([text[:cut], text[cut:]])]
    np.testing.assert_array_equal(np.concatenate(parts), TOKENIZER.encode(text))


def test_invalid_bytes_become_the_replacement_character():
    assert TOKENIZER.decode([66, 0xFF + 1, 257, 66]) == "A\ufffdA"


def test_characters_are_counted_by_their_first_byte():
    ids = TOKENIZER.encode("aé日😀")
    assert TOKENIZER.char_counts()[ids].sum() == 4
    assert TOKENIZER.byte_counts()[ids].sum() == 10
    assert TOKENIZER.char_counts()[[0, 257]].tolist() == [0, 1]
    assert len(TOKENIZER.char_counts()) == len(TOKENIZER.byte_counts()) == 258


def test_tokens_are_shown_as_letters_or_hexadecimal():
    assert [TOKENIZER.token_text(id) for id in (0, 66, 11, 0xC3 + 1, 257)] == [
        "<pad>",
        "A",
        "\\n",
        "\\xc3",
        "<eos>",
    ]
