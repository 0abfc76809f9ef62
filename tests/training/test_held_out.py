"""By the clock, the end of the text is learned from as well, but for what it takes to tell good weights from better."""

import pytest

from sonho.config import build_config
from sonho.training.held_out import choose_validation, validation_share


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("x" * 399 + "\n" + "a line\n" * 57_086)  # 400,002 bytes
    return str(path)


def chosen(settings, paths):
    config = build_config(settings)
    choose_validation(config, {f"{section}.{key}" for section, values in settings.items() for key in values}, paths)
    return config.data.validation


@pytest.mark.parametrize("settings", [{}, {"training": {"minutes": 1}}], ids=str)
def test_a_run_by_the_clock_holds_out_little(text, settings):
    assert chosen(settings, [text]) == pytest.approx(10_000 / 400_002, rel=1e-4)


@pytest.mark.parametrize("settings", [{"training": {"epochs": 1}}, {"training": {"steps": 9}}], ids=str)
def test_epochs_and_steps_hold_out_what_is_set(text, settings):
    assert chosen(settings, [text]) == 0.1


def test_a_share_that_was_given_stays(text):
    assert chosen({"data": {"validation": 0.25}, "training": {"minutes": 1}}, [text]) == 0.25


def test_the_size_of_all_inputs_counts(text):
    assert chosen({}, [text, text, text]) == pytest.approx(0.02)


def test_the_share_never_exceeds_the_setting():
    assert validation_share(0, 0.1, 60.0) == validation_share(1000, 0.1, 60.0) == 0.1
    assert validation_share(1000, 0.0, 60.0) == 0.0


def test_a_run_of_seconds_holds_out_less_of_a_long_text():
    assert [validation_share(20_000_000, 0.1, seconds) for seconds in (1.0, 60.0, 600.0)] == [0.0005, 0.0045, 0.01]
