import random
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonho.config import DataConfig
from sonho.text import fit_tokenizer
from sonho.text.word import LONGEST_TOKEN, MOST_CHARS, count_words, split_chunks, split_words

MIXED = st.text(st.sampled_from("ab1'’ \n\t.é\u0301ж中か😀\u200d\x00ש"), max_size=40)


def fit(text, **settings):
    return fit_tokenizer([text], DataConfig(level="word", **settings))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Hello, world!", ["Hello", ",", " world", "!"]),
        (" don't 'stop'", [" don't", " '", "stop", "'"]),
        ("a  b\n\nc \n d ", ["a", " ", " b", "\n\n", "c", " \n", " d", " "]),
        ("cafe\u0301 l’été", ["cafe\u0301", " l’été"]),
        ("मुझे हिन्दी", ["मुझे", " हिन्दी"]),
        ("東京タワーへ行く。", ["東", "京", "タワー", "へ", "行", "く", "。"]),
        ("snake_case 3.14", ["snake_case", " 3", ".", "14"]),
        ("שלום (עולם)", ["שלום", " (", "עולם", ")"]),
        ("❤\ufe0f👍🏽", ["❤\ufe0f", "👍", "🏽"]),
        ("\u0301 \u0301", ["\u0301", " \u0301"]),
        ("", []),
    ],
)
def test_text_is_cut_into_words_punctuation_and_white_space(text, tokens):
    assert split_words(text) == tokens


@given(st.text() | MIXED)
def test_tokens_joined_are_the_text(text):
    assert "".join(split_words(text)) == text


@given(st.text(min_size=1) | MIXED.filter(bool))
def test_what_was_learned_is_decoded_without_loss(text):
    tokenizer = fit(text, newlines="keep")
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.unknown_in(text) == []


@given(st.text(st.characters()))
def test_no_text_makes_encoding_fail(text):
    tokenizer = fit("Some words, and some more.")
    for policy in ("skip", "nearest", "error"):
        assert tokenizer.encode(text, policy).all()


def test_unknown_words_become_unk():
    tokenizer = fit("the cat and the dog")
    assert (tokenizer.unk_id, tokenizer.eos_id) == (tokenizer.vocab_size - 2, tokenizer.vocab_size - 1)
    assert tokenizer.decode(tokenizer.encode("the bird and the cat")) == "the<unk> and the cat"
    assert tokenizer.unknown_in("the bird, the bird") == [" bird", ","]


def test_the_policy_nearest_finds_words_in_other_case_or_without_accent():
    tokenizer = fit("The cafe was new. the")
    assert tokenizer.decode(tokenizer.encode("THE CAFÉ WAS old", "nearest")) == "The cafe was<unk>"
    assert tokenizer.decode(tokenizer.encode("cafe", "nearest")) == " cafe"


def test_the_vocabulary_is_cut_by_size_and_count():
    text = "a a a b b c"
    assert fit(text, max_vocab=5).vocabulary.symbols == (" a", " b")
    assert fit(text, min_count=2).vocabulary.symbols == (" a", " b")
    assert fit(text).vocabulary.symbols == (" a", " b", "a", " c")
    many = " ".join(map(str, range(30_500)))
    assert fit(many).vocab_size == 30_000


@pytest.mark.parametrize("seed", range(30))
def test_a_stream_of_chunks_is_cut_as_the_whole(seed):
    rng = random.Random(seed)
    parts = [
        "ab",
        "don't",
        "'",
        " ",
        "  ",
        "\n",
        "中か",
        "é\u0301",
        "x" * 70,
        " " * 70,
        "😀\ufe0f",
        "a'b'c'd'e",
    ]
    text = "".join(rng.choice(parts) for _ in range(rng.randrange(400)))
    cuts = sorted(rng.randrange(len(text) + 1) for _ in range(rng.randrange(9)))
    chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert list(chain.from_iterable(split_chunks(chunks))) == split_words(text)


def test_an_endless_word_is_cut_so_that_memory_is_bounded():
    tokens = split_words("x" * 1000 + " " * 1000)
    assert max(map(len, tokens)) == MOST_CHARS
    assert max(map(len, split_words("x'" * 1000 + ("y" * 99 + "'") * 30))) <= LONGEST_TOKEN


@pytest.mark.usefixtures("small_blocks")
def test_streamed_ids_equal_those_of_the_whole():
    text = "Is this a dagger\nwhich I see before me? " * 40
    tokenizer = fit(text)
    chunks = [text[start : start + 17] for start in range(0, len(text), 17)]
    np.testing.assert_array_equal(np.concatenate(list(tokenizer.encode_chunks(chunks))), tokenizer.encode(text))


def test_records_are_words_apart_even_without_space_between():
    tokenizer = fit_tokenizer(["one two", "three"], DataConfig(level="word", kind="records"))
    assert tokenizer.vocabulary.symbols == ("one", " two", "three")
    assert fit_tokenizer(["one two", "three"], DataConfig(level="word")).vocabulary.symbols == (
        "one",
        " twothree",
    )


def test_counting_forgets_rare_words_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr("sonho.text.word._MOST_COUNTED", 10)
    counts = count_words([["often", f"rare{i}"] for i in range(100)])
    assert counts["often"] == 100
    assert len(counts) <= 11


def test_counts_of_characters_and_bytes_add_up_to_the_text():
    text = "Ein schöner Tag, 日本!"
    tokenizer = fit(text)
    ids = tokenizer.encode(text)
    assert tokenizer.char_counts()[ids].sum() == len(text)
    assert tokenizer.byte_counts()[ids].sum() == len(text.encode())
