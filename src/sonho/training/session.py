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
from sonho.data.corpus import Corpus, Part, resolved_item
from sonho.errors import UsageError
from sonho.evaluation.evaluate import evaluate
from sonho.evaluation.evaluate_captions import CaptionReport
from sonho.evaluation.labels import LabelReport
from sonho.evaluation.metrics import Report
from sonho.evaluation.prior_counts import num_bytes
from sonho.evaluation.protocol import MOST_TOKENS
from sonho.evaluation.translation import TranslationReport
from sonho.models.language_model import to_arrays
from sonho.models.networks import load_weights
from sonho.storage.container import Arrays
from sonho.storage.durable import make_folder
from sonho.storage.model_file import MODEL_FILE_NAME, ModelFile, load_model_file, save_model_file
from sonho.text import masked_ids
from sonho.training.budget import Budget, make_budget
from sonho.training.callbacks import Callback, RunRecord, TensorBoard
from sonho.training.captioning import CaptioningTask
from sonho.training.checkpoint import restore, save_checkpoint
from sonho.training.ending import read_end
from sonho.training.ensemble import Further, Watch, learn_further, mean_of, whole
from sonho.training.labelling import LabellingTask
from sonho.training.language import LanguageTask, Say
from sonho.training.plan import intervals
from sonho.training.prior import count_parts, learn_gate, prior_advice, prior_note
from sonho.training.task import Task
from sonho.training.trainer import DivergedError, Trainer
from sonho.training.translation import TranslationTask

# Of the minutes, learning gets at least this share, whatever the reading took.
LEAST_SHARE = 0.4
# Of the minutes, learning the held-out end takes at most this share.
SHARE_OF_END = 0.08
# What a run's model was before it learned from the held-out end: the one that the validation figure belongs to.
BEFORE_END_NAME = "before-end.safetensors"
# Of several networks whose mean is the model, the first as it was kept.
FIRST_NAME = Path("network-1", MODEL_FILE_NAME)
# Networks after the first draw no samples: so many steps come never.
NEVER = 2**62
# Learning the gate of a prior takes less.
GATE_SECONDS = 3.0


AnyReport = Report | LabelReport | TranslationReport | CaptionReport


