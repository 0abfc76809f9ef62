"""How a text is drawn: every option of `generate`, its default and its bounds, written once."""

from __future__ import annotations

import dataclasses
import difflib
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, get_args

import numpy as np

from sonho.config import UnknownPolicy
from sonho.decoding import processors
from sonho.errors import UsageError
from sonho.storage.condition import Label

Symbol = str | int
Temperature = float | Callable[[int], float]


class ConditionOptions(TypedDict, total=False):
    """What a conditioned model makes a text from.

    label    a name, a list of names, or weights by name such as {"Sports": 0.7, "World": 0.3}
    vector   the numbers that it was trained on vectors of
    strength how far from the mean of all records: 1 as learned, 2 twice as far
    """

    label: Label | None
    vector: Sequence[float] | np.ndarray | None
    strength: float


class SharedOptions(ConditionOptions, total=False):
    """The keyword arguments of `generate`, beside the temperature; `Settings` says what they mean."""

    max_tokens: int
    top_k: int | None
    top_p: float
    min_p: float
    typical_p: float
    repetition_penalty: float
    frequency_penalty: float
    presence_penalty: float
    repetition_window: int
    no_repeat_ngram: int | None
    logit_bias: Mapping[Symbol, float]
    banned: Sequence[Symbol]
    allowed: Sequence[Symbol] | None
    forced: Mapping[int, Symbol]
    uniform: bool
    stop: str | Sequence[str] | None
    seed: int | None
    echo: bool
    unknown: UnknownPolicy
    allow_unknown: bool


class Options(SharedOptions, total=False):
    """The keyword arguments of everything that makes one text at one temperature."""

    temperature: Temperature


@dataclass(frozen=True)
class Settings:
    """Checked when made: raises UsageError in one line. A symbol is a string of one token, or an id.

    max_tokens          most tokens drawn
    temperature         0 takes the likeliest; a function of the position (0, 1, ...) is a schedule
    top_k               draw from the k likeliest
    top_p               draw from the likeliest that hold this share
    min_p               leave out those below this share of the likeliest
    typical_p           draw from the most typical that hold this share
    repetition_penalty  above 1 discourages symbols already there (prompt included)
    frequency_penalty   subtracted for each time a symbol is already there
    presence_penalty    subtracted once if it is
    repetition_window   tokens looked back at by the three penalties; 0 = all
    no_repeat_ngram     no run of this many tokens comes twice
    logit_bias          added to a symbol's logit; -inf bans it
    banned, allowed     symbols never drawn; the only ones drawn (beside the end of a record)
    forced              the symbol at a position, counted from 0
    uniform             every symbol equally likely, whatever the model says
    stop                strings that end the text and are not shown
    seed                0 to 2**63 - 1; None draws one
    echo                the text begins with the prompt
    unknown             prompt symbols that the model lacks: skip, nearest or error
    allow_unknown       let <unk> be drawn
    """

    max_tokens: int = 200
    temperature: Temperature = 0.8
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_window: int = 64
    no_repeat_ngram: int | None = None
    logit_bias: Mapping[Symbol, float] = field(default_factory=dict)
    banned: Sequence[Symbol] = ()
    allowed: Sequence[Symbol] | None = None
    forced: Mapping[int, Symbol] = field(default_factory=dict)
    uniform: bool = False
    stop: str | Sequence[str] | None = None
    seed: int | None = None
    echo: bool = True
    unknown: UnknownPolicy = "skip"
    allow_unknown: bool = False

    def __post_init__(self) -> None:
        check_whole("max_tokens", self.max_tokens, least=1)
        check_whole("repetition_window", self.repetition_window, least=0)
        if self.top_k is not None:
            check_whole("top_k", self.top_k, least=1, hint="leave it out to keep every token")
        if self.no_repeat_ngram is not None:
            check_whole("no_repeat_ngram", self.no_repeat_ngram, least=1, hint="leave it out to allow repeats")
        if self.seed is not None:
            check_whole("seed", self.seed, least=0, most=2**63 - 1)
        if not callable(self.temperature):
            check_temperature(self.temperature)
        for name in (
            "top_p",
            "min_p",
            "typical_p",
            "repetition_penalty",
            "frequency_penalty",
            "presence_penalty",
        ):
            _check_number(name, getattr(self, name))
        if self.unknown not in get_args(UnknownPolicy):
            raise UsageError(f"unknown must be one of {', '.join(get_args(UnknownPolicy))}, got {self.unknown!r}")
        for name, kind in (("logit_bias", Mapping), ("forced", Mapping), ("stop", str | Sequence | None)):
            if not isinstance(getattr(self, name), kind):
                raise UsageError(f"{name} cannot be {getattr(self, name)!r}")
        if "" in self.stops or not all(isinstance(stop, str) for stop in self.stops):
            raise UsageError(f"stop must be strings that are not empty, got {self.stop!r}")
        for name in ("banned", "allowed"):
            if isinstance(getattr(self, name), str):
                raise UsageError(f"{name} must be a list of symbols, got the string {getattr(self, name)!r}")
        self.truncation(), self.penalties()  # their own bounds

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    def temperature_at(self, position: int) -> float:
        """The temperature of the draw at `position`. Raises UsageError for a value that cannot be one."""
        if not callable(self.temperature):
            return self.temperature
        return check_temperature(self.temperature(position))

    def truncation(self) -> list[processors.Processor]:
        """What leaves out unlikely tokens, in the order run: top-k, typical, top-p, min-p."""
        chosen = [] if self.top_k is None else [processors.top_k(self.top_k)]
        chosen += [] if self.typical_p == 1 else [processors.typical(self.typical_p)]
        chosen += [] if self.top_p == 1 else [processors.top_p(self.top_p)]
        return chosen + ([] if self.min_p == 0 else [processors.min_p(self.min_p)])

    def penalties(self) -> list[processors.Penalty]:
        """What discourages tokens that are already there."""
        chosen = []
        if self.repetition_penalty != 1:
            chosen.append(processors.repetition_penalty(self.repetition_penalty))
        if self.frequency_penalty != 0:
            chosen.append(processors.frequency_penalty(self.frequency_penalty))
        if self.presence_penalty != 0:
            chosen.append(processors.presence_penalty(self.presence_penalty))
        return chosen


