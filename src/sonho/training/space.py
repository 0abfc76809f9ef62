"""What a search may change, and within which bounds. Knows names and numbers, not how they are tried.

model.hidden_size=128,256,512     one of these
training.learning_rate=0.005..0.05  between these: on a logarithmic scale where both are above 0
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from sonho.config import Config, ModelConfig, build_config, parse_override
from sonho.errors import UsageError
from sonho.training.optimizers import DEFAULT_RATES
from sonho.training.plan import SIZES

# Settings that change how well a text is learned and leave what is measured as it is.
SEARCHABLE = {
    f"model.{field.name}" for field in dataclasses.fields(ModelConfig) if field.name not in ("task", "condition")
} | {
    "data.batch_size",
    "data.bptt",
    "training.optimizer",
    "training.learning_rate",
    "training.momentum",
    "training.weight_decay",
    "training.schedule",
    "training.warmup",
    "training.clip_norm",
    "training.ema",
}
AVERAGES = (0.98, 0.99, 0.995, 0.998)
MOST_DROPOUT, MOST_LAYERS = 0.6, 3
RATE_FACTOR = 4.0  # up and down from the usual rate


@dataclass(frozen=True)
class Choices:
    """One of several values."""

    values: tuple[Any, ...]

    def __contains__(self, value: Any) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return ",".join(str(value) for value in self.values)


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`, both included; `whole` for settings that count something."""

    low: float
    high: float
    whole: bool = False

    @property
    def logarithmic(self) -> bool:
        return self.low > 0

    def __contains__(self, value: Any) -> bool:
        return bool(self.low <= value <= self.high)

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"


Dimension = Choices | Range
Space = dict[str, Dimension]


def is_searched(argument: str) -> bool:
    """Whether `section.key=value` names several values of a setting that can be searched.

    >>> [is_searched(text) for text in ("model.cell=lstm,gru", "model.cell=gru", "data.columns=a,b")]
    [True, False, False]
    """
    name, _, raw = argument.partition("=")
    return name in SEARCHABLE and ("," in raw or ".." in raw)


def parse_space(arguments: Sequence[str]) -> Space:
    """The dimensions that arguments name. Raises UsageError.

    >>> {name: str(values) for name, values in parse_space(["model.dropout=0..0.5", "data.bptt=32,64"]).items()}
    {'model.dropout': '0..0.5', 'data.bptt': '32,64'}
    """
    space: Space = {}
    for argument in arguments:
        name, _, raw = argument.partition("=")
        space[name] = _range(name, raw) if ".." in raw else _choices(name, raw)
    return space


def default_space(config: Config, fixed: Set[str]) -> Space:
    """Around what the plan chose, which lies inside; without the settings of `fixed`."""
    model, data = config.model, config.data
    near = [size for size in SIZES if model.hidden_size / 2 <= size <= model.hidden_size * 2]
    rate = planned_rate(config)
    space: Space = {
        "model.cell": Choices(tuple(dict.fromkeys(("lstm", "gru", model.cell)))),
        "model.hidden_size": Choices(tuple(sorted({*near, model.hidden_size}))),
        "model.num_layers": Choices(tuple(range(1, max(MOST_LAYERS, model.num_layers) + 1))),
        "model.dropout": Range(0.0, max(MOST_DROPOUT, model.dropout)),
        "training.learning_rate": Range(rate / RATE_FACTOR, rate * RATE_FACTOR),
        "training.ema": Choices(tuple(sorted({*AVERAGES, config.training.ema}))),
        "data.batch_size": Choices(_around(data.batch_size)),
        "data.bptt": Choices(_around(data.bptt)),
    }
    if "training.optimizer" in fixed:
        space.pop("training.learning_rate")  # each optimiser has a rate of its own
    return {name: values for name, values in space.items() if name not in fixed}


def planned_point(config: Config, space: Space) -> dict[str, Any]:
    """The plan's values of what is searched, as far as they lie inside."""
    point: dict[str, Any] = {}
    for name, values in space.items():
        section, key = name.split(".")
        value = getattr(getattr(config, section), key)
        value = planned_rate(config) if name == "training.learning_rate" else value
        if value in values:
            point[name] = value
    return point


def planned_rate(config: Config) -> float:
    return config.training.learning_rate or DEFAULT_RATES[config.training.optimizer]


def to_stored(space: Space) -> dict[str, Any]:
    """A space as plain values, ready for JSON."""
    return {name: dataclasses.asdict(values) for name, values in space.items()}


def from_stored(stored: Mapping[str, Mapping[str, Any]]) -> Space:
    return {
        name: Choices(tuple(values["values"])) if "values" in values else Range(**values)
        for name, values in stored.items()
    }


def _around(value: int) -> tuple[int, ...]:
    return tuple(sorted({max(value // 2, 1), value, value * 2}))


def _choices(name: str, raw: str) -> Choices:
    values = tuple(_checked(name, text.strip()) for text in raw.split(",") if text.strip())
    return Choices(tuple(dict.fromkeys(values)))


def _range(name: str, raw: str) -> Range:
    ends = [_checked(name, text.strip()) for text in raw.split("..", 1)]
    if any(isinstance(end, bool | str) for end in ends):
        raise UsageError(f"{name}={raw}: a range lies between two numbers; separate other choices by commas")
    if ends[0] >= ends[1]:
        raise UsageError(f"{name}={raw}: a range begins with the smaller number")
    default = getattr(ModelConfig(), name.split(".")[1], None) if name.startswith("model.") else None
    whole = isinstance(default, int) or name.startswith("data.")
    return Range(ends[0], ends[1], whole)


def _checked(name: str, raw: str) -> Any:
    section, key, value = parse_override(f"{name}={raw}")
    return getattr(getattr(build_config({section: {key: value}}), section), key)
