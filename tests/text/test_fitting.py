import copy
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonho.config import DataConfig
from sonho.errors import DataError, UsageError
from sonho.text import fit_tokenizer, grow, masked_ids, tokenizer_from_json

LEVELS = ["char", "byte", "word", "subword"]
TEXT = "Once upon a time, a princess lived; once\r\n she slept. Ça va? \x00😀 " * 4


def fit(level, chunks=(TEXT,), **settings):
    return fit_tokenizer(chunks, DataConfig(level=level, **settings))


@pytest.mark.parametrize("level", LEVELS)
def test_a_tokenizer_survives_json(level):
    tokenizer = fit(level, normalize="NFC", lowercase=True)
    stored = json.dumps(tokenizer.to_json())
    loaded = tokenizer_from_json(json.loads(stored))
    assert type(loaded) is type(tokenizer)
    assert json.dumps(loaded.to_json()) == stored
    np.testing.assert_array_equal(loaded.encode(TEXT), tokenizer.encode(TEXT))
    assert loaded.decode(loaded.encode(TEXT)) == TEXT.lower().replace("\r\n", "\n")


def test_the_json_of_a_char_vocabulary_is_readable():
    stored = json.dumps(fit("char", ["aab\n"]).to_json())
    assert stored == (
        '{"level": "char", "steps": {"normalize": "none", "lowercase": false, "newlines": "fold"}, '
        '"symbols": ["a", "b", "\\n"], "unk": false}'
    )


@pytest.mark.parametrize("level", LEVELS)
def test_chunks_are_learned_from_as_the_whole_text(level):
    pieces = [TEXT[start : start + 7] for start in range(0, len(TEXT), 7)]
    assert fit(level, pieces).to_json() == fit(level).to_json()


@pytest.mark.parametrize("level", ["char", "word", "subword"])
def test_an_empty_text_has_no_vocabulary(level):
    with pytest.raises(DataError, match="the text is empty"):
        fit(level, ["", ""])


def test_a_limit_below_the_number_of_bytes_is_refused():
    with pytest.raises(UsageError, match="max_vocab = 100 does not hold the 256 bytes"):
        fit("byte", max_vocab=100)


def damaged():
    """Pairs of stored tokenizers that no sonho wrote and words of the error."""
    char, word, subword = (fit(level).to_json() for level in ("char", "word", "subword"))
    steps = char["steps"]
    return [
        (None, "must be a table, got NoneType"),
        ([], "must be a table, got list"),
        ({}, "level is None, expected one of char, byte, word, subword"),
        ({**char, "level": "token"}, "level is 'token'"),
        ({**char, "level": ["char"]}, "level is"),
        ({**char, "extra": 1}, "unknown key 'extra'"),
        ({"level": "char", "symbols": ["a"], "unk": False}, "lacks 'steps'"),
        ({**char, "steps": None}, "steps must be a table, got NoneType"),
        ({**char, "steps": {**steps, "newlines": "drop"}}, "steps.newlines is 'drop'"),
        ({**char, "symbols": "abc"}, "the vocabulary must be a list, got str"),
        ({**char, "symbols": []}, "the vocabulary is empty"),
        ({**char, "symbols": ["a", "b", "a"]}, "holds a symbol twice"),
        ({**char, "symbols": ["a", "bc"]}, "holds 'bc', which is no symbol"),
        ({**char, "symbols": ["a", ""]}, "holds '', which is no symbol"),
        ({**char, "symbols": ["a", 7]}, "holds 7, which is no symbol"),
        ({**char, "symbols": ["a", "\ud800"]}, "which is no symbol"),
        ({**char, "unk": 0}, "unk is 0, expected true or false"),
        ({**word, "unk": False}, "the word tokenizer has no <unk>"),
        ({**word, "symbols": ["x" * 10_000]}, "which is no symbol"),
        ({**subword, "merges": {}}, "merges must be a list"),
        ({**subword, "merges": [["a"]]}, "is no pair of pieces"),
        ({**subword, "merges": [["a", 1]]}, "is no pair of pieces"),
        ({**subword, "merges": ["ab"]}, "is no pair of pieces"),
        ({**subword, "merges": [["ab", "c"]]}, "joins unknown pieces"),
        ({**subword, "merges": [["a", " "]]}, "joins unknown pieces"),
        ({**subword, "merges": [["a", "b"], ["a", "b"]]}, "is repeated"),
        ({**subword, "merges": [["a" * 2**i] * 2 for i in range(9)]}, "is longer than 64 bytes"),
    ]


@pytest.mark.parametrize(("values", "message"), damaged())
def test_a_damaged_tokenizer_is_refused_in_one_line(values, message):
    with pytest.raises(DataError, match=message) as caught:
        tokenizer_from_json(values)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([fit(level).to_json() for level in LEVELS]), st.data())
def test_no_altered_value_is_more_than_a_data_error(stored, data):
    altered = copy.deepcopy(stored)
    altered[data.draw(st.sampled_from(sorted(altered)))] = data.draw(JSON_VALUES)
    try:
        tokenizer_from_json(altered)
    except DataError:
        return


def test_growing_keeps_the_old_symbols_and_tells_where_they_were():
    old = fit("char", ["aaabbc"])
    new, old_ids = grow(old, ["zzy", "cy", "y"])
    assert new.vocabulary.names == ["<pad>", "a", "b", "c", "y", "z", "<eos>"]
    assert old_ids.tolist() == [0, 1, 2, 3, -1, -1, 4]
    assert old_ids.dtype == np.int64


def test_growing_by_words_respects_records_and_limits():
    old = fit("word", ["a b"])
    config = DataConfig(kind="records", max_vocab=6)
    new, old_ids = grow(old, ["c d", "c", "a"], config)
    assert new.vocabulary.names == ["<pad>", "a", " b", "c", "<unk>", "<eos>"]
    assert old_ids.tolist() == [0, 1, 2, -1, 3, 4]


def test_growing_uses_the_steps_of_the_tokenizer():
    new, _ = grow(fit("char", ["ab"], lowercase=True), ["ABC"])
    assert new.vocabulary.symbols == ("a", "b", "c")


@pytest.mark.parametrize("level", LEVELS)
def test_growing_by_what_is_known_changes_nothing(level):
    old = fit(level)
    new, old_ids = grow(old, [TEXT])
    assert new.to_json() == old.to_json()
    assert old_ids.tolist() == list(range(old.vocab_size))


def test_pad_is_always_masked_and_eos_where_texts_have_no_ends():
    tokenizer = fit("char", ["abc"])
    assert masked_ids(tokenizer, "records") == [0]
    assert masked_ids(tokenizer, "stream") == [0, 4]
    assert masked_ids(tokenizer, "windows") == [0, 4]


def test_importing_the_room_loads_numpy_and_no_other_large_package():
    code = "import sys, sonho.text; print([m for m in sys.argv[1:] if m in sys.modules])"
    heavy = ["torch", "pydantic", "rich", "tokenizers", "pyarrow", "zstandard"]
    shown = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