@dataclass
class Result:
    """What a training brought. `finished` is False where it was stopped and can be resumed."""

    folder: Path
    finished: bool
    seconds: float
    task: TaskName = "generate"
    validation: AnyReport | None = None
    test: AnyReport | None = None
    baselines: dict[str, float] = field(default_factory=dict)  # bits per character; accuracy, of labels; or BLEU
    # The same parts with the n-gram prior, where there is one: figures of their own, never mixed up with the pure ones.
    validation_with_prior: Report | None = None
    test_with_prior: Report | None = None
    advice: str = ""  # what would do better, in a line


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
        networks: int = 0,
        start: ModelFile | None = None,
        checkpoint: tuple[dict[str, Any], dict[str, Any]] | None = None,
    ) -> None:
        self.folder, self.paths, self.config, self.corpus, self.say = folder, paths, config, corpus, say
        self.plan_text, self.checkpoint = plan_text, checkpoint
        self.began, self.most_seconds = began, most_seconds
        # How many learn one after the other and are measured as one, and how many learn from the whole text after that.
        self.together, self.networks = max(config.training.networks, 1), networks
        self.task = make_task(config, corpus, say, start)
        self.corpus, self.batches = self.task.corpus, self.task.batches
        if checkpoint is not None and checkpoint[0].get("told", "") != self.task.told_digest:
            raise UsageError(
                "the pictures, vectors or labels are not those that this run was trained on; give the old ones"
            )
        self.budget: Budget = make_budget(config.training, self.batches.steps_in(0))
        self.promised = self.budget.seconds  # of the whole command, where it goes by the clock
        self.item = resolved_item(paths, config.data)
        self.end_tokens = 0  # of the held-out part, learned from when all is measured
        self.prior: Arrays = {}
        if config.model.prior == "ngram":  # counted now, so that the time it takes is known
            counting = time.perf_counter()
            self.prior = self._count(self.corpus.train)
            self.prior_seconds = time.perf_counter() - counting
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
            self.end_tokens = header.get("end_tokens", 0)
            self.networks = header.get("networks", self.networks)
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
        self.trainer, self.callbacks = trainer, callbacks
        if self.checkpoint:
            restore(trainer, *self.checkpoint)
            # What goes on is the first network, and what has learned the held-out end cannot be measured by it.
            for name in (BEFORE_END_NAME, FIRST_NAME):
                if (self.folder / name).exists():
                    os.replace(self.folder / name, self.folder / MODEL_FILE_NAME)
            self.checkpoint = None  # its arrays are large
            self.say(f"Going on from step {trainer.counters.step:,}")
        else:
            self.save()  # from here on, whatever happens can be resumed
        result = Result(self.folder, False, 0.0, self.config.model.task, baselines=self.baselines)
        try:
            trainer.run()
            result.finished, result.seconds = trainer.finished, trainer.counters.seconds
            if trainer.finished:
                kept, result.finished = self._measure(result)
                step = trainer.counters.step
                for text in self.task.samples(kept, step, gallery=True):
                    trainer.tell("on_sample", {"step": step, **text})
        finally:
            trainer.tell("on_end")
        return result

    def _seconds_to_learn(self) -> float:
        """What is left of the person's minutes after the reading, with time to measure what was learned."""
        closing = self.together * self.task.closing_seconds()
        if self.prior:
            closing += closing + self.prior_seconds + GATE_SECONDS  # measured once more, and counted
        closing += self.task.finishing_seconds()  # of several as many fewer gradients
        if self.networks:
            closing += self.task.finishing_seconds()
        else:
            self.end_tokens, reading = self.task.ending_tokens(SHARE_OF_END * self.budget.seconds / self.together)
            closing += self.together * reading
        left = self.budget.seconds - (time.perf_counter() - self.began) - closing
        least = LEAST_SHARE * self.budget.seconds
        if left < least:
            self.say(
                f"Reading and measuring take most of {self.budget.seconds / 60:g} minutes here;"
                f" learning gets {least:.0f} seconds all the same"
            )
        return min(max(left, least) / (self.together + self.networks * self._times_of_all()), self.most_seconds)

    def _times_of_all(self) -> float:
        """How many times as long the text is with its held-out part."""
        validation = self.corpus.validation
        return 1.0 + (validation.num_tokens / self.corpus.train.num_tokens if validation is not None else 0.0)

    def _count(self, *parts: Part) -> Arrays:
        tokenizer = self.corpus.tokenizer
        masked = list(masked_ids(tokenizer, self.task.data_kind))
        return count_parts(parts, tokenizer, masked, self.config.model.prior_order)

    def snapshot(self) -> ModelFile:
        """The weights now in the model, as a model file. Nothing in it depends on the clock or the machine."""
        counters = self.trainer.counters
        data = to_dict(self.config.data)
        data["test"] = data["vectors"] = data["pictures"] = ""  # may be paths of this machine
        data["validation_files"] = []
        data["item"] = self.item  # a text at hand has no suffix that tells it
        validated = counters.curve[-1][1] if counters.curve else None
        return ModelFile(
            model=self.config.model,
            tokenizer=self.corpus.tokenizer,
            data_kind=self.task.data_kind,
            arrays=to_arrays(self.task.model),
            window=self.task.window,
            sampling=self.config.sampling,
            labels=self.corpus.label_names,
            source_tokenizer=self.corpus.source_tokenizer,
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
        source = self.corpus.source_tokenizer
        header = {
            "config": to_dict(self.config),
            "tokenizer": self.corpus.tokenizer.to_json(),
            "source_tokenizer": None if source is None else source.to_json(),
            "digest": self.corpus.digest,
            "told": self.task.told_digest,
            "paths": [path if path == "-" else os.path.abspath(path) for path in self.paths],
            "plan": self.plan_text,
            "baselines": self.baselines,
            "positions": self.record.positions(),
            "threads": torch.get_num_threads(),
            "seconds": self.budget.seconds,
            "end_tokens": self.end_tokens,
            "networks": self.networks,
        }
        save_checkpoint(self.folder, self.trainer, header)

    def _measure(self, result: Result) -> tuple[ModelFile, bool]:
        """Score the kept weights, which are the best ones and not always the last, and learn what is still held out.

        Returns the model, and whether nobody stopped that.
        """
        kept = load_model_file(self.folder)
        load_weights(self.task.model, kept.arrays)
        if self.together > 1:
            mean = self._learn_together(kept, result)
            if mean is None:
                return kept, False
            kept = mean
        self.task.finish(kept)
        validation, test = self.corpus.validation, self.corpus.test
        if validation is not None:
            result.validation = self._report(kept, "validation", validation)
            if isinstance(result.validation, Report) and not self.networks:
                result.advice = prior_advice(self.config, result.validation.bits_per_char, self.baselines)
        if self.prior:
            self._add_prior(kept, result)
        if self.networks and validation is not None:
            save_model_file(self.folder / MODEL_FILE_NAME, kept)  # what there is, if the rest is stopped
            if not self._learn_whole(kept, result):
                return kept, False
        elif self.end_tokens and validation is not None:
            self._learn_end(kept, validation)
        if test is not None:
            result.test = self._report_test(kept, test)
            if self.prior:
                result.test_with_prior = self._measure_with_prior(kept, "test", test)
        save_model_file(self.folder / MODEL_FILE_NAME, kept)
        return kept, True

    def _report_test(self, kept: ModelFile, test: Part) -> AnyReport:
        if not self.networks:
            return self._report(kept, "test", test)
        report = evaluate(kept, test, limit=MOST_TOKENS, prior=False)  # it is not the task's own network
        self._note(kept, "test", {"loss": report.loss, "bits_per_char": report.bits_per_char})
        return report

    def _report(self, kept: ModelFile, name: str, part: Part) -> AnyReport:
        report, figures = self.task.report(part)
        self._note(kept, name, figures)
        measured: AnyReport = report
        return measured

    def _note(self, kept: ModelFile, name: str, figures: dict[str, float]) -> None:
        kept.record |= {f"{name}_{figure}": value for figure, value in figures.items()}
        self.trainer.log({f"{name}_loss": figures["loss"]})

    def _learn_further(self, result: Result, corpus: Corpus, networks: int, seconds: float) -> list[Arrays] | None:
        """The weights of so many networks beside the first, with so much time each where it goes by the clock.

        None of them where one diverged; None where that was stopped.
        """
        budget = dataclasses.replace(self.budget, seconds=seconds)
        never = dataclasses.replace(
            intervals(self.config, budget), validate_steps=0, validate_seconds=math.inf, sample_steps=NEVER
        )
        further = Further(self.folder, self.budget, budget, never, Watch(self.trainer, self.callbacks))
        try:
            learned = learn_further(self.config, corpus, networks, further)
        except DivergedError as error:
            self.say(f"The first network is kept as it is: {error}")
            return []
        if learned is None:
            return None
        result.seconds += learned[1]
        return learned[0]

    def _learn_together(self, kept: ModelFile, result: Result) -> ModelFile | None:
        """The mean of the first network and of others that learn as long as it did; None where that was stopped."""
        best = self.trainer.counters.best_score
        at = "" if math.isinf(best) else f" at {best:.3f} nats"
        self.say(f"The first of {self.together} networks has learned{at}; the model will be the mean of them all")
        learned = self._learn_further(result, self.corpus, self.together - 1, self.budget.seconds)
        if not learned:
            return None if learned is None else kept
        make_folder(self.folder / FIRST_NAME.parent)
        save_model_file(self.folder / FIRST_NAME, kept)
        mean, self.task = mean_of(kept, self.config, self.corpus, [kept.arrays, *learned])
        return mean

    def _learn_whole(self, kept: ModelFile, result: Result) -> bool:
        """Let further networks learn from the whole text, and keep their mean; False where that was stopped."""
        left = self.promised - (time.perf_counter() - self.began) - self.task.finishing_seconds()
        seconds = self.trainer.counters.seconds * self._times_of_all()
        if left > 0.0:  # else it goes on with an older run, whose learning has the time that it had
            seconds = min(seconds, left / self.networks)
        self.say(
            f"Learning from all of the text, held-out part included: {self.networks} x {seconds:.0f} seconds."
            " The validation figures are from before that"
        )
        corpus = whole(self.corpus)
        learned = self._learn_further(result, corpus, self.networks, seconds)
        if not learned:
            return learned is not None
        mean, task = mean_of(kept, self.config, corpus, learned)
        task.finish(mean)
        save_model_file(self.folder / BEFORE_END_NAME, kept)
        kept.model, kept.arrays, kept.gradient_rms = mean.model, mean.arrays, mean.gradient_rms
        kept.record["networks"] = self.networks
        return True

    def _learn_end(self, kept: ModelFile, validation: Part) -> None:
        """Learn from the held-out end, which has told all that it can tell, where that helps with what comes next."""
        ending = read_end(kept, validation, self.end_tokens)
        if ending is None:
            return
        save_model_file(self.folder / BEFORE_END_NAME, kept)
        kept.arrays, kept.record["end_tokens"] = ending.model_file.arrays, ending.tokens
        load_weights(self.task.model, kept.arrays)
        self.say(
            f"Last it learned from the held-out end as well ({ending.tokens:,} tokens): half of them brought the other"
            f" half from {ending.before:.3f} to {ending.after:.3f} nats. The validation figures are from before that"
        )

    def _add_prior(self, kept: ModelFile, result: Result) -> None:
        """Give the kept model its counts, with a gate learned on what they do not hold, and measure both together."""
        validation = self.corpus.validation
        kept.prior = self.prior
        if validation is not None:
            self.prior["gate"] = learn_gate(kept, validation)
            result.validation_with_prior = self._measure_with_prior(kept, "validation", validation)
            kept.prior = {**self._count(self.corpus.train, validation), "gate": self.prior["gate"]}
        kept.record["prior_bytes"] = num_bytes(kept.prior)
        counted = self.corpus.train.num_tokens + (validation.num_tokens if validation is not None else 0)
        self.say(prior_note(kept.prior, counted))

    def _measure_with_prior(self, kept: ModelFile, name: str, part: Part) -> Report:
        report = evaluate(kept, part, limit=MOST_TOKENS)
        kept.record[f"{name}_with_prior_loss"] = report.loss
        kept.record[f"{name}_with_prior_bits_per_char"] = report.bits_per_char
        self.trainer.log({f"{name}_with_prior_loss": report.loss})
        return report


def make_task(config: Config, corpus: Corpus, say: Say, start: ModelFile | None = None) -> Task:
    """The task of a configuration, at the weights of `start` if there is one."""
    if config.model.task == "generate":
        return LanguageTask(config, corpus, say, start)
    if config.model.task == "translate":
        return TranslationTask(config, corpus, say, start)
    if config.model.task == "caption":
        return CaptioningTask(config, corpus, say, start)
    return LabellingTask(config, corpus, say, start)
