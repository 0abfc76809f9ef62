"""The parts of one run put together: network, batches, baselines, trainer, record; and what is kept of it."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import sonho
from sonho.config import Config, to_dict
from sonho.data.batches import Batches, WindowBatches, make_batches
from sonho.data.corpus import Corpus, Part, resolved_item
from sonho.decoding.model import Model
from sonho.evaluation.baselines import Baseline, baselines
from sonho.evaluation.metrics import Report
from sonho.evaluation.protocol import MOST_TOKENS
from sonho.models.language_model import LanguageModel, load_arrays, to_arrays
from sonho.storage.container import Arrays
from sonho.storage.model_file import MODEL_FILE_NAME, ModelFile, load_model_file, save_model_file
from sonho.text import Tokenizer, masked_ids
from sonho.training.budget import Budget, make_budget
from sonho.training.callbacks import Callback, RunRecord, TensorBoard
from sonho.training.checkpoint import restore, save_checkpoint
from sonho.training.gradient_rms import MOST_GRADIENTS, measure_rms
from sonho.training.plan import intervals
from sonho.training.trainer import Trainer
from sonho.training.validation import validation_report

Say = Callable[[str], None]
# While it learns, a huge held-out part is looked at through this many tokens; the last look is at all.
VALIDATION_TOKENS = 200_000
# How long measuring takes is found out with so much of it.
TRIAL_TOKENS, TRIAL_GRADIENTS = 20_000, 8
# Of the minutes, learning gets at least this share, whatever the reading took.
LEAST_SHARE = 0.4
# The n-grams to beat are counted on this much of the training part: their memory is not the user's.
BASELINE_TOKENS = 1_500_000


@dataclass
class Result:
    """What a training brought. `finished` is False where it was stopped and can be resumed."""

    folder: Path
    finished: bool
    seconds: float
    validation: Report | None = None
    test: Report | None = None
    baselines: dict[str, float] = field(default_factory=dict)  # bits per character


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
        self.tokenizer: Tokenizer = corpus.tokenizer
        self.batches: Batches = make_batches(corpus.train, self.tokenizer, config.data, config.training.seed)
        self.budget: Budget = make_budget(config.training, self.batches.steps_in(0))
        self.data_kind, self.window = corpus.kind, 0
        self.item = resolved_item(paths, config.data)
        if isinstance(self.batches, WindowBatches):
            # Predicting every position of a window is scored and used like a stream.
            last = config.data.objective == "last"
            self.data_kind, self.window = ("windows", self.batches.window) if last else ("stream", 0)
            if last:
                self._leave_out_parts_without_a_window()
        self.masked = masked_ids(self.tokenizer, self.data_kind)
        torch.manual_seed(config.training.seed)
        self.model = LanguageModel(config.model, self.tokenizer.vocab_size, self.masked)
        if start is not None:
            load_arrays(self.model, start.arrays)
        for note in self.batches.notes:
            say(note)
        say(f"The network has {sum(p.numel() for p in self.model.parameters()):,} parameters")
        if checkpoint is None:
            self.baselines = self._baselines()
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
            self.model,
            self.batches,
            self.config.training,
            self.budget,
            intervals(self.config, self.budget),
            last_only=self.window > 0,
            validate=self.validate if self.corpus.validation is not None else None,
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
        result = Result(self.folder, False, 0.0, baselines=self.baselines)
        try:
            trainer.run()
            result.finished, result.seconds = trainer.finished, trainer.counters.seconds
            if trainer.finished:
                self._measure(result)
                for text in self.gallery():
                    trainer.tell("on_sample", {"step": trainer.counters.step, **text})
        finally:
            trainer.tell("on_end")
        return result

    def _seconds_to_learn(self) -> float:
        """What is left of the person's minutes after the reading, with time to measure what was learned."""
        parts = [part for part in (self.corpus.validation, self.corpus.test) if part is not None]
        tokens = sum(min(part.num_tokens, MOST_TOKENS) for part in parts)
        if self.corpus.validation is not None:  # the trainer's own last look
            tokens += min(self.corpus.validation.num_tokens, VALIDATION_TOKENS)
        closing = 0.0
        if parts:
            trial = min(parts[0].num_tokens, TRIAL_TOKENS)
            closing += tokens / trial * _seconds_of(lambda: self._report(parts[0], TRIAL_TOKENS))
        if not self.window:
            share = TRIAL_GRADIENTS / MOST_GRADIENTS
            closing += _seconds_of(lambda: self._gradient_rms(TRIAL_GRADIENTS)) / share
        left = self.budget.seconds - (time.perf_counter() - self.began) - closing
        least = LEAST_SHARE * self.budget.seconds
        if left < least:
            self.say(
                f"Reading and measuring take most of {self.budget.seconds / 60:g} minutes here;"
                f" learning gets {least:.0f} seconds all the same"
            )
        return min(max(left, least), self.most_seconds)

    def _gradient_rms(self, gradients: int) -> Arrays:
        return measure_rms(self.model, self.corpus.train, gradients=gradients)

    def _leave_out_parts_without_a_window(self) -> None:
        for name in ("validation", "test"):
            part: Part | None = getattr(self.corpus, name)
            if part is not None and part.num_tokens <= self.window:
                self.say(f"{name}: {part.num_tokens} tokens are too few for a window of {self.window}; left out")
                without: dict[str, Any] = {name: None}
                self.corpus = dataclasses.replace(self.corpus, **without)

    def _baselines(self) -> dict[str, float]:
        corpus = self.corpus
        if corpus.validation is None:
            return {}
        found: list[Baseline] = baselines(
            corpus.train,
            corpus.validation,
            self.tokenizer,
            self.data_kind,
            max_tokens=BASELINE_TOKENS,
            limit=VALIDATION_TOKENS,
        )
        if len(corpus.train.tokens) > BASELINE_TOKENS:
            self.say(f"The n-gram baselines are counted on {BASELINE_TOKENS:,} tokens of the training part")
        return {baseline.name: round(baseline.bits_per_char, 6) for baseline in found}

    def validate(self) -> float:
        assert self.corpus.validation is not None
        return self._report(self.corpus.validation, VALIDATION_TOKENS).loss

    def _report(self, part: Any, limit: int = 0) -> Report:
        return validation_report(
            self.model,
            part,
            self.tokenizer,
            self.data_kind,
            self.window,
            self.config.data.stride,
            limit=limit,
        )

    def snapshot(self) -> ModelFile:
        """The weights now in the model, as a model file. Nothing in it depends on the clock or the machine."""
        counters = self.trainer.counters
        data = to_dict(self.config.data)
        data["test"] = ""  # may be a path of this machine
        data["item"] = self.item  # a text at hand has no suffix that tells it
        validated = counters.curve[-1][1] if counters.curve else None
        return ModelFile(
            model=self.config.model,
            tokenizer=self.tokenizer,
            data_kind=self.data_kind,
            arrays=to_arrays(self.model),
            window=self.window,
            sampling=self.config.sampling,
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
        sampling = self.config.sampling
        yield from self._texts(sampling.prompts, sampling.temperatures, sampling.max_tokens)

    def gallery(self) -> Iterator[dict[str, Any]]:
        """Every gallery prompt at every gallery temperature, at length, from the kept model."""
        sampling = self.config.sampling
        yield from self._texts(sampling.gallery_prompts, sampling.gallery_temperatures, sampling.gallery_tokens)

    def _texts(
        self, prompts: Sequence[str], temperatures: Sequence[float], max_tokens: int
    ) -> Iterator[dict[str, Any]]:
        sampling = self.config.sampling
        model = Model(self.snapshot())
        # Each text has a seed of its own: with one for all, the texts of a gallery fall into step.
        seeds = itertools.count(self.config.training.seed + 1000 * self.trainer.counters.step)
        for temperature in temperatures:
            for prompt in prompts:
                made = model.generate(
                    prompt,
                    max_tokens=max_tokens,
                    temperature=temperature,
                    top_k=sampling.top_k or None,
                    top_p=sampling.top_p,
                    min_p=sampling.min_p,
                    repetition_penalty=sampling.repetition_penalty,
                    seed=next(seeds) % 2**63,
                )
                yield {"prompt": prompt, "temperature": temperature, "text": made.text}

    def save(self) -> None:
        header = {
            "config": to_dict(self.config),
            "tokenizer": self.tokenizer.to_json(),
            "digest": self.corpus.digest,
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
        load_arrays(self.model, kept.arrays)
        if not self.window:
            kept.gradient_rms = self._gradient_rms(MOST_GRADIENTS)
        for name, part in (("validation", self.corpus.validation), ("test", self.corpus.test)):
            if part is not None:
                report = self._report(part, MOST_TOKENS)
                setattr(result, name, report)
                kept.record[f"{name}_loss"] = report.loss
                kept.record[f"{name}_bits_per_char"] = report.bits_per_char
                self.trainer.log({f"{name}_loss": report.loss})
        save_model_file(self.folder / MODEL_FILE_NAME, kept)


def _seconds_of(work: Callable[[], object]) -> float:
    """How long `work` takes the second time: the first call prepares what the others find."""
    work()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
