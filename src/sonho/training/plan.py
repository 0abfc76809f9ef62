"""Chooses what the person left open: size, batch, window and dropout, from the text and the time there is.

The table and the rules stand at the top; docs/guide/training.md explains them, docs/log.md has the experiments. Every
choice can be overridden; a setting that was given is never changed, and the rest adapts to it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Set
from dataclasses import dataclass
from functools import partial
from typing import Any

from sonho.config import Config, ModelConfig
from sonho.training.budget import Budget
from sonho.training.speed import GATES, Speed, layer_weights
from sonho.training.trainer import Intervals

# Training symbols up to which a row holds -> most units, batch and window. More units would learn the text by heart.
TABLE = (
    (10_000, {"hidden_size": 64, "batch_size": 8, "bptt": 32}),
    (60_000, {"hidden_size": 128, "batch_size": 8, "bptt": 32}),
    (150_000, {"hidden_size": 256, "batch_size": 16, "bptt": 64}),
    (2_000_000, {"hidden_size": 512, "batch_size": 32, "bptt": 64}),
    (10_000_000, {"hidden_size": 768, "batch_size": 32, "bptt": 64}),
    (None, {"hidden_size": 1024, "batch_size": 32, "bptt": 64}),
)
SIZES = (64, 96, 128, 192, 256, 384, 512, 640, 768, 1024)
# A network is as large as the time allows it to see so many symbols for each of its weights: the first number where the
# text is read once, falling to the second where it is read three times, and so has to be squeezed harder.
SYMBOLS_A_WEIGHT = (8.0, 5.0)
# Of pieces of words and words, of which each is seen seldom, so many times as many (docs/log.md, 33).
TIMES_OF_A_LARGE_VOCABULARY = 2.0
# Without a clock nobody knows how long a step takes: no more units than this.
UNITS_WITHOUT_A_CLOCK = 256
# Small batches make more steps of the same symbols, large ones quicker symbols: at most 16 rows where fewer than so
# many symbols will be seen, 64 where more than so many, unless a text is seen so often that weights are dropped: then
# what small batches learn is the better (docs/log.md, 36, 38).
SYMBOLS_FOR_MEDIUM_BATCHES, SMALL_BATCH = 700_000, 16
SYMBOLS_FOR_LARGE_BATCHES, LARGE_BATCH = 20_000_000, 64
# A GRU learns sooner, an LSTM more: by the clock, an LSTM where a GRU would see more symbols than so many, of letters
# and of a large vocabulary, or a text more often than so (docs/log.md, 12, 33, 41, 44).
SYMBOLS_FOR_AN_LSTM, PASSES_FOR_AN_LSTM = (3_000_000, 8_000_000), 8.0
# What Muon remembers of its steps; the setting's own default is an LSTM's (docs/log.md, 30).
MOMENTUM_OF_A_GRU = 0.9
# Records a batch.
LEAST_RECORDS, MOST_RECORDS = 4, 512
# Dropout grows with how often each weight sees the same text: passes * weights / symbols of the text.
DROPOUT_A_DOUBLING, MOST_DROPOUT = 0.15, 0.5
# Past so many passes * weights / symbols a text is learned by heart, whatever the dropout; with connections between the
# units left out as well, past so many. By the clock they are: a share that grows in a line, between these two, from
# nothing to the most (docs/log.md, 34 to 36, 38).
MOST_EXPOSURE, MOST_EXPOSURE_WITH_WEIGHT_DROP = 40.0, 320.0
EXPOSURE_FOR_WEIGHT_DROP, MOST_WEIGHT_DROP = (20.0, 120.0), 0.3
# Where that much is in the time more than once, others of the kind learn from the whole text afterwards, and their mean
# is the model: so many at most, of so many units together, and each run to at least such an exposure (docs/log.md, 42).
MOST_NETWORKS, MOST_UNITS_TOGETHER, LEAST_EXPOSURE_OF_EACH = 4, 1024, 160.0
# The time is shared by so many networks, whose mean is the model, where each reads the text so often at least and takes
# so many steps (docs/log.md, 44).
ENOUGH_FOR_EACH = {4: (5.0, 1500), 3: (5.0, 1500), 2: (3.0, 1000)}
# Up to here one-hot input learns as well as an embedding, and is smaller.
LARGE_VOCABULARY = 256
# By the clock a softmax over more words than so many is learned from a part of it: four times the words in the time
# (docs/log.md, 25).
WORDS_FOR_A_WHOLE_SOFTMAX, SOFTMAX_SAMPLES = 4096, 1000
VALIDATIONS_A_RUN = 8


@dataclass(frozen=True)
class Plan:
    """A full configuration, the lines that say what was chosen and why, and the most seconds worth learning.

    After that, `networks` of its kind are to learn from the whole text, as long each (ensemble.py); 0: none.
    """

    config: Config
    lines: tuple[str, ...]
    most_seconds: float = math.inf
    networks: int = 0


def plan(
    config: Config,
    given: Set[str],
    *,
    symbols: int,
    vocab_size: int,
    record_length: float = 0.0,
    seconds: float = 0.0,
    speed: Speed | None = None,
    may_average: bool = False,
    may_learn_all: bool = False,
) -> Plan:
    """Fill in what is not among `given` ("section.key") for a training part of `symbols` tokens.

    `record_length` is the mean one of records. `seconds` and `speed` are of the learning, where it goes by the clock;
    else `speed` is None. `may_average` says whether the mean of several networks is a model that is wanted, and
    `may_learn_all` whether networks may learn from the held-out part.
    """
    facts: dict[str, Any] = {
        "symbols": symbols,
        "vocab_size": vocab_size,
        "record_length": record_length,
        "speed": speed,
    }
    may_average = may_average and can_average(config.model) and "training.networks" not in given
    alone = _plan(config, given, **facts, seconds=seconds, may_learn_all=may_average and may_learn_all)
    together = config.training.networks
    if speed is not None and may_average and alone.networks < 2:
        enough = partial(_is_enough, config, given, facts, seconds)
        together = next((networks for networks in ENOUGH_FOR_EACH if enough(networks)), 1)
    if together < 2:
        return alone
    made = _plan(config, given, **facts, seconds=seconds / together)
    line = f"{together} networks learn so, one after the other and as long each; the model is their mean"
    config = fill(made.config, given, {"training.networks": together})
    return dataclasses.replace(made, config=config, lines=(*made.lines, line))


def _is_enough(config: Config, given: Set[str], facts: dict[str, Any], seconds: float, networks: int) -> bool:
    """Whether each of so many networks learns enough in its share of the time."""
    made = _plan(config, given, **facts, seconds=seconds / networks).config
    tokens = step_tokens(made, facts["record_length"])
    seen = facts["speed"].tokens(seconds / networks, made, facts["vocab_size"], tokens)
    passes, steps = ENOUGH_FOR_EACH[networks]
    return bool(seen >= passes * facts["symbols"] and seen >= steps * tokens)


def _plan(
    config: Config,
    given: Set[str],
    *,
    symbols: int,
    vocab_size: int,
    record_length: float,
    seconds: float,
    speed: Speed | None,
    may_learn_all: bool = False,
) -> Plan:
    """The plan of one network, which has all of the `seconds` to itself but for those that `may_learn_all`."""
    row = next(values for limit, values in TABLE if limit is None or symbols <= limit)
    filled = fill(config, given, _batch(row["batch_size"], row["bptt"], record_length))
    if config.model.cell == "conv":
        filled = fill(filled, given, {"model.num_layers": 5})
    by_clock = not (config.training.epochs or config.training.steps)
    if by_clock and vocab_size > WORDS_FOR_A_WHOLE_SOFTMAX:
        filled = fill(filled, given, {"training.softmax_samples": SOFTMAX_SAMPLES})

    def seen_by(config: Config) -> float:
        """Symbols that the training will learn from, each time counted."""
        if speed is not None:
            return speed.tokens(seconds, config, vocab_size, step_tokens(config, record_length))
        return config.training.steps * step_tokens(config, record_length) or config.training.epochs * symbols

    def sized_for(config: Config) -> Config:
        """The largest size that sees enough symbols, and a batch for as many as it sees."""
        most = row["hidden_size"] if speed else min(row["hidden_size"], UNITS_WITHOUT_A_CLOCK)
        for size in [size for size in reversed(SIZES) if size <= most]:
            sized = _with_size(config, given, size, vocab_size)
            if speed is None:
                break
            if seen_by(sized) < SYMBOLS_FOR_MEDIUM_BATCHES:
                sized = fill(sized, given, _batch(min(row["batch_size"], SMALL_BATCH), row["bptt"], record_length))
            wanted = symbols_a_weight(seen_by(sized) / symbols, vocab_size) * layer_weights(sized.model, vocab_size)
            if seen_by(sized) >= wanted or "model.hidden_size" in given:
                break
        return sized

    sized = sized_for(fill(filled, given, {"model.cell": "gru"}) if speed else filled)
    most_of_a_gru = min(SYMBOLS_FOR_AN_LSTM[vocab_size > LARGE_VOCABULARY], PASSES_FOR_AN_LSTM * symbols)
    if seen_by(sized) > most_of_a_gru:
        sized = sized_for(filled)
    if sized.model.cell == "gru" and sized.training.optimizer == "muon":
        sized = fill(sized, given, {"training.momentum": MOMENTUM_OF_A_GRU})
    weights = layer_weights(sized.model, vocab_size)

    def exposure(config: Config) -> float:
        return max(seen_by(config) / symbols * weights / symbols, 1e-9)

    begin, full = EXPOSURE_FOR_WEIGHT_DROP
    if seen_by(sized) > SYMBOLS_FOR_LARGE_BATCHES and exposure(sized) <= begin:
        sized = fill(sized, given, _batch(LARGE_BATCH, row["bptt"], record_length))
    if by_clock and sized.model.cell != "conv":
        drop = MOST_WEIGHT_DROP * min(max((exposure(sized) - begin) / (full - begin), 0.0), 1.0)
        sized = fill(sized, given, {"model.weight_drop": round(drop, 2)})
    most_exposure = MOST_EXPOSURE_WITH_WEIGHT_DROP if sized.model.weight_drop else MOST_EXPOSURE
    networks = 0
    if speed is not None and may_learn_all:
        networks = _networks(exposure(sized), most_exposure, sized.model.hidden_size)
        most_exposure = min(most_exposure, exposure(sized) / (networks + 1)) if networks else most_exposure
    worth_seeing = min(1.0, most_exposure / exposure(sized)) if speed is not None else 1.0
    seen = seen_by(sized) * worth_seeing
    most_seconds = seconds * worth_seeing if worth_seeing < 1.0 else math.inf
    dropout = min(max(DROPOUT_A_DOUBLING * math.log2(exposure(sized) * worth_seeing), 0.0), MOST_DROPOUT)
    sized = fill(sized, given, {"model.dropout": round(dropout, 2)})
    wanted = symbols_a_weight(seen / symbols, vocab_size)
    lines = _lines(sized, symbols, seen, weights, wanted, min(seconds, most_seconds) if speed else None)
    if networks:
        lines[-1] = (
            f"Then {_several(networks)} like it will learn from all of the text, held-out part included; the model is"
            f" {'it' if networks == 1 else 'their mean'}"
        )
    elif most_seconds < seconds:
        lines[-1] = (
            f"A text of {symbols:,} tokens is learned by then; more would only teach it by heart, so the rest is spared"
        )
    return Plan(sized, tuple(lines), most_seconds, networks)


def can_average(model: ModelConfig) -> bool:
    """Whether the mean of several such networks is a network (ensemble.py)."""
    return model.cell in GATES and not model.layer_norm and model.condition == "none"


def _networks(exposure: float, most: float, hidden_size: int) -> int:
    """How many networks learn after the first one, if all have the same time."""
    runs = int(exposure / min(most, LEAST_EXPOSURE_OF_EACH))
    return max(min(runs - 1, MOST_NETWORKS, max(MOST_UNITS_TOGETHER // hidden_size, 1)), 0)


def _several(networks: int) -> str:
    return "one network" if networks == 1 else f"{networks} networks"


def symbols_a_weight(passes: float, vocab_size: int) -> float:
    """Symbols that each weight should see in a run of so many passes.

    >>> [symbols_a_weight(passes, 65) for passes in (0.1, 1, 2, 3, 20)], symbols_a_weight(1, 8000)
    ([8.0, 8.0, 6.5, 5.0, 5.0], 16.0)
    """
    fresh, repeated = SYMBOLS_A_WEIGHT
    times = TIMES_OF_A_LARGE_VOCABULARY if vocab_size > LARGE_VOCABULARY else 1.0
    return times * (fresh + (repeated - fresh) * min(max((passes - 1.0) / 2.0, 0.0), 1.0))


def step_tokens(config: Config, record_length: float) -> float:
    """Tokens of one step; `record_length` is the mean one of records, 0 for a stream."""
    return config.data.batch_size * (record_length or config.data.bptt)


def _batch(rows: int, steps: int, record_length: float) -> dict[str, Any]:
    """Rows of so many steps; of records, as many as make about the same number of tokens."""
    if record_length:
        rows = min(max(round(rows * steps / record_length), LEAST_RECORDS), MOST_RECORDS)
    return {"data.batch_size": rows, "data.bptt": steps}


def _with_size(config: Config, given: Set[str], size: int, vocab_size: int) -> Config:
    chosen: dict[str, Any] = {"model.hidden_size": size}
    if vocab_size > LARGE_VOCABULARY:
        # Tied to the output layer, a large vocabulary is stored once.
        size = config.model.hidden_size if "model.hidden_size" in given else size
        chosen["model.embedding_dim"] = size
        if "model.embedding_dim" not in given or config.model.embedding_dim == size:
            chosen["model.tied"] = True
    return fill(config, given, chosen)


def fill(config: Config, given: Set[str], chosen: dict[str, Any]) -> Config:
    """The settings with those of `chosen` ("section.key") that are not among `given`."""
    made = {name: value for name, value in chosen.items() if name not in given}
    sections = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    for name, section in sections.items():
        mine = {key.split(".")[1]: value for key, value in made.items() if key.startswith(f"{name}.")}
        sections[name] = dataclasses.replace(section, **mine)
    return Config(**sections)


def _lines(config: Config, symbols: int, seen: float, weights: int, wanted: float, seconds: float | None) -> list[str]:
    model, data = config.model, config.data
    batch = f"{data.batch_size} records"
    if data.kind != "records":
        batch = f"{data.batch_size} x {data.window if data.kind == 'windows' else data.bptt}"
    passes = seen / symbols
    samples = config.training.softmax_samples
    lines = [
        f"Plan for {symbols:,} training tokens: {model.cell} {model.num_layers} x {model.hidden_size},"
        f" dropout {model.dropout:g}"
        + (f", weight drop {model.weight_drop:g}" if model.weight_drop else "")
        + f", batch {batch}"
        + (f", softmax over the words of a batch and {samples:,} others" if samples else "")
    ]
    if seconds is not None:
        lines.append(
            f"Why: {seconds:.0f} seconds of learning here are about {seen / 1e6:.3g} million tokens at that size,"
            f" {passes:.2g} passes, {seen / weights:.2g} tokens a recurrent weight ({wanted:.2g} wanted)"
        )
        lines.append("Another size: model.hidden_size=..., and the rest adapts; more in docs/guide/training.md")
    return lines


def intervals(config: Config, budget: Budget) -> Intervals:
    """When to validate, to draw samples and to write checkpoints."""
    training = config.training
    validate_steps = training.validate_every
    if not validate_steps and budget.steps:
        validate_steps = max(1, -(-budget.steps // VALIDATIONS_A_RUN))
    return Intervals(
        validate_steps=validate_steps,
        validate_seconds=budget.seconds / VALIDATIONS_A_RUN,
        sample_steps=training.sample_every,
        checkpoint_steps=training.checkpoint_every,
        checkpoint_seconds=training.checkpoint_seconds if not training.checkpoint_every else float("inf"),
    )
