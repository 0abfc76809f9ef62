import csv
import gzip
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonho.config import DataConfig
from sonho.errors import DataError, UsageError
from sonho.text import fit_tokenizer
from sonho.text.char import count_chars
from sonho.text.cutting import BLOCK_CHARS

ANY_STRING = st.text(st.characters())  # lone surrogates included


def fit(text, **settings):
    return fit_tokenizer([text], DataConfig(**settings))


def test_ids_begin_at_one_by_falling_frequency_and_end_with_eos():
    tokenizer = fit("abbccc")
    assert tokenizer.encode("cba").tolist() == [1, 2, 3]
    assert (tokenizer.pad_id, tokenizer.eos_id, tokenizer.unk_id, tokenizer.vocab_size) == (0, 4, None, 5)


def test_titles_of_ag_news_give_the_known_84_ids(corpora):
    with gzip.open(corpora / "ag_news" / "train_titles.csv.gz", "rt", encoding="utf-8", newline="") as lines:
        titles = [row["title"] for row in csv.DictReader(lines, ["label", "title", "description"])]
    tokenizer = fit_tokenizer(titles, DataConfig(kind="records"))
    assert len(titles) == 36_639
    assert tokenizer.vocab_size == 84
    assert tokenizer.encode("Hello, world!").tolist() == [47, 2, 10, 10, 5, 45, 1, 25, 5, 8, 10, 13, 78]


def test_nietzsche_in_lower_case_has_57_symbols(corpora):
    text = (corpora / "nietzsche" / "nietzsche.txt").read_text(encoding="utf-8")
    assert len(fit(text, lowercase=True).vocabulary.symbols) == 57


@given(st.text(min_size=1))
def test_what_was_learned_is_decoded_without_loss(text):
    tokenizer = fit(text, newlines="keep")
    ids = tokenizer.encode(text)
    assert (ids.shape, ids.dtype) == ((len(text),), np.uint16)
    assert tokenizer.decode(ids) == text


@given(ANY_STRING, ANY_STRING)
def test_no_text_makes_encoding_fail(learned, prompt):
    tokenizer = fit("abc" + learned)
    for policy in ("skip", "nearest"):
        assert tokenizer.encode(prompt, policy).all()
    known = set(tokenizer.vocabulary.symbols)
    assert not known & set(tokenizer.unknown_in(prompt))


def test_unknown_symbols_are_skipped_and_named_in_order():
    tokenizer = fit("abc")
    assert tokenizer.decode(tokenizer.encode("a😀bжc😀")) == "abc"
    assert tokenizer.unknown_in("a😀bжc😀") == ["😀", "ж"]
    assert tokenizer.unknown_in("cab") == []


def test_unknown_symbols_become_unk_where_the_vocabulary_was_cut():
    tokenizer = fit("aaabbcd", max_vocab=5)
    assert tokenizer.unk_id == 3
    assert tokenizer.encode("abcz").tolist() == [1, 2, 3, 3]
    assert tokenizer.encode("aBcz", "nearest").tolist() == [1, 2, 3, 3]
    assert tokenizer.encode("abcz", "error").tolist() == [1, 2, 3, 3]
    assert tokenizer.decode([1, 3, 2]) == "a<unk>b"


def test_the_policy_error_names_the_symbols():
    with pytest.raises(DataError, match=r"the vocabulary lacks 2 symbols of the text: 'q', '😀';"):
        fit("abc").encode("aq😀q", "error")
    with pytest.raises(UsageError, match="unknown = 'ignore'; choose from skip, nearest, error"):
        fit("abc").encode("a", "ignore")


@pytest.mark.parametrize(
    ("prompt", "expected"), [("É", "e"), ("é", "e"), ("ﬁ", "fi"), ("Ｆ", "f"), ("q", "Q"), ("ж", "")]
)
def test_the_policy_nearest_finds_other_case_form_or_accent(prompt, expected):
    tokenizer = fit("efiQ")
    assert tokenizer.decode(tokenizer.encode(prompt, "nearest")) == expected


def test_pad_and_eos_are_left_out_of_the_text():
    tokenizer = fit("ab")
    assert tokenizer.decode([0, 1, 3, 2, 0]) == "ab"
    assert tokenizer.decode([]) == ""


@pytest.mark.parametrize("ids", [[5], [-1], np.array([70_000])])
def test_ids_outside_the_vocabulary_are_refused(ids):
    with pytest.raises(DataError, match="is outside the vocabulary of 4"):
        fit("ab").decode(ids)
    with pytest.raises(DataError, match="must be whole numbers, got float64"):
        fit("ab").decode([1.5])


def test_more_than_65535_ids_are_stored_in_32_bits():
    def tokenizer(symbols):
        return fit("".join(map(chr, range(0x10000, 0x10000 + symbols))))

    assert (tokenizer(65_533).dtype, tokenizer(65_533).vocab_size) == (np.uint16, 65_535)
    large = tokenizer(65_534)
    assert (large.dtype, large.vocab_size) == (np.uint32, 65_536)
    assert large.decode(large.encode("\U00010000\U0001fffd")) == "\U00010000\U0001fffd"


@pytest.mark.usefixtures("small_blocks")
@given(st.lists(st.text("abж😀\r\n", max_size=6)))
def test_a_stream_of_chunks_is_encoded_as_the_whole(chunks):
    tokenizer = fit("abж\n")
    parts = [np.zeros(0, np.uint16), *tokenizer.encode_chunks(chunks)]
    np.testing.assert_array_equal(np.concatenate(parts), tokenizer.encode("".join(chunks)))


def test_texts_longer_than_a_block_are_encoded_and_counted_whole():
    text = "ab" * (BLOCK_CHARS // 2) + "жc" + "b" * 7
    tokenizer = fit(text)
    assert count_chars([text]) == {"a": BLOCK_CHARS // 2, "b": BLOCK_CHARS // 2 + 7, "ж": 1, "c": 1}
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.decode(np.concatenate(list(tokenizer.encode_chunks([text])))) == text


@given(st.lists(st.text()))
def test_characters_are_counted_in_order_of_appearance(chunks):
    text = "".join(chunks)
    assert list(count_chars(chunks).items()) == [(char, text.count(char)) for char in dict.fromkeys(text)]


@pytest.mark.parametrize(
    "sentence", ["The quick brown fox. ", "Съешь же ещё булок. ", "春眠不覺曉，處處聞啼鳥。", "a😀é"]
)
def test_a_million_characters_are_encoded_and_learned_at_20_million_a_second(sentence):
    text = (sentence * 1_000_000)[:1_000_000]
    tokenizer = fit(text)
    assert _best_seconds(lambda: tokenizer.encode(text)) < 1 / 20
    assert _best_seconds(lambda: count_chars([text] * 8)) < 8 / 20  # 1 GB in less than a minute


def _best_seconds(work, tries=4):
    def seconds():
        start = time.process_time()  # not the clock: others may be busy on the same machine
        work()
        return time.process_time() - start

    return min(seconds() for _ in range(tries))
