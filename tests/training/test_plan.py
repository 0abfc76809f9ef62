"""What is chosen for a text and a time, and that nothing that was given is changed."""

import dataclasses

import pytest

from sonho.config import build_config
from sonho.models.language_model import LanguageModel
from sonho.training.plan import (
    ENOUGH_FOR_EACH,
    LEAST_EXPOSURE_OF_EACH,
    MOST_EXPOSURE,
    MOST_EXPOSURE_WITH_WEIGHT_DROP,
    MOST_NETWORKS,
    SYMBOLS_FOR_AN_LSTM,
    SYMBOLS_FOR_LARGE_BATCHES,
    plan,
    step_tokens,
    symbols_a_weight,
)
from sonho.training.run import explain
from sonho.training.speed import Speed, layer_weights, measure_speed, step_flops

QUICK = Speed((1e9, 0.012), (10e9, 0.102))  # about 2 ms and 100 GFLOP/s


def choose(symbols, seconds, given=None, vocab_size=65, speed=QUICK, **more):
    settings = given or {}
    names = {f"{section}.{key}" for section, values in settings.items() for key in values}
    facts = {"symbols": symbols, "vocab_size": vocab_size, "seconds": seconds, "speed": speed}
    return plan(build_config(settings), names, **facts, **more)


def exposure(made, symbols, seconds):
    """Passes * weights / symbols of a text in so many seconds."""
    seen = QUICK.tokens(seconds, made.config, 65, step_tokens(made.config, 0))
    return seen / symbols * layer_weights(made.config.model, 65) / symbols


