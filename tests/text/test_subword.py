import builtins
import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonho.config import DataConfig
from sonho.errors import DataError, UsageError
from sonho.text import fit_tokenizer, subword, tokenizer_from_json
from sonho.text.steps import Steps
from sonho.text.subword import BYTE_LETTERS, SubwordTokenizer, _learned_merges, _sample

TEXT = "the cat sat on the mat, the hat on the cat; 日本 日本 " * 30
CONFIG = DataConfig(level="subword", newlines="keep", max_vocab=300)


@pytest.fixture(scope="module")
def tokenizer():
    return fit_tokenizer([TEXT], CONFIG)


def test_frequent_words_are_one_token_and_ids_are_shifted_by_the_pad(tokenizer):
    pieces = [tokenizer.token_text(id) for id in tokenizer.encode("the cat!")]
    assert pieces == ["the", " cat", "!"]
    assert tokenizer.encode("!").tolist() == [1]  # the library's piece 0
    assert 258 < tokenizer.vocab_size <= 300
    assert (tokenizer.pad_id, tokenizer.eos_id, tokenizer.unk_id) == (0, tokenizer.vocab_size - 1, None)


@given(st.text() | st.text("the cat\n\t .,'日é😀1", max_size=60))
def test_any_text_is_decoded_without_loss(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


ODD = "the cat's o'clock'll 12½Ⅷ²\u00a0\u0085\u2009\x1c\x1f\t\r\n  _-日本'é\u0301😀।ß\ud800"


@given(st.text("".join(sorted(set(ODD))), max_size=80) | st.text("the cat' \n", max_size=80))
def test_without_the_library_the_ids_are_the_same(tokenizer, text):
    with pytest.MonkeyPatch.context() as patch:
        expected = tokenizer.encode(text)
        patch.setattr(subword, "library_is_installed", lambda: False)
        mine = tokenizer.encode(text)
    assert mine.tolist() == expected.tolist()
    assert mine.dtype == expected.dtype


def test_half_a_surrogate_pair_does_not_crash(tokenizer):
    assert tokenizer.decode(tokenizer.encode("a\ud800b")) == "a\ufffdb"


@pytest.mark.usefixtures("small_blocks")
@given(st.lists(st.text("the cat\n \t.,'日éa1", max_size=15), max_size=8))
def test_a_stream_of_chunks_is_encoded_as_the_whole(tokenizer, chunks):
    parts = [np.zeros(0, np.uint16), *tokenizer.encode_chunks(chunks)]
    np.testing.assert_array_equal(np.concatenate(parts), tokenizer.encode("".join(chunks)))


def test_long_texts_are_cut_only_between_words(monkeypatch):
    text = (TEXT * 3).replace(",", ",  \n\n\n  ")
    tokenizer = fit_tokenizer([text], CONFIG)
    whole = tokenizer._library.encode(text, add_special_tokens=False).ids
    monkeypatch.setattr("sonho.text.subword._PIECE_CHARS", 37)
    assert (tokenizer.encode(text) - 1).tolist() == whole


def test_the_same_text_and_seed_give_the_same_tokenizer(tokenizer):
    again = fit_tokenizer([TEXT[:500], TEXT[500:]], CONFIG, seed=0)
    assert again.to_json() == tokenizer.to_json()


def test_the_pieces_have_the_ids_that_the_library_gave_them(monkeypatch):
    made = []
    monkeypatch.setattr(subword, "_learned_merges", lambda library: made.append(library) or _learned_merges(library))
    tokenizer = fit_tokenizer([TEXT], CONFIG)
    assert made[0].get_vocab() == {piece: id for id, piece in enumerate(tokenizer._pieces)}


def test_the_sample_is_a_seeded_choice_of_bounded_size():
    pieces = [f"{number:04d}" * 5 for number in range(200)]
    sample = _sample(pieces, random.Random(7), 400)
    assert len(sample) == 20
    assert sample == sorted(sample) == _sample(pieces, random.Random(7), 400)
    assert sample != _sample(pieces, random.Random(8), 400)
    assert sample[-1] > pieces[100]  # not only the beginning
    assert _sample(pieces, random.Random(7), 10**6) == pieces


def test_only_learning_needs_the_library(tokenizer, monkeypatch):
    ids = tokenizer.encode("the hat")
    real_import = builtins.__import__

    def without_tokenizers(name, *args, **kwargs):
        if name.split(".")[0] == "tokenizers":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_tokenizers)
    monkeypatch.setattr(subword, "library_is_installed", lambda: False)
    loaded = tokenizer_from_json(json.loads(json.dumps(tokenizer.to_json())))
    assert loaded.decode(ids) == "the hat"
    assert loaded.encode("the hat").tolist() == ids.tolist()
    assert next(loaded.encode_chunks(["the ", "hat"])).tolist() == loaded.encode("the ").tolist()[:-1]
    with pytest.raises(UsageError, match=r"needs the package tokenizers; install sonho\[subword\]"):
        fit_tokenizer(["the hat"], CONFIG)


def test_counts_of_characters_and_bytes_add_up_to_the_text(tokenizer):
    ids = tokenizer.encode(TEXT + "ж😀")
    assert tokenizer.char_counts()[ids].sum() == len(TEXT) + 2
    assert tokenizer.byte_counts()[ids].sum() == len((TEXT + "ж😀").encode())
    assert len(tokenizer.char_counts()) == len(tokenizer.byte_counts()) == tokenizer.vocab_size


def test_too_small_a_vocabulary_and_an_empty_text_are_refused():
    with pytest.raises(UsageError, match="max_vocab = 257 does not hold the 256 bytes; give at least 258"):
        fit_tokenizer(["abc"], DataConfig(level="subword", max_vocab=257))
    with pytest.raises(DataError, match="the text is empty"):
        fit_tokenizer([], DataConfig(level="subword"))


def test_bytes_that_are_no_text_are_shown_in_hexadecimal():
    letters = BYTE_LETTERS[0xC3], BYTE_LETTERS[0xA9]
    tokenizer = SubwordTokenizer([letters], Steps())
    assert tokenizer.token_text(257) == "é"
    assert tokenizer.token_text(int(tokenizer.encode("ü")[0])) == "\\xc3"
