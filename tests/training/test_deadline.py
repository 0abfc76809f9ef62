"""A budget of minutes holds for the whole command, not for the learning alone."""

import time

import pytest

from sonho.training.checkpoint import load_checkpoint
from sonho.training.run import train

SETTINGS = {"model": {"hidden_size": 8}, "training": {"minutes": 0.05, "threads": 1, "networks": 1}}


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    # More than is learned by heart in these seconds, where a run would end early.
    path.write_text("".join(f"The {i}th line of a text of lines.\n" for i in range(2000)))
    return str(path)


def test_what_went_before_is_taken_from_the_learning(text, tmp_path):
    result = train([text], tmp_path / "run", SETTINGS, began=time.perf_counter() - 1.0)
    planned = load_checkpoint(tmp_path / "run")[0]["seconds"]
    assert 0.4 * 3.0 <= planned <= 2.0
    assert result.seconds >= planned


def test_learning_gets_a_share_however_late_it_is(text, tmp_path):
    told = []
    train([text], tmp_path / "run", SETTINGS, began=time.perf_counter() - 100.0, say=told.append)
    assert load_checkpoint(tmp_path / "run")[0]["seconds"] == pytest.approx(0.4 * 3.0)
    assert [line for line in told if "learning gets 1 seconds all the same" in line]


def test_a_resumed_run_keeps_its_seconds_unless_it_is_given_others(text, tmp_path):
    began = time.perf_counter() - 1.0
    train([text], tmp_path / "run", SETTINGS, began=began)
    planned = load_checkpoint(tmp_path / "run")[0]["seconds"]
    resumed = train([], tmp_path / "run", resume=True)
    assert load_checkpoint(tmp_path / "run")[0]["seconds"] == planned
    longer = train([], tmp_path / "run", {"training": {"minutes": 0.06}}, resume=True)
    assert load_checkpoint(tmp_path / "run")[0]["seconds"] == pytest.approx(3.6)
    assert resumed.seconds < longer.seconds < 5.0
    by_steps = train([], tmp_path / "run", {"training": {"steps": 1}}, resume=True)
    assert by_steps.finished


def test_several_networks_share_the_seconds_of_a_run_and_of_a_longer_one(text, tmp_path):
    settings = {**SETTINGS, "training": {**SETTINGS["training"], "networks": 3}}
    result = train([text], tmp_path / "run", settings)
    each = load_checkpoint(tmp_path / "run")[0]["seconds"]
    assert 0.4 * 3.0 <= 3 * each <= 3.0
    assert 3 * each <= result.seconds < 3 * each + 1.0
    longer = train([], tmp_path / "run", {"training": {"minutes": 0.1}}, resume=True)
    assert load_checkpoint(tmp_path / "run")[0]["seconds"] == pytest.approx(2.0)
    assert 6.0 <= longer.seconds < 7.0
