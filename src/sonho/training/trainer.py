"""The training loop of every task: for language models, truncated backpropagation with a carried state.

Knows batches, weights and moments; not files, screens or where the text came from.
Shapes: N batch, T time, V vocabulary.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sonho.config import TrainingConfig
from sonho.data.batches import Batch
from sonho.errors import UsageError
from sonho.models.language_model import State, detach
from sonho.nn.precision import products_in
from sonho.training.averaging import Averaged
from sonho.training.budget import Budget
from sonho.training.callbacks import Callback
from sonho.training.elementwise import Clipping
from sonho.training.optimizers import make_optimizers
from sonho.training.schedules import multiplier
from sonho.training.task import Task

NATS_PER_BIT = math.log(2)
# A validation this much above the best one (nats, or share of errors) is overfitting, not noise.
OVERFIT_MARGIN = 0.05
# Nats per token that no network reaches by being wrong: guessing among 65,536 symbols costs 11.
DIVERGED_LOSS = 200.0
# Samples of their own accord come with every epoch and validation, but not faster than one can read.
LEAST_SAMPLE_SECONDS = 2.0


class DivergedError(UsageError):
    """The loss or the gradient became NaN or infinite."""


@dataclass
class Counters:
    """Where a run is. `epoch` and `index` are the place of the next batch."""

    step: int = 0
    epoch: int = 0
    index: int = 0
    tokens_seen: int = 0
    seconds: float = 0.0
    learning_rate: float = 0.0  # of the last step
    loss_sum: float = 0.0  # since the last line of the log
    loss_steps: int = 0
    best_score: float = math.inf  # of the validations, in the task's own measure: lower is better
    best_step: int = 0
    worse: int = 0  # validations since the best one
    validated_at: float = 0.0  # seconds of the last validation
    warned: list[str] = field(default_factory=list)
    curve: list[list[float]] = field(default_factory=list)  # [tokens_seen, validation nats per target]


@dataclass
class Intervals:
    """Steps, or seconds of training, between validations, samples and checkpoints."""

    validate_steps: int
    validate_seconds: float
    sample_steps: int
    checkpoint_steps: int
    checkpoint_seconds: float


class Trainer:
    """One run. `draw`, `keep` and `save` are given from outside, and whether there is a part to validate on:

    draw() -> samples from the weights now in the model; keep() stores them as the model file;
    save() writes a checkpoint.
    """

    def __init__(
        self,
        task: Task,
        config: TrainingConfig,
        budget: Budget,
        intervals: Intervals,
        *,
        validates: bool,
        draw: Callable[[], Iterator[dict[str, Any]]],
        keep: Callable[[], None],
        save: Callable[[], None],
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.task, self.model, self.batches, self.config = task, task.model, task.batches, config
        self.budget, self.intervals = budget, intervals
        self.validates, self.draw, self.keep, self.save = validates, draw, keep, save
        self.callbacks = list(callbacks)
        self.optimizers = make_optimizers(self.model, config)
        self.peak_rates = [[g["lr"] for g in optimizer.param_groups] for optimizer in self.optimizers]
        self.clipping = Clipping(self.model)
        self.average = Averaged(self.model, config.ema)
        self.counters = Counters()
        # Carried from window to window; where every batch starts fresh there is nothing to carry.
        self.state: State = ()
        if self.batches.carries_state:
            self.state = task.initial_state(self.batches.batch(0, 0).inputs.shape[0])
        self.tokens_per_second = 0.0
        self.stop_requested = False
        self._clock = time.perf_counter()
        self.stopped_early = ""

    @property
    def learning_rate(self) -> float:
        return self.counters.learning_rate

    @property
    def progress(self) -> float:
        return self.budget.progress(self.counters.step, self.counters.seconds)

    @property
    def finished(self) -> bool:
        return self.progress >= 1.0 or bool(self.stopped_early)

    def run(self) -> None:
        """Train until the budget is spent, patience ends or `stop_requested` is set.

        Raises DivergedError; the last checkpoint and the best model stay as they were.
        """
        self.tell("on_start")
        self._clock = time.perf_counter()
        self._speed_mark = (self.counters.tokens_seen, self.counters.seconds)
        self._last_checkpoint = self.counters.seconds
        self._last_sample = -LEAST_SAMPLE_SECONDS
        while not self.finished and not self.stop_requested:
            self.learn_one()
            if self.counters.step % self.config.log_every == 0 or self.finished:
                self._log_progress()
            looked = self._validation_due() or self.finished
            if looked:
                self._check()
            if self._sample_due(looked) or self.finished:
                self._sample()
            if self._checkpoint_due() or self.finished:
                self._checkpoint()
        if self.stop_requested and not self.finished:
            self._checkpoint()

    def _validation_due(self) -> bool:
        every = self.intervals
        if every.validate_steps:
            return _due(self.counters.step, every.validate_steps)
        return self.counters.seconds - self.counters.validated_at >= every.validate_seconds

    def _sample_due(self, looked: bool) -> bool:
        if self.intervals.sample_steps:
            return _due(self.counters.step, self.intervals.sample_steps)
        epoch_ended = self.counters.index == 0
        return (looked or epoch_ended) and self.counters.seconds - self._last_sample >= LEAST_SAMPLE_SECONDS

    def _checkpoint_due(self) -> bool:
        every = self.intervals
        if every.checkpoint_steps:
            return _due(self.counters.step, every.checkpoint_steps)
        return self.counters.seconds - self._last_checkpoint >= every.checkpoint_seconds

    def learn_one(self) -> None:
        """One step, and nothing of what else belongs to a run."""
        counters = self.counters
        batch = self.batches.batch(counters.epoch, counters.index)
        factor = multiplier(self.progress, schedule=self.config.schedule, warmup=self.config.warmup)
        for optimizer, peaks in zip(self.optimizers, self.peak_rates, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
        self.counters.learning_rate = self.peak_rates[0][0] * factor
        with products_in(self.task.precision):
            loss = self._update(batch)
        counters.step += 1
        counters.tokens_seen += batch.num_tokens
        counters.loss_sum += loss
        counters.loss_steps += 1
        counters.index += 1
        if counters.index >= self.batches.steps_in(counters.epoch):
            counters.epoch, counters.index = counters.epoch + 1, 0
        self.average.update(counters.step)
        self._tick()
        self.tell("on_step", loss)

    def _update(self, batch: Batch) -> float:
        """Forward, backward and one optimiser step; returns the loss in nats per token."""
        self.model.train()
        state = self.state
        if batch.fresh:
            state = self.task.initial_state(batch.inputs.shape[0])
        loss, state = self.task.gradients(batch, state)
        norm = self.clipping.clip(self.config.clip_norm)
        if not loss < DIVERGED_LOSS or not math.isfinite(norm):
            what = "the gradient is not finite" if loss < DIVERGED_LOSS else f"the loss is {loss:.3g}"
            raise DivergedError(
                f"training diverged at step {self.counters.step + 1}: {what}; the last good checkpoint "
                f"and the best model are kept; start again with a lower training.learning_rate "
                f"(it was {self.learning_rate:.3g})"
            )
        for optimizer in self.optimizers:
            optimizer.step()
        self.state = detach(state) if self.batches.carries_state else ()
        return loss

    def _check(self) -> None:
        """Validate the averaged weights and keep them if they are the best."""
        counters, start = self.counters, time.perf_counter()
        with self.average.in_place():
            if not self.validates:
                self.keep()
            else:
                measured = self.task.validate()
                if not measured.loss < DIVERGED_LOSS:
                    raise DivergedError(
                        f"the validation loss is {measured.loss} at step {counters.step}; "
                        f"start again with a lower training.learning_rate"
                    )
                counters.curve.append([counters.tokens_seen, measured.loss])
                score = measured.judged_by
                if score < counters.best_score:
                    counters.best_score, counters.best_step, counters.worse = score, counters.step, 0
                    self.keep()
                else:
                    counters.worse += 1
        self._tick()
        if self.validates:
            self.log(measured.metrics)
            self._watch(score)
        # Looking must not eat a budget of minutes: it may take at most a tenth of the time.
        every, spent = self.intervals, time.perf_counter() - start
        every.validate_seconds = max(every.validate_seconds, 10.0 * spent)
        counters.validated_at = counters.seconds

    def _watch(self, score: float) -> None:
        """Warn once of overfitting or a plateau, and stop where patience ends."""
        counters = self.counters
        if score > counters.best_score + OVERFIT_MARGIN:
            self._warn_once(
                "overfit",
                f"overfitting: validation is {score - counters.best_score:.2f} {self.task.unit} above its best (step "
                f"{counters.best_step}), whose weights are kept; use more text, more dropout or fewer units",
            )
        elif counters.worse >= 5:
            self._warn_once(
                "plateau",
                f"plateau: no better validation since step {counters.best_step}; more time may not help",
            )
        if self.config.patience and counters.worse >= self.config.patience:
            self.stopped_early = f"no better validation in {counters.worse} tries since step {counters.best_step}"
            self.message(f"stopped early: {self.stopped_early}")

    def _warn_once(self, kind: str, text: str) -> None:
        if kind not in self.counters.warned:
            self.counters.warned.append(kind)
            self.message(text)

    def message(self, text: str) -> None:
        self.tell("on_message", text)

    def _log_progress(self) -> None:
        counters = self.counters
        tokens, seconds = self._speed_mark
        if counters.seconds > seconds:
            self.tokens_per_second = (counters.tokens_seen - tokens) / (counters.seconds - seconds)
        loss = counters.loss_sum / max(1, counters.loss_steps)
        counters.loss_sum, counters.loss_steps = 0.0, 0
        self.log({"train_loss": loss})
        self._speed_mark = (counters.tokens_seen, counters.seconds)

    def log(self, values: dict[str, float]) -> None:
        counters = self.counters
        metrics = {
            "step": counters.step,
            "epoch": round(counters.epoch + counters.index / self.batches.steps_in(counters.epoch), 4),
            "tokens_seen": counters.tokens_seen,
            **values,
            "learning_rate": self.learning_rate,
            "tokens_per_second": round(self.tokens_per_second, 1),
            "seconds": round(counters.seconds, 3),
        }
        self.tell("on_log", metrics)

    def _sample(self) -> None:
        with self.average.in_place():
            for sample in self.draw():
                self.tell("on_sample", {"step": self.counters.step, **sample})
        self._tick()
        self._last_sample = self.counters.seconds

    def _checkpoint(self) -> None:
        self.tell("on_checkpoint")
        if not self.counters.curve and not self.counters.best_step:
            # No validation yet: what there is is better than nothing to use.
            with self.average.in_place():
                self.keep()
        self.save()
        self._tick()
        self._last_checkpoint = self.counters.seconds

    def _tick(self) -> None:
        now = time.perf_counter()
        self.counters.seconds += now - self._clock
        self._clock = now

    def tell(self, moment: str, *values: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, moment)(self, *values)


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
