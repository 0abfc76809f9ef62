import numpy as np
import pytest

from sonho.config import DataConfig
from sonho.decoding import Settings
from sonho.decoding.symbols import forced_ids, logit_biases
from sonho.errors import UsageError
from sonho.text import fit_tokenizer


@pytest.fixture
def tokenizer():
    return fit_tokenizer(["aaabbc"], DataConfig())  # pad, a, b, c, eos


@pytest.fixture
def words():
    return fit_tokenizer(["the cat and the dog"], DataConfig(level="word"))


def test_no_wishes_cost_nothing(tokenizer):
    assert logit_biases(Settings(), tokenizer, "stream") is None


def test_wishes_add_up(tokenizer):
    settings = Settings(logit_bias={"a": 1.5, 2: -np.inf, "<eos>": -2.0}, banned=["c"])
    assert logit_biases(settings, tokenizer, "records").tolist() == [0, 1.5, -np.inf, -np.inf, -2]


def test_allowed_rules_out_the_rest_but_lets_a_record_end(tokenizer):
    biases = logit_biases(Settings(allowed=["a", 3]), tokenizer, "records")
    assert np.flatnonzero(np.isfinite(biases)).tolist() == [1, 3, 4]


def test_the_unknown_symbol_needs_leave(words):
    assert np.flatnonzero(logit_biases(Settings(), words, "stream")).tolist() == [words.unk_id]
    assert logit_biases(Settings(allow_unknown=True), words, "stream") is None
    assert forced_ids(Settings(forced={0: "<unk>"}), words, "stream") == {0: words.unk_id}


def test_banning_what_the_model_lacks_is_no_mistake(tokenizer):
    assert logit_biases(Settings(banned=["🙂"]), tokenizer, "stream") is None


def test_forced_symbols_have_positions(tokenizer):
    assert forced_ids(Settings(forced={0: "b", 7: 1}), tokenizer, "stream") == {0: 2, 7: 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"banned": ["ab"]}, "banned takes single symbols; 'ab' is 2 tokens of this model"),
        ({"banned": [""]}, "banned takes single symbols; '' is 0 tokens"),
        ({"banned": [5]}, "banned takes strings or ids from 0 to 4, got 5"),
        ({"banned": [True]}, "banned takes strings or ids from 0 to 4, got True"),
        ({"banned": [1.0]}, "banned takes strings or ids from 0 to 4, got 1.0"),
        ({"allowed": ["x"]}, "allowed names 'x', which the model does not know"),
        ({"logit_bias": {"x": 1.0}}, "logit_bias names 'x', which the model does not know"),
        ({"logit_bias": {"a": np.inf}}, "logit_bias of 'a' must be a number or -inf, got inf"),
        ({"logit_bias": {"a": "1"}}, "logit_bias of 'a' must be a number or -inf, got '1'"),
        ({"banned": ["a", "b", "c"]}, "every symbol is ruled out; loosen banned, allowed or logit_bias"),
        ({"allowed": []}, "every symbol is ruled out"),
        ({"forced": {-1: "a"}}, "forced maps positions from 0 to symbols, got the position -1"),
        ({"forced": {0: "<pad>"}}, "forced symbol '<pad>' can never be drawn from this model"),
        ({"forced": {0: "<eos>"}}, "forced symbol '<eos>' can never be drawn from this model"),
        ({"forced": {0: "<unk>"}}, "forced names '<unk>', which the model does not know"),
    ],
)
def test_a_wish_that_cannot_be_is_refused_in_one_line(tokenizer, options, message):
    turn = forced_ids if "forced" in options else logit_biases
    with pytest.raises(UsageError, match=message) as error:
        turn(Settings(**options), tokenizer, "stream")
    assert "\n" not in str(error.value)
