import warnings

import numpy as np
import pytest

from sonho.config import DataConfig
from sonho.decoding import SonhoWarning
from sonho.decoding.prompt import encode_prompt, ids_to_feed
from sonho.errors import DataError, UsageError
from sonho.text import fit_tokenizer


def tokenizer_of(text, **options):
    return fit_tokenizer([text], DataConfig(**options))


NOTHING = np.zeros(0, np.int64)


def test_one_warning_names_the_symbols_that_are_not_known():
    with pytest.warns(SonhoWarning) as caught:
        ids = encode_prompt(tokenizer_of("abc"), "a🙂bЖ🙂", "skip", stacklevel=1)
    assert ids.tolist() == [1, 2]
    assert [str(w.message) for w in caught] == [
        "the model does not know '🙂', 'Ж' of the prompt; what it does not know is skipped"
    ]


def test_a_warning_names_ten_symbols_and_counts_the_rest():
    with pytest.warns(SonhoWarning, match="'m' and 3 more of the prompt"):
        encode_prompt(tokenizer_of("abc"), "abcdefghijklmnop", "skip", stacklevel=1)


def test_a_warning_says_what_is_read_instead():
    with pytest.warns(SonhoWarning, match="the nearest known symbols are read instead; what has none is skipped"):
        assert encode_prompt(tokenizer_of("abc"), "ÀB", "nearest", stacklevel=1).tolist() == [1, 2]
    cut = tokenizer_of("aaabbc", max_vocab=4)
    with pytest.warns(SonhoWarning, match="what it does not know is read as <unk>"):
        assert encode_prompt(cut, "ac", "skip", stacklevel=1).tolist() == [1, cut.unk_id]


def test_a_known_prompt_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert encode_prompt(tokenizer_of("abc"), "cab", "skip", stacklevel=1).tolist() == [3, 1, 2]


def test_the_policy_error_refuses_and_names_them():
    with pytest.raises(DataError, match="Ж"):
        encode_prompt(tokenizer_of("abc"), "aЖ", "error", stacklevel=1)


def test_a_prompt_must_be_a_string():
    with pytest.raises(UsageError, match="the prompt must be a string, got int"):
        encode_prompt(tokenizer_of("abc"), 5, "skip", stacklevel=1)


@pytest.mark.parametrize(
    ("text", "opening"), [("ab\n ", "\n"), ("ab ", " "), ("ab", "a")], ids=["line end", "space", "commonest"]
)
def test_a_stream_without_a_prompt_opens_with_what_it_knows(text, opening):
    tokenizer = tokenizer_of(text)
    assert ids_to_feed(tokenizer, "stream", NOTHING).tolist() == tokenizer.encode(opening).tolist()
    assert ids_to_feed(tokenizer, "stream", np.array([2])).tolist() == [2]


def test_records_begin_after_the_end_symbol():
    tokenizer = tokenizer_of("abc")
    assert ids_to_feed(tokenizer, "records", NOTHING).tolist() == [4]
    assert ids_to_feed(tokenizer, "records", np.array([2, 1])).tolist() == [4, 2, 1]


@pytest.mark.parametrize("level", ["byte", "word", "subword"])
def test_every_level_has_an_opening(level):
    if level == "subword":
        pytest.importorskip("tokenizers")
    tokenizer = tokenizer_of("the cat and the dog\n" * 20, level=level)
    ids = ids_to_feed(tokenizer, "stream", NOTHING)
    assert len(ids) >= 1
    assert not set(ids.tolist()) & {tokenizer.pad_id, tokenizer.unk_id, tokenizer.eos_id}
