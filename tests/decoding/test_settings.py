import dataclasses
from typing import get_type_hints

import numpy as np
import pytest

from sonho.decoding import Options, Settings
from sonho.decoding.settings import ConditionOptions, make_settings
from sonho.errors import UsageError


def test_options_and_settings_name_the_same_things():
    names = {f.name for f in dataclasses.fields(Settings)}
    assert names | set(get_type_hints(ConditionOptions)) == set(get_type_hints(Options))
    for name in names:
        assert name in (Settings.__doc__ or "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.1}, r"temperature must be a finite number of at least 0, got -0\.1"),
        ({"temperature": float("nan")}, "temperature must be a finite number of at least 0, got nan"),
        ({"temperature": float("inf")}, "temperature must be a finite number of at least 0, got inf"),
        ({"temperature": "hot"}, "temperature must be a number, got 'hot'"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0"),
        ({"max_tokens": 2.5}, r"max_tokens must be a whole number, got 2\.5"),
        ({"top_k": 0}, "top_k must be at least 1, got 0; leave it out to keep every token"),
        ({"top_p": 0}, "top_p must be above 0 and at most 1, got 0"),
        ({"top_p": None}, "top_p must be a number, got None"),
        ({"min_p": 1}, "min_p must be above 0 and below 1, got 1"),
        ({"typical_p": 2}, "typical_p must be above 0 and at most 1, got 2"),
        ({"repetition_penalty": -1}, "repetition_penalty must be a finite number above 0, got -1"),
        ({"repetition_window": -1}, "repetition_window must be at least 0, got -1"),
        ({"no_repeat_ngram": 0}, "no_repeat_ngram must be at least 1, got 0; leave it out to allow repeats"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"seed": 2**63}, "seed must be at most 9223372036854775807, got 9223372036854775808"),
        ({"seed": "x"}, "seed must be a whole number, got 'x'"),
        ({"stop": ""}, "stop must be strings that are not empty, got ''"),
        ({"stop": ["a", ""]}, r"stop must be strings that are not empty, got \['a', ''\]"),
        ({"stop": [3]}, r"stop must be strings that are not empty, got \[3\]"),
        ({"stop": 3}, "stop cannot be 3"),
        ({"logit_bias": ["a"]}, r"logit_bias cannot be \['a'\]"),
        ({"forced": "ab"}, "forced cannot be 'ab'"),
        ({"unknown": "ignore"}, "unknown must be one of skip, nearest, error, got 'ignore'"),
        ({"banned": "abc"}, "banned must be a list of symbols, got the string 'abc'"),
        ({"temprature": 1}, "unknown option 'temprature'; did you mean 'temperature'?"),
        ({"xyzzy": 1}, "unknown option 'xyzzy'$"),
    ],
)
def test_an_option_that_cannot_be_is_refused_in_one_line(options, message):
    with pytest.raises(UsageError, match=message) as error:
        make_settings(options)
    assert "\n" not in str(error.value)


def test_numbers_of_numpy_are_numbers():
    settings = Settings(seed=np.int64(3), temperature=np.float32(0.5), top_k=np.int32(2))
    assert settings.temperature_at(0) == 0.5


def test_switched_off_processors_are_not_run():
    assert Settings().truncation() == []
    assert Settings().penalties() == []
    assert len(Settings(top_k=3, top_p=0.5, min_p=0.1, typical_p=0.5).truncation()) == 4
    assert len(Settings(repetition_penalty=2, frequency_penalty=1, presence_penalty=1).penalties()) == 3
