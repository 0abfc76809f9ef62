"""The parts of one run put together: network, batches, baselines, trainer, record; and what is kept of it."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import sonho
from sonho.config import Config, TaskName, to_dict
from sonho.data.corpus import Corpus
from sonho.errors import UsageError
from sonho.evaluation.labels import LabelReport
from sonho.evaluation.metrics import Report
from sonho.models.language_model import load_arrays, to_arrays
from sonho.storage.model_file import MODEL_FILE_NAME, ModelFile, load_model_file, save_model_file
from sonho.training.budget import Budget, make_budget
from sonho.training.callbacks import Callback, RunRecord, TensorBoard
from sonho.training.checkpoint import restore, save_checkpoint
from sonho.training.labelling import LabellingTask
from sonho.training.language import LanguageTask, Say
from sonho.training.plan import intervals
from sonho.training.task import Task
from sonho.training.trainer import Trainer

# Of the minutes, learning gets at least this share, whatever the reading took.
LEAST_SHARE = 0.4


@dataclass
class Result:
    """What a training brought. `finished` is False where it was stopped and can be resumed."""

    folder: Path
    finished: bool
    seconds: float
    task: TaskName = "generate"
    validation: Report | LabelReport | None = None
    test: Report | LabelReport | None = None
    baselines: dict[str, float] = field(default_factory=dict)  # bits per character; accuracy, of labels


class Session:
    """The parts of one run, put together."""

    def __init__(
        self,
        folder: Path,
        paths: Sequence[str],
        config: Config,
        corpus: Corpus,
        plan_text: str,
        say: Say,
        began: float,
        most_seconds: float = math.inf,
        start: ModelFile | None = None,
        checkpoint: tuple[dict[str, Any], dict[str, Any]] | None = None,
    ) -> None:
        self.folder, self.paths, self.config, self.corpus, self.say = folder, paths, config, corpus, say
        self.plan_text, self.checkpoint = plan_text, checkpoint
        self.began, self.most_seconds = began, most_seconds
        self.task = make_task(config, corpus, say, start)
        self.corpus, self.batches = self.task.corpus, self.task.batches
        if checkpoint is not None and checkpoint[0].get("told", "") != self.task.told_digest:
            raise UsageError("the vectors or labels are not those that this run was trained on; give the old ones")
        self.budget: Budget = make_budget(config.training, self.batches.steps_in(0))
        for note in self.batches.notes:
            say(note)
        say(f"The network has {sum(p.numel() for p in self.task.model.parameters()):,} parameters")
        if checkpoint is None:
            self.baselines = self.task.baselines()
        else:
            self.baselines = dict(checkpoint[0]["baselines"])

    def go(self, callbacks: Sequence[Callback]) -> Result:
        """Train to the end of the budget (or a stop), then measure what is kept."""
        header = self.checkpoint[0] if self.checkpoint else {}
        self.record = RunRecord(self.folder, header.get("positions"))
        if self.budget.seconds:
            self.budget = dataclasses.replace(self.budget, seconds=header.get("seconds") or self._seconds_to_learn())
        extra: list[Callback] = [TensorBoard(self.folder)] if self.config.training.tensorboard else []
        trainer = Trainer(
            self.task,
            self.config.training,
            self.budget,
            intervals(self.config, self.budget),
            validates=self.corpus.validation is not None,
            draw=self.draw,
            keep=self.keep,
            save=self.save,
            callbacks=[self.record, *extra, *callbacks],
        )
        self.trainer = trainer
        if self.checkpoint:
            restore(trainer, *self.checkpoint)
            self.checkpoint = None  # its arrays are large
            self.say(f"Going on from step {trainer.counters.step:,}")
        else:
            self.save()  # from here on, whatever happens can be resumed
        result = Result(self.folder, False, 0.0, self.config.model.task, baselines=self.baselines)
        try:
            trainer.run()
            result.finished, result.seconds = trainer.finished, trainer.counters.seconds
            if trainer.finished:
                self._measure(result)
                step = trainer.counters.step
                for text in self.task.samples(self.snapshot(), step, gallery=True):
                    trainer.tell("on_sample", {"step": step, **text})
        finally:
            trainer.tell("on_end")
        return result

    def _seconds_to_learn(self) -> float:
        """What is left of the person's minutes after the reading, with time to measure what was learned."""
        closing = self.task.closing_seconds()
        left = self.budget.seconds - (time.perf_counter() - self.began) - closing
        least = LEAST_SHARE * self.budget.seconds
        if left < least:
            self.say(
                f"Reading and measuring take most of {self.budget.seconds / 60:g} minutes here;"
                f" learning gets {least:.0f} seconds all the same"
            )
        return min(max(left, least), self.most_seconds)

    def snapshot(self) -> ModelFile:
        """The weights now in the model, as a model file. Nothing in it depends on the clock or the machine."""
        counters = self.trainer.counters
        data = to_dict(self.config.data)
        data["test"] = data["vectors"] = ""  # may be paths of this machine
        validated = counters.curve[-1][1] if counters.curve else None
        return ModelFile(
            model=self.config.model,
            tokenizer=self.corpus.tokenizer,
            data_kind=self.task.data_kind,
            arrays=to_arrays(self.task.model),
            window=self.task.window,
            sampling=self.config.sampling,
            labels=self.corpus.label_names,
            condition=self.task.condition,
            record={
                "sonho": sonho.__version__,
                "torch": torch.__version__,
                "data": data,
                "training": to_dict(self.config.training),
                "data_sha256": self.corpus.digest,
                "train_tokens": len(self.corpus.train.tokens),
                "step": counters.step,
                "epoch": round(counters.tokens_seen / max(1, self.batches.tokens_per_epoch), 4),
                "tokens_seen": counters.tokens_seen,
                "validation_loss": validated,
                "curve": counters.curve,
                "baselines": self.baselines,
            },
        )

    def keep(self) -> None:
        save_model_file(self.folder / MODEL_FILE_NAME, self.snapshot())

    def draw(self) -> Iterator[dict[str, Any]]:
        yield from self.task.samples(self.snapshot(), self.trainer.counters.step)

    def save(self) -> None:
        header = {
            "config": to_dict(self.config),
            "tokenizer": self.corpus.tokenizer.to_json(),
            "digest": self.corpus.digest,
            "told": self.task.told_digest,
            "paths": [path if path == "-" else os.path.abspath(path) for path in self.paths],
            "plan": self.plan_text,
            "baselines": self.baselines,
            "positions": self.record.positions(),
            "threads": torch.get_num_threads(),
            "seconds": self.budget.seconds,
        }
        save_checkpoint(self.folder, self.trainer, header)

    def _measure(self, result: Result) -> None:
        """Score the kept weights, which are the best ones and not always the last."""
        kept = load_model_file(self.folder)
        load_arrays(self.task.model, kept.arrays)
        self.task.finish(kept)
        for name, part in (("validation", self.corpus.validation), ("test", self.corpus.test)):
            if part is not None:
                report, figures = self.task.report(part)
                setattr(result, name, report)
                kept.record |= {f"{name}_{figure}": value for figure, value in figures.items()}
                self.trainer.log({f"{name}_loss": figures["loss"]})
        save_model_file(self.folder / MODEL_FILE_NAME, kept)


def make_task(config: Config, corpus: Corpus, say: Say, start: ModelFile | None = None) -> Task:
    """The task of a configuration, at the weights of `start` if there is one."""
    if config.model.task == "generate":
        return LanguageTask(config, corpus, say, start)
    return LabellingTask(config, corpus, say, start)