def make_settings(options: Mapping[str, Any]) -> Settings:
    """Settings from keyword arguments. Raises UsageError, naming the nearest, for an unknown one."""
    known = [f.name for f in dataclasses.fields(Settings)]
    for name in options:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            raise UsageError(f"unknown option {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
    return Settings(**options)


def ramp(start: float, end: float, tokens: int) -> Callable[[int], float]:
    """A temperature schedule: a straight line from `start` to `end` over `tokens` draws, then flat.

    >>> [ramp(1.0, 0.5, 5)(position) for position in (0, 2, 4, 99)]
    [1.0, 0.75, 0.5, 0.5]
    """
    check_temperature(start), check_temperature(end)
    check_whole("tokens of a temperature schedule", tokens, least=1)
    last = max(tokens - 1, 1)
    return lambda position: start + (end - start) * min(position / last, 1.0)


def check_temperature(value: Any) -> float:
    """The value as a float, if it can be a temperature. Raises UsageError."""
    _check_number("temperature", value)
    if not (math.isfinite(value) and value >= 0):
        raise UsageError(f"temperature must be a finite number of at least 0, got {value!r}")
    return float(value)


def check_whole(name: str, value: Any, *, least: int, most: int | None = None, hint: str = "") -> None:
    """Raise UsageError unless `value` is a whole number within bounds."""
    try:
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"{name} must be a whole number, got {value!r}") from None
    if number < least:
        raise UsageError(f"{name} must be at least {least}, got {number}" + (f"; {hint}" if hint else ""))
    if most is not None and number > most:
        raise UsageError(f"{name} must be at most {most}, got {number}")


def _check_number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise UsageError(f"{name} must be a number, got {value!r}")
