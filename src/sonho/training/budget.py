"""How long a run lasts: by the clock, by epochs or by steps. Knows time, not models."""

from __future__ import annotations

from dataclasses import dataclass

from sonho.config import Config, TrainingConfig
from sonho.errors import UsageError

DEFAULT_MINUTES = 5.0


@dataclass(frozen=True)
class Budget:
    """The end of a run: after `seconds` of training, or after `steps` optimiser steps; one of them is 0."""

    seconds: float
    steps: int

    def progress(self, step: int, seconds: float) -> float:
        """How far a run is, 0 to 1."""
        if self.steps:
            return min(1.0, step / self.steps)
        return min(1.0, seconds / self.seconds)

    def seconds_left(self, step: int, seconds: float) -> float:
        """By the speed so far; infinite before the first step."""
        if not self.steps:
            return max(0.0, self.seconds - seconds)
        return (self.steps - step) * seconds / step if step else float("inf")


def make_budget(config: TrainingConfig, steps_per_epoch: int) -> Budget:
    """The budget that a configuration asks for; five minutes where it asks for none.

    Raises UsageError where two are given.
    """
    given = [name for name in ("minutes", "epochs", "steps") if getattr(config, name)]
    if len(given) > 1:
        raise UsageError(f"choose one of {' and '.join('--' + name for name in given)}")
    if config.steps:
        return Budget(0.0, config.steps)
    if config.epochs:
        return Budget(0.0, max(1, round(config.epochs * steps_per_epoch)))
    return Budget((config.minutes or DEFAULT_MINUTES) * 60.0, 0)


def language_seconds(config: Config) -> float:
    """Seconds of a language model's run by the clock; 0.0 for one by steps or epochs, and for what is no such model."""
    language = config.model.task == "generate" and config.model.cell != "ngram"
    return make_budget(config.training, 1).seconds if language else 0.0
