"""Of a text that is too long for a run by the clock a sample is read."""

import gzip

import pytest

from sonho.config import build_config
from sonho.data import sample
from sonho.data.prepare import prepare
from sonho.storage.model_file import load_model_file
from sonho.training import level, long_text
from sonho.training.long_text import choose_sample
from sonho.training.run import explain, given_settings, train

BY_CLOCK = {"training": {"minutes": 0.05}}


@pytest.fixture(autouse=True)
def small_limits(monkeypatch):
    """Three seconds are enough for 30,000 bytes."""
    monkeypatch.setattr(long_text, "BYTES_A_SECOND", 10_000)
    monkeypatch.setattr(sample, "LEAST_PIECE_BYTES", 1_000)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("The line of a text that is much too long.\n" * 3_000)
    return str(path)


def choose(settings, *paths):
    config = build_config(settings)
    return choose_sample(config, given_settings(settings), paths), config.data.sample_megabytes


def test_of_a_text_too_long_for_the_time_a_sample_is_read(text):
    said, megabytes = choose(BY_CLOCK, text)
    assert megabytes == 0.03
    assert said == (
        "126,000 bytes are more than 3 seconds can learn from: a sample of them is read;"
        " data.sample_megabytes=0 reads all"
    )
    assert choose({}, text) == ("", 0.0)  # five minutes


@pytest.mark.parametrize(
    "settings",
    [
        {"data": {"sample_megabytes": 0.0}, **BY_CLOCK},
        {"data": {"vectors": "v.npy"}, **BY_CLOCK},
        {"model": {"cell": "ngram"}},
        {"training": {"epochs": 1.0}},
        {"training": {"steps": 10}},
    ],
    ids=str,
)
def test_what_was_said_and_runs_that_no_clock_ends_read_all(text, settings):
    assert choose(settings, text) == ("", 0.0)


def test_prepared_data_and_what_cannot_be_cut_is_read_whole(text, tmp_path):
    prepare([text], build_config({}).data, seed=0, folder=tmp_path / "shards")
    packed = tmp_path / "b.txt.gz"
    packed.write_bytes(gzip.compress(b"a text\n" * 900_000))
    assert choose(BY_CLOCK, str(tmp_path / "shards")) == ("", 0.0)
    assert choose(BY_CLOCK, text, str(packed)) == ("", 0.0)


def test_training_and_its_plan_read_the_sample_and_going_on_finds_it_again(text, tmp_path, monkeypatch):
    monkeypatch.setattr(level, "LEAST_BYTES", 5_000)
    monkeypatch.setattr(level, "COUNTED_BYTES", 0)
    lines = explain([text], BY_CLOCK)
    assert lines[0].startswith("126,000 bytes are more than 3 seconds")
    assert lines[1].startswith("30,000 bytes are much for 3 seconds")  # pieces are chosen by what is read
    assert lines[2] == "sample: 30 pieces spread over the input, 0.0 of 0.1 MB"
    said = []
    settings = {"data": {"level": "char"}, "model": {"hidden_size": 16}, **BY_CLOCK}
    train([text], tmp_path / "run", settings, say=said.append)
    assert said[0] == lines[0]
    record = load_model_file(tmp_path / "run").record
    assert record["data"]["sample_megabytes"] == 0.03
    assert record["data"]["validation"] == 0.1  # 10,000 bytes of what is read are more than a tenth
    train([], tmp_path / "run", {"training": {"minutes": 0.06}}, resume=True)
