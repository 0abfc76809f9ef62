"""The trials of a search: settings are proposed, learned with, judged by the validation part, and kept.

Optuna's tree-structured Parzen estimator proposes (Bergstra et al. 2011); a trial that is behind the median of the
others at the same share of its time is stopped.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from sonho.config import build_config
from sonho.evaluation.metrics import Report
from sonho.storage.durable import replace_file
from sonho.storage.model_file import load_model_file
from sonho.training.callbacks import Callback
from sonho.training.recipe_file import recipe_sections, to_toml
from sonho.training.run import Settings, given_settings, train_corpus
from sonho.training.space import Choices, Space
from sonho.training.trainer import DivergedError

if TYPE_CHECKING:
    from sonho.training.trainer import Trainer
    from sonho.training.tune import Reader

RECIPE_NAME, STUDY_NAME = "recipe.toml", "study.db"
# Trials are compared at eighths of their time, from the third eighth and the fifth trial on.
LOOKS, EARLY_LOOKS, FIRST_TRIALS = 8, 2, 4
# Trials at random before the estimator begins.
RANDOM_TRIALS = 6
DIGITS = 3  # of a number that is drawn
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Outcome:
    """Where a search stands: losses are nats per token of the validation part, None where there is none yet."""

    recipe: Path | None
    loss: float | None
    planned_loss: float | None  # of what the plan's table chose
    num_trials: int


class Trials:
    """Runs trials until the time is over."""

    def __init__(
        self,
        study: optuna.Study,
        reader: Reader,
        space: Space,
        trial_minutes: float,
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        self.study, self.reader, self.space, self.folder, self.say = study, reader, space, folder, say
        self.trial_minutes = trial_minutes

    def run(self, seconds: float, most_trials: int, began: float) -> None:
        """Try settings for `seconds`, those of earlier calls included; what would not end in time is not begun."""
        self._take_up_broken()
        before = sum(trial.user_attrs.get("seconds", 0.0) for trial in self.study.trials)
        while not most_trials or len(self._ended()) < most_trials:
            left = seconds - before - (time.perf_counter() - began)
            if self._ended() and left < self._longest():
                return
            self._try(self.study.ask())

    def best(self) -> FrozenTrial | None:
        done = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return min(done, key=lambda trial: trial.values[0], default=None)

    def outcome(self) -> Outcome:
        best, ended = self.best(), self._ended()
        planned = [trial.value for trial in ended if trial.user_attrs.get("planned")]
        recipe, loss = (self.folder / RECIPE_NAME, best.value) if best else (None, None)
        return Outcome(recipe, loss, planned[0] if planned else None, len(ended))

    def write_recipe(self) -> None:
        """Put the best settings so far into the folder."""
        best = self.best()
        if best is None:
            return
        paths = " ".join(os.path.basename(path) for path in self.reader.paths)
        head = [
            f"Found by sonho tune for {paths}: the best of {len(self._ended())} trials.",
            f"  sonho train --recipe {RECIPE_NAME} {paths}",
            f"Validation: {best.value:.4f} nats/token.",
        ]
        replace_file(self.folder / RECIPE_NAME, to_toml(best.user_attrs["recipe"], head).encode())

    def _try(self, trial: optuna.Trial) -> None:
        """One trial from its settings to its figure."""
        settings = with_limit(self.reader.settings, self.trial_minutes)
        values = suggest(trial, self.space)
        for name, value in values.items():
            section, key = name.split(".")
            settings.setdefault(section, {})[key] = value
        number, began = trial.number + 1, time.perf_counter()
        plan = " (the plan)" if trial.user_attrs.get("planned") else ""
        self.say(f"Trial {number}{plan}: {' '.join(f'{name}={value}' for name, value in values.items())}")
        state, loss, told = TrialState.FAIL, None, ""
        try:
            loss, told = self._learn(trial, settings)
            state = TrialState.COMPLETE
        except optuna.TrialPruned as pruned:
            state, told = TrialState.PRUNED, str(pruned)
        except DivergedError:
            state, told = TrialState.PRUNED, "stopped: it diverged"
        except KeyboardInterrupt:
            self._again(values, trial.user_attrs)
            raise
        finally:
            trial.set_user_attr("seconds", time.perf_counter() - began)
            self.study.tell(trial, loss, state)
            shutil.rmtree(self._trial_folder, ignore_errors=True)
        best = self.best()
        self.say(f"Trial {number}: {told}" + (f"; best {best.value:.4f} by trial {best.number + 1}" if best else ""))
        if best and best.number == trial.number:
            self.write_recipe()

    def _learn(self, trial: optuna.Trial, settings: dict[str, dict[str, Any]]) -> tuple[float, str]:
        """Train, and score what was kept: the validation loss in nats per token, and a sentence about it."""
        shutil.rmtree(self._trial_folder, ignore_errors=True)
        self._trial_folder.mkdir()
        result = train_corpus(
            self.reader.corpus,
            self._trial_folder,
            build_config(settings),
            given_settings(settings),
            self.reader.paths,
            say=lambda text: None,
            callbacks=[Pruner(trial)],
            # The minutes are those of `sonho train`: what reading took is part of them.
            began=time.perf_counter() - self.reader.seconds,
            alone=True,  # a trial is judged by the held-out part, and no model is kept of it
        )
        assert isinstance(result.validation, Report)
        trial.set_user_attr("recipe", recipe_sections(load_model_file(self._trial_folder), settings))
        loss, bits = result.validation.loss, result.validation.bits_per_char
        return loss, f"{loss:.4f} nats/token = {bits:.4f} bits/char"

    @property
    def _trial_folder(self) -> Path:
        return self.folder / "trial"

    def _ended(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=ENDED)

    def _longest(self) -> float:
        """Seconds that a trial may take."""
        return max(float(trial.user_attrs["seconds"]) for trial in self._ended())

    def _take_up_broken(self) -> None:
        """What a kill broke off is tried again, from its beginning."""
        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            self.study.tell(trial.number, state=TrialState.FAIL)
            self._again({**trial.system_attrs.get("fixed_params", {}), **trial.params}, trial.user_attrs)

    def _again(self, values: dict[str, Any], attributes: dict[str, Any]) -> None:
        self.study.enqueue_trial(values, user_attrs={"planned": attributes.get("planned", False)})


class Pruner(Callback):
    """Tells the study the validation losses of a trial; raises TrialPruned where it is behind."""

    def __init__(self, trial: optuna.Trial) -> None:
        self.trial = trial

    def on_log(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        if "validation_loss" not in metrics or trainer.finished:
            return
        self.trial.report(metrics["validation_loss"], int(trainer.progress * LOOKS))
        if self.trial.should_prune():
            raise optuna.TrialPruned(
                f"stopped at {100 * trainer.progress:.0f} % with {metrics['validation_loss']:.4f} nats/token"
            )


def open_study(folder: Path) -> optuna.Study:
    """The study of a folder, made where there is none yet."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = (folder / STUDY_NAME).absolute()
    study = optuna.create_study(storage=f"sqlite:///{path}", study_name="sonho", load_if_exists=True)
    # A search that goes on must not draw again what it drew at its beginning.
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials), n_startup_trials=RANDOM_TRIALS)
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=FIRST_TRIALS, n_warmup_steps=EARLY_LOOKS)
    return study


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Any]:
    """A value for each setting that is searched."""
    values: dict[str, Any] = {}
    for name, bounds in space.items():
        if isinstance(bounds, Choices):
            values[name] = trial.suggest_categorical(name, bounds.values)
        elif bounds.whole:
            values[name] = trial.suggest_int(name, int(bounds.low), int(bounds.high), log=bounds.logarithmic)
        else:
            drawn = trial.suggest_float(name, bounds.low, bounds.high, log=bounds.logarithmic)
            values[name] = min(max(float(f"{drawn:.{DIGITS}g}"), bounds.low), bounds.high)
    return values


def with_limit(settings: Settings, trial_minutes: float) -> dict[str, dict[str, Any]]:
    """The settings of a trial: its minutes, unless they say how many steps or epochs."""
    made = {name: dict(values) for name, values in settings.items()}
    if not {"minutes", "steps", "epochs"} & made.get("training", {}).keys():
        made.setdefault("training", {})["minutes"] = trial_minutes
    return made
