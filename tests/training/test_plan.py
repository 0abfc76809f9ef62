"""What is chosen for a text and a time, and that nothing that was given is changed."""

import dataclasses

import pytest

from sonho.config import build_config
from sonho.models.language_model import LanguageModel
from sonho.training.plan import MOST_EXPOSURE, plan, step_tokens, symbols_a_weight
from sonho.training.run import explain
from sonho.training.speed import Speed, layer_weights, measure_speed, step_flops

QUICK = Speed(0.002, 1 / 100e9)  # a constant of 2 ms and 100 GFLOP/s


def choose(symbols, seconds, given=None, vocab_size=65, speed=QUICK):
    settings = given or {}
    names = {f"{section}.{key}" for section, values in settings.items() for key in values}
    return plan(build_config(settings), names, symbols=symbols, vocab_size=vocab_size, seconds=seconds, speed=speed)


def test_more_time_and_faster_machines_choose_larger_networks():
    sizes = [choose(1_000_000, seconds).config.model.hidden_size for seconds in (5, 20, 60, 180, 600)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 256 <= sizes[-2]
    fast = Speed(QUICK.constant / 10, QUICK.seconds_a_flop / 10)
    assert choose(1_000_000, 20, speed=fast).config.model.hidden_size > sizes[1]


def test_a_longer_text_gets_more_units_and_less_dropout():
    short, long = (choose(symbols, 600).config.model for symbols in (100_000, 10_000_000))
    assert short.hidden_size < long.hidden_size
    assert short.dropout > long.dropout


def test_every_weight_gets_enough_symbols():
    for seconds in (10, 100, 1000):
        made = choose(5_000_000, seconds).config
        seen = QUICK.tokens(seconds, made, 65, step_tokens(made, 0))
        assert seen >= symbols_a_weight(seen / 5_000_000) * layer_weights(made.model, 65)


def test_a_tiny_text_ends_before_it_is_known_by_heart_and_says_so():
    made = choose(18_000, 120)
    assert made.most_seconds < 120
    seen = QUICK.tokens(made.most_seconds, made.config, 65, step_tokens(made.config, 0))
    assert seen / 18_000 * layer_weights(made.config.model, 65) / 18_000 == pytest.approx(MOST_EXPOSURE, rel=0.01)
    assert "by heart" in made.lines[-1]
    assert choose(1_000_000, 120).most_seconds > 120


def test_what_is_given_stays_and_the_rest_adapts():
    given = {"model": {"hidden_size": 300, "dropout": 0.07}, "data": {"batch_size": 3}}
    made = choose(1_000_000, 60, given).config
    assert (made.model.hidden_size, made.model.dropout, made.data.batch_size) == (300, 0.07, 3)
    short, long = (choose(1_000_000, seconds, {"model": {"hidden_size": 300}}).config.model for seconds in (60, 900))
    assert short.dropout < long.dropout


@pytest.mark.parametrize("limit", [{"steps": 1000}, {"epochs": 3}])
def test_without_a_clock_the_size_follows_the_text_alone(limit):
    made = choose(1_000_000, 0, {"training": limit}, speed=None)
    assert made.config.model.hidden_size == 256
    assert len(made.lines) == 1
    assert choose(9_000, 0, {"training": limit}, speed=None).config.model.hidden_size == 64


def test_a_large_vocabulary_is_embedded_and_tied():
    model = choose(5_000_000, 600, vocab_size=10_000).config.model
    assert model.embedding_dim == model.hidden_size
    assert model.tied
    assert not choose(5_000_000, 600, {"model": {"embedding_dim": 48}}, vocab_size=10_000).config.model.tied


def test_records_are_taken_together_until_they_are_a_batch():
    config, facts = build_config({"data": {"kind": "records"}}), {"symbols": 1_000_000, "vocab_size": 65}
    short, long = (
        plan(config, {"data.kind"}, **facts, record_length=length, seconds=60, speed=QUICK) for length in (7, 300)
    )
    assert short.config.data.batch_size == round(32 * 64 / 7)
    assert long.config.data.batch_size == 7


@pytest.mark.parametrize("given", [{}, {"cell": "gru", "num_layers": 3}, {"cell": "rnn"}], ids=str)
def test_layer_weights_are_those_of_the_network(given):
    config = build_config({"model": {"hidden_size": 64, **given}})
    named = LanguageModel(config.model, 80, ()).named_parameters()
    real = sum(p.numel() for name, p in named if "weight_" in name and name != "layers.0.weight_ih")
    assert layer_weights(config.model, 80) == real


def test_the_measured_line_goes_through_what_was_measured(monkeypatch):
    config, now = build_config({}), [0.0]
    monkeypatch.setattr("sonho.training.speed.time.perf_counter", lambda: now[0])

    def start(sized):
        def learn():
            now[0] += 0.003 + step_flops(sized, 65, 2048) / 50e9

        return learn

    speed = measure_speed(config, 65, 2048, start)
    larger = dataclasses.replace(config, model=dataclasses.replace(config.model, hidden_size=700))
    assert speed.step_seconds(larger, 65, 2048) == pytest.approx(0.003 + step_flops(larger, 65, 2048) / 50e9)


def test_explain_says_what_and_why_and_leaves_nothing_behind(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("".join(f"The {i}th line of a text of lines.\n" for i in range(800)))
    lines = explain([str(text)], {"training": {"minutes": 0.2, "threads": 1}})
    assert "Plan for" in lines[-3]
    assert "passes" in lines[-2]
    assert list(tmp_path.iterdir()) == [text]


def test_short_runs_take_the_cell_that_learns_sooner_and_small_batches():
    tiny, short, long = (choose(1_000_000, seconds).config for seconds in (3, 15, 90))
    assert [made.model.cell for made in (tiny, short, long)] == ["gru", "gru", "lstm"]
    assert [made.data.batch_size for made in (tiny, short, long)] == [16, 32, 32]
    given = choose(1_000_000, 3, {"model": {"cell": "lstm"}, "data": {"batch_size": 40}}).config
    assert (given.model.cell, given.data.batch_size) == ("lstm", 40)


def test_without_a_clock_the_cell_is_the_usual_one():
    assert choose(1_000_000, 0, {"training": {"steps": 5}}, speed=None).config.model.cell == "lstm"
