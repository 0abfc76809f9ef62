"""What a search may change is said in the words of the settings, and refused in one line."""

import json

import pytest

from sonho.config import build_config
from sonho.errors import UsageError
from sonho.training.space import Choices, Range, default_space, from_stored, parse_space, planned_point, to_stored


def test_commas_separate_choices_and_two_dots_the_ends_of_a_range():
    space = parse_space(["model.cell=lstm,gru", "model.hidden_size=32..128", "training.learning_rate=0.01..0.1"])
    assert space["model.cell"] == Choices(("lstm", "gru"))
    assert space["model.hidden_size"] == Range(32, 128, whole=True)
    assert space["training.learning_rate"] == Range(0.01, 0.1)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("model.cell=lstm,foo", "model.cell = 'foo'"),
        ("model.dropout=0.2..1.5", "less than 1"),
        ("model.hidden_size=64..32", "begins with the smaller number"),
        ("model.cell=gru..lstm", "between two numbers"),
    ],
)
def test_values_that_cannot_be_are_named(argument, words):
    with pytest.raises(UsageError, match=words):
        parse_space([argument])


def test_the_usual_space_lies_around_the_plan_and_holds_it():
    config = build_config({"model": {"hidden_size": 384, "dropout": 0.31}, "data": {"batch_size": 23, "bptt": 32}})
    space = default_space(config, set())
    point = planned_point(config, space)
    assert point.keys() == space.keys()
    assert point["training.learning_rate"] == 0.02
    assert space["model.hidden_size"].values == (192, 256, 384, 512, 640, 768)
    assert space["data.batch_size"].values == (11, 23, 46)


def test_what_is_fixed_is_not_searched_and_an_unknown_optimiser_keeps_its_own_rate():
    space = default_space(build_config({}), {"model.cell", "training.optimizer"})
    assert "model.cell" not in space
    assert "training.learning_rate" not in space


def test_a_space_survives_json():
    space = default_space(build_config({}), set())
    assert from_stored(json.loads(json.dumps(to_stored(space)))) == space
