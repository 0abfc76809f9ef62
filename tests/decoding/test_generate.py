import numpy as np
import pytest

from sonho.config import DataConfig
from sonho.decoding import build_stepper, feed
from sonho.decoding.generate import RowWriter, feed_rows
from sonho.text import fit_tokenizer


@pytest.fixture
def tokenizer():
    return fit_tokenizer(["abc\n"], DataConfig(level="byte"))


def write(tokenizer, text, *, stops=(), max_tokens=99, end=()):
    writer = RowWriter(tokenizer.decoder(), stops, tokenizer.eos_id, max_tokens)
    pieces = []
    for token in [*tokenizer.encode(text).tolist(), *end]:
        pieces.append(writer.push(token))
        if writer.finish_reason:
            break
    return pieces, writer.finish_reason, writer.num_tokens


def test_a_character_of_several_tokens_is_shown_when_it_is_whole(tokenizer):
    assert write(tokenizer, "aé!") == (["a", "", "é", "!"], None, 4)


def test_a_character_cut_by_the_length_is_shown_as_a_replacement(tokenizer):
    assert write(tokenizer, "aéb", max_tokens=2) == (["a", "\ufffd"], "length", 2)


def test_the_end_symbol_ends_the_text_and_frees_what_was_held(tokenizer):
    assert write(tokenizer, "aEN", stops=["END"], end=[tokenizer.eos_id]) == (["a", "", "", "EN"], "stop", 4)


def test_the_length_frees_what_was_held(tokenizer):
    assert write(tokenizer, "aEN", stops=["END"], max_tokens=3) == (["a", "", "EN"], "length", 3)


def test_a_stop_that_comes_with_the_last_token_is_a_stop(tokenizer):
    assert write(tokenizer, "aEND", stops=["END"], max_tokens=4) == (["a", "", "", ""], "stop", 4)


def test_a_stop_inside_a_longer_token_cuts_it():
    words = fit_tokenizer(["hello there"], DataConfig(level="word"))
    assert write(words, "hello there hello", stops=["the"])[:2] == (["hello", " "], "stop")


@pytest.mark.parametrize("stops", [(), ("zz",), ("ca",)])
@pytest.mark.parametrize("level", ["byte", "char"])
@pytest.mark.parametrize(("ids", "max_tokens"), [("abcabc", 99), ("abcabc", 6), ("a", 1), ("abc", 2)])
def test_many_tokens_write_what_they_write_one_by_one(level, stops, ids, max_tokens):
    tokenizer = fit_tokenizer(["abc\n"], DataConfig(level=level))
    for end in ([], [tokenizer.eos_id]):
        tokens = [*tokenizer.encode(ids).tolist(), *end]
        one, many = (RowWriter(tokenizer.decoder(), stops, tokenizer.eos_id, max_tokens) for _ in range(2))
        text = ""
        for token in tokens:
            text += one.push(token)
            if one.finish_reason:
                break
        assert many.extend(tokens) == text
        assert (many.finish_reason, many.num_tokens) == (one.finish_reason, one.num_tokens)


def test_prompts_are_fed_alone_and_equal_ones_once(make_file, monkeypatch):
    from sonho.decoding import generate

    stepper, calls = build_stepper(make_file()), []
    monkeypatch.setattr(generate, "feed", lambda *args: calls.append(1) or feed(*args))
    prompts = [np.array([1, 2, 3]), np.array([4]), np.array([1, 2, 3])]
    logits, state = feed_rows(stepper, prompts, [None] * 3)
    assert len(calls) == 2
    for row, ids in enumerate(prompts):
        alone, after = feed(stepper, ids, stepper.initial_state(1))
        np.testing.assert_array_equal(logits[row], alone[0])
        np.testing.assert_array_equal(state[0][row], after[0][0])