def test_more_time_and_faster_machines_choose_larger_networks():
    sizes = [choose(1_000_000, seconds).config.model.hidden_size for seconds in (5, 20, 60, 180, 600)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 256 <= sizes[-2]
    fast = Speed((1e9, 0.0012), (10e9, 0.0102))
    assert choose(1_000_000, 20, speed=fast).config.model.hidden_size > sizes[1]


def test_a_longer_text_gets_more_units_and_less_dropout():
    short, long = (choose(symbols, 600).config.model for symbols in (100_000, 10_000_000))
    assert short.hidden_size < long.hidden_size
    assert short.dropout > long.dropout


@pytest.mark.parametrize("vocab_size", [65, 8000])
def test_every_weight_gets_enough_symbols(vocab_size):
    for seconds in (20, 100, 1000):
        made = choose(5_000_000, seconds, vocab_size=vocab_size).config
        seen = QUICK.tokens(seconds, made, vocab_size, step_tokens(made, 0))
        assert seen >= symbols_a_weight(seen / 5_000_000, vocab_size) * layer_weights(made.model, vocab_size)


def test_a_text_that_is_read_often_is_an_lstms():
    assert SYMBOLS_FOR_AN_LSTM[0] > 1_000_000
    for symbols, *seconds in ((40_000, 2, 8), (100_000, 2, 20)):
        assert [choose(symbols, limit).config.model.cell for limit in seconds] == ["gru", "lstm"]


def test_of_pieces_a_network_is_smaller_and_stays_a_gru_for_longer():
    for seconds in (20, 60, 180):
        letters, pieces = (choose(1_000_000, seconds, vocab_size=size).config.model for size in (65, 4000))
        assert pieces.hidden_size <= letters.hidden_size
        assert pieces.cell == "gru"
    assert letters.cell == "lstm"
    assert choose(1_000_000, 1800, vocab_size=4000).config.model.cell == "lstm"


def test_a_tiny_text_ends_before_it_is_known_by_heart_and_says_so():
    for symbols, seconds in ((18_000, 120), (400_000, 7200)):
        for weight_drop, most in ((0.0, MOST_EXPOSURE), (0.3, MOST_EXPOSURE_WITH_WEIGHT_DROP)):
            made = choose(symbols, seconds, {"model": {"weight_drop": weight_drop}})
            assert made.most_seconds < seconds
            assert exposure(made, symbols, made.most_seconds) == pytest.approx(most, rel=0.01)
            assert "by heart" in made.lines[-1]
    assert choose(1_000_000, 120).most_seconds > 120


def seen(made, seconds, record_length=0):
    return QUICK.tokens(seconds, made.config, 65, step_tokens(made.config, record_length))


@pytest.mark.parametrize("symbols", [90_000, 400_000, 1_000_000])
def test_the_time_is_shared_by_as_many_networks_as_learn_enough_in_it(symbols):
    counts = []
    for seconds in (5, 20, 40, 80, 120, 160, 240, 480):
        made = choose(symbols, seconds, may_average=True)
        networks = made.config.training.networks or 1
        counts.append(networks)
        if networks > 1:
            each = seen(made, seconds / networks)
            passes, steps = ENOUGH_FOR_EACH[networks]
            assert each >= passes * symbols
            assert each >= steps * step_tokens(made.config, 0)
            assert f"{networks} networks" in made.lines[-1]
            assert made.config.model == choose(symbols, seconds / networks).config.model
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (1, 4)


def test_how_many_networks_there_are_may_be_said():
    for networks in (1, 3):
        made = choose(400_000, 300, {"training": {"networks": networks}}, may_average=True, may_learn_all=True)
        assert (made.config.training.networks, made.networks) == (networks, 0)
        assert made.config.model == choose(400_000, 300 / networks).config.model
    steps = {"training": {"steps": 100, "networks": 2}}
    assert choose(400_000, 0, steps, speed=None, may_average=True).config.training.networks == 2
    assert choose(400_000, 0, {"training": {"steps": 100}}, speed=None, may_average=True).config.training.networks == 0


def test_minutes_to_spare_go_to_further_networks_each_with_enough_of_them():
    whole = exposure(choose(18_000, 120), 18_000, 120)
    found = set()
    for share in (1.1, 1.9, 2.1, 3.1, 4.1, 5.1, 20.0):
        seconds = 120 * share * LEAST_EXPOSURE_OF_EACH / whole
        made = choose(18_000, seconds, may_average=True, may_learn_all=True)
        spare = min(int(share) - 1, MOST_NETWORKS)
        # One alone that learns from everything is worth less than the mean of several.
        assert made.networks == (spare if spare > 1 else 0)
        assert (made.config.training.networks > 2) == (spare < 2)
        if made.networks:
            each = exposure(made, 18_000, made.most_seconds)
            assert LEAST_EXPOSURE_OF_EACH <= each <= MOST_EXPOSURE_WITH_WEIGHT_DROP * 1.01
            assert made.most_seconds * (made.networks + 1) <= seconds * 1.001
            assert "all of the text" in made.lines[-1]
        found.add(made.networks)
    assert found == {0, 2, 3, 4}


def test_only_what_can_be_one_network_is_averaged_and_not_without_leave():
    for may in ({}, {"may_average": True}, {"may_learn_all": True}):
        assert choose(18_000, 1800, **may).networks == 0
    assert choose(18_000, 1800).config.training.networks == 0
    both = {"may_average": True, "may_learn_all": True}
    for given in ({"cell": "conv"}, {"layer_norm": True}, {"condition": "label"}):
        made = choose(18_000, 1800, {"model": given}, **both)
        assert (made.networks, made.config.training.networks) == (0, 0)
    large = choose(18_000, 36_000, {"model": {"hidden_size": 400}}, **both)
    assert large.networks == 2


def test_large_batches_are_for_many_symbols_and_not_for_a_text_that_is_seen_often():
    for symbols, seconds, cell, rows in (
        (18_000, 1800, "lstm", 8),
        (400_000, 7200, "lstm", 32),
        (2_000_000, 7200, "lstm", 32),
        (5_000_000, 600, "lstm", 32),
        (5_000_000, 7200, "lstm", 64),
    ):
        made = choose(symbols, seconds).config
        assert (made.model.cell, made.data.batch_size) == (cell, rows)
        seen = QUICK.tokens(seconds, made, 65, step_tokens(made, 0))
        assert (seen > SYMBOLS_FOR_LARGE_BATCHES) == (seconds > 600)


def test_what_is_seen_often_loses_connections_in_a_share_that_grows():
    seconds = (60, 220, 500, 1000, 1500, 2000, 3000)
    made = [choose(400_000, limit) for limit in seconds]
    shares = [(exposure(one, 400_000, limit) - 20) / 100 for one, limit in zip(made, seconds, strict=True)]
    assert shares[1] < 0 < shares[2] < shares[3] < 1 < shares[-1]
    for one, share in zip(made, shares, strict=True):
        assert one.config.model.weight_drop == pytest.approx(min(max(share, 0), 1) * 0.3, abs=0.02)


def test_no_time_is_spared_before_the_end_with_weight_drop():
    for seconds in range(500, 7000, 250):
        made = choose(980_000, seconds)
        assert made.most_seconds > seconds or made.config.model.weight_drop == 0.3


def test_a_weight_drop_that_was_given_stays_and_no_convolution_or_run_without_a_clock_gets_one():
    made = choose(18_000, 120)
    assert made.config.model.weight_drop == 0.3
    assert "weight drop 0.3" in made.lines[0]
    assert choose(18_000, 120, {"model": {"weight_drop": 0.0}}).config.model.weight_drop == 0.0
    assert choose(18_000, 120, {"model": {"cell": "conv"}}).config.model.weight_drop == 0.0
    assert choose(18_000, 0, {"training": {"epochs": 1.0}}, speed=None).config.model.weight_drop == 0.0


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


def with_size(config, size):
    return dataclasses.replace(config, model=dataclasses.replace(config.model, hidden_size=size))


def test_the_time_of_a_step_lies_between_those_that_were_measured(monkeypatch):
    config, now = build_config({}), [0.0]
    monkeypatch.setattr("sonho.training.speed.time.perf_counter", lambda: now[0])

    def seconds(sized):
        return 1e-9 * step_flops(sized, 65, 2048) ** 0.8

    def start(sized):
        steps = iter(range(1_000_000))

        def learn():
            # Every third step meets a bad moment.
            now[0] += seconds(sized) * (5 if next(steps) % 3 == 2 else 1)

        return learn

    speed = measure_speed(config, 65, 2048, start)
    for size in (96, 128, 192, 256, 384):
        sized = with_size(config, size)
        assert speed.step_seconds(sized, 65, 2048) == pytest.approx(seconds(sized))
    largest, larger = with_size(config, 384), with_size(config, 700)
    rate = seconds(largest) / step_flops(largest, 65, 2048)
    assert speed.step_seconds(larger, 65, 2048) == pytest.approx(rate * step_flops(larger, 65, 2048))


def test_a_step_that_seemed_slower_than_a_larger_one_breaks_nothing():
    config, odd = build_config({}), Speed((1e9, 0.02), (10e9, 0.01))
    times = [odd.step_seconds(with_size(config, size), 65, 2048) for size in (64, 128, 256, 700)]
    assert times[:3] == sorted(times[:3])
    assert all(time > 0 for time in times)


def test_explain_says_what_and_why_and_leaves_nothing_behind(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("".join(f"The {i}th line of a text of lines.\n" for i in range(800)))
    lines = explain([str(text)], {"training": {"minutes": 0.2, "threads": 1}})
    assert any(line.startswith("Plan for") for line in lines)
    assert any("passes" in line for line in lines)
    assert "networks learn so" in lines[-1]
    assert list(tmp_path.iterdir()) == [text]


def test_short_runs_take_the_cell_that_learns_sooner_and_small_batches():
    tiny, short, long = (choose(1_000_000, seconds).config for seconds in (3, 15, 120))
    assert [made.model.cell for made in (tiny, short, long)] == ["gru", "gru", "lstm"]
    assert [made.data.batch_size for made in (tiny, short, long)] == [16, 32, 32]
    assert choose(1_000_000, 44).config.model.cell == "gru"  # sees 2.9 million symbols
    given = choose(1_000_000, 3, {"model": {"cell": "lstm"}, "data": {"batch_size": 40}}).config
    assert (given.model.cell, given.data.batch_size) == ("lstm", 40)


def test_without_a_clock_the_cell_is_the_usual_one():
    assert choose(1_000_000, 0, {"training": {"steps": 5}}, speed=None).config.model.cell == "lstm"


def test_by_the_clock_many_words_are_learned_from_a_part_of_the_softmax():
    assert choose(1_000_000, 60, vocab_size=4096).config.training.softmax_samples == 0
    made = choose(1_000_000, 60, vocab_size=25_000)
    assert made.config.training.softmax_samples == 1000
    assert "1,000 others" in made.lines[0]
    given = {"training": {"softmax_samples": 0}}
    assert choose(1_000_000, 60, given, vocab_size=25_000).config.training.softmax_samples == 0
    steps = {"training": {"steps": 100}}
    assert choose(1_000_000, 0, steps, vocab_size=25_000, speed=None).config.training.softmax_samples == 0


def test_a_part_of_the_softmax_makes_shorter_steps():
    whole, part = (
        build_config({"training": {"softmax_samples": samples}, "model": {"embedding_dim": 64}})
        for samples in (0, 1000)
    )
    assert step_flops(part, 25_000, 2048) < step_flops(whole, 25_000, 2048) / 4
    assert step_flops(part, 500, 2048) == step_flops(whole, 500, 2048)
