import pytest

from sonho.errors import DataError, UsageError
from sonho.text.vocabulary import Vocabulary, build_vocabulary, extend_vocabulary, id_map

COUNTS = {"b": 2, "x": 1, "a": 5, "c": 2, "y": 1}


def test_symbols_are_ordered_by_falling_count_and_ties_by_first_appearance():
    vocabulary = build_vocabulary(COUNTS)
    assert vocabulary.symbols == ("a", "b", "c", "x", "y")
    assert vocabulary.names == ["<pad>", "a", "b", "c", "x", "y", "<eos>"]
    assert vocabulary.unk_id is None


def test_a_cut_vocabulary_has_unk_as_last_but_one_and_is_as_large_as_asked():
    vocabulary = build_vocabulary(COUNTS, max_vocab=6)
    assert vocabulary.names == ["<pad>", "a", "b", "c", "<unk>", "<eos>"]
    assert (vocabulary.size, vocabulary.unk_id) == (6, 4)


def test_rare_symbols_are_cut_off_by_min_count():
    assert build_vocabulary(COUNTS, min_count=2).names == ["<pad>", "a", "b", "c", "<unk>", "<eos>"]


def test_limits_that_cut_nothing_bring_no_unk():
    assert build_vocabulary(COUNTS, max_vocab=7, min_count=1).unk_id is None


def test_unk_is_there_on_demand():
    assert build_vocabulary(COUNTS, always_unk=True).size == 8


def test_impossible_limits_are_named():
    with pytest.raises(UsageError, match=r"max_vocab = 3 leaves no room .* give at least 4"):
        build_vocabulary(COUNTS, max_vocab=3)
    with pytest.raises(DataError, match=r"no symbol was seen min_count = 6 times \(at most 5\)"):
        build_vocabulary(COUNTS, min_count=6)
    with pytest.raises(DataError, match="the text is empty"):
        build_vocabulary({})


def test_new_symbols_stand_behind_the_old_ones():
    old = Vocabulary(("b", "a"), has_unk=True)
    new = extend_vocabulary(old, {"z": 1, "a": 9, "y": 4})
    assert new.names == ["<pad>", "b", "a", "y", "z", "<unk>", "<eos>"]
    assert id_map(old, new).tolist() == [0, 1, 2, -1, -1, 3, 4]


def test_extending_under_a_limit_keeps_the_old_symbols_and_adds_unk_for_the_rest():
    old = Vocabulary(("b", "a"), has_unk=False)
    assert extend_vocabulary(old, {"z": 1, "y": 4, "x": 1}, max_vocab=6).names[3:] == ["y", "<unk>", "<eos>"]
    full = extend_vocabulary(old, {"z": 1}, max_vocab=2)
    assert full.symbols == ("b", "a")
    assert id_map(old, full).tolist() == [0, 1, 2, -1, 3]
    assert extend_vocabulary(old, {"a": 3}, max_vocab=2) == old


def test_counts_cover_special_tokens():
    vocabulary = Vocabulary(("é", "日本", "a"), has_unk=True)
    assert vocabulary.char_counts().tolist() == [0, 1, 2, 1, 1, 1]
    assert vocabulary.byte_counts().tolist() == [0, 2, 6, 1, 1, 1]


def test_display_escapes_what_cannot_be_seen():
    vocabulary = Vocabulary(("\n", "é", "\x00"), has_unk=False)
    assert [vocabulary.token_text(id) for id in range(5)] == ["<pad>", "\\n", "é", "\\x00", "<eos>"]
    with pytest.raises(DataError, match="token 5 is outside the vocabulary of 5"):
        vocabulary.token_text(5)
