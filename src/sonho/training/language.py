"""Language modelling as a task: every token predicted from those before it."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from sonho.config import Config, DataKind
from sonho.data.batches import Batch, Batches, WindowBatches, make_batches
from sonho.data.corpus import Corpus, Part
from sonho.decoding.model import Model
from sonho.evaluation.baselines import Baseline, baselines
from sonho.evaluation.metrics import Report
from sonho.evaluation.protocol import MOST_TOKENS
from sonho.models.direct import DirectGradients
from sonho.models.language_model import LanguageModel, State, detach, load_arrays
from sonho.models.networks import Networks
from sonho.nn.precision import resolve_precision
from sonho.storage.container import Arrays
from sonho.storage.model_file import NO_GRADIENT, ModelFile
from sonho.text import masked_ids
from sonho.training.conditioning import fit_conditions
from sonho.training.ending import tokens_to_read
from sonho.training.gradient_rms import INTERVAL, MOST_GRADIENTS, measure_rms
from sonho.training.task import Measured, differentiate
from sonho.training.validation import validation_report

Say = Callable[[str], None]
# While it learns, a huge held-out part is looked at through this many tokens; the last look is at all.
VALIDATION_TOKENS = 200_000
# Samples while it learns are of the commonest labels only.
LABELS_SHOWN = 4
# How long measuring takes is found out with so much of it: tokens, but fewer where they have many logits.
TRIAL_TOKENS, TRIAL_LOGITS, TRIAL_GRADIENTS = 10_000, 2**25, 8
# The gradients' statistics of a run of seconds are taken from fewer gradients: so many for each second, and still fewer
# with more tokens in the vocabulary, where a gradient takes as much longer.
GRADIENTS_A_SECOND, FEW_WORDS = 4.0, 4096
# A step of adapting takes so many times as long as a gradient alone.
ADAPTING_A_GRADIENT = 1.5
# The n-grams to beat are counted on this much of the training part: their memory is not the user's. By the clock on at
# most so much for each second of the budget: counting a million takes one.
BASELINE_TOKENS = 1_500_000
BASELINE_TOKENS_A_SECOND = 50_000


class LanguageTask:
    """A network that predicts the next token, over a stream, records or windows."""

    unit = "nats"

    def __init__(
        self, config: Config, corpus: Corpus, say: Say, start: ModelFile | None = None, *, networks: int = 1
    ) -> None:
        """`networks`: how many it is the mean of (ensemble.py)."""
        self.config, self.corpus, self.say, self.networks = config, corpus, say, networks
        self.tokenizer = corpus.tokenizer
        self.batches: Batches = make_batches(corpus.train, self.tokenizer, config.data, config.training.seed)
        self.data_kind: DataKind = corpus.kind
        self.window = 0
        if isinstance(self.batches, WindowBatches):
            # Predicting every position of a window is scored and used like a stream.
            last = config.data.objective == "last"
            self.data_kind, self.window = ("windows", self.batches.window) if last else ("stream", 0)
            if last:
                self._leave_out_parts_without_a_window()
        self.conditions = fit_conditions(config, corpus)
        self.condition = None if self.conditions is None else self.conditions.condition
        self.told_digest = "" if self.conditions is None else self.conditions.digest
        torch.manual_seed(config.training.seed)
        masked = masked_ids(self.tokenizer, self.data_kind)
        size, vocab_size = 0 if self.condition is None else self.condition.size, self.tokenizer.vocab_size
        self.model: Any = LanguageModel(config.model, vocab_size, masked, condition_size=size)
        if networks > 1:
            self.model = Networks(config.model, vocab_size, masked, networks)
        self.precision = resolve_precision(config.training.precision)
        self._best: tuple[bytes, Report] | None = None  # of the validations: whose weights, and what they gave
        self._direct = DirectGradients(self.model, config.training.softmax_samples)
        if start is not None:
            load_arrays(self.model, start.arrays)

    def initial_state(self, batch_size: int) -> State:
        state: State = self.model.initial_state(batch_size)
        return state

    def gradients(self, batch: Batch, state: State) -> tuple[float, State]:
        last_only = self.window > 0
        inputs = torch.from_numpy(batch.inputs)  # (N, T)
        targets = torch.from_numpy(batch.targets[:, -1:] if last_only else batch.targets)
        if self.conditions is not None and batch.labels is not None:  # records: each batch begins anew
            told = torch.from_numpy(self.conditions.rows[batch.labels])  # (N, F)
            state = self.model.initial_state(len(told), told)
        if not last_only and self._direct.suit(inputs):
            return self._direct(inputs, targets, state)
        samples = self.config.training.softmax_samples
        loss, state = self.model.loss(inputs, targets, state, last_only=last_only, softmax_samples=samples)
        return differentiate(self.model, loss), detach(state)

    def validate(self) -> Measured:
        assert self.corpus.validation is not None
        report = self._report(self.corpus.validation, VALIDATION_TOKENS)
        if self._best is None or report.loss < self._best[1].loss:
            self._best = (self._digest(), report)
        return Measured({"validation_loss": report.loss})

    def baselines(self) -> dict[str, float]:
        """Bits per character of n-grams, single letters and xz on the validation part."""
        corpus = self.corpus
        if corpus.validation is None:
            return {}
        tokens = BASELINE_TOKENS
        if self.config.training.minutes:
            tokens = min(tokens, round(BASELINE_TOKENS_A_SECOND * 60.0 * self.config.training.minutes))
        found: list[Baseline] = baselines(
            corpus.train,
            corpus.validation,
            self.tokenizer,
            self.data_kind,
            max_tokens=tokens,
            limit=VALIDATION_TOKENS,
        )
        if len(corpus.train.tokens) > tokens:
            self.say(f"The n-gram baselines are counted on {tokens:,} tokens of the training part")
        return {baseline.name: round(baseline.bits_per_char, 6) for baseline in found}

    def samples(self, made: ModelFile, number: int, *, gallery: bool = False) -> Iterator[dict[str, Any]]:
        """Texts drawn by the decoder that users get; the gallery's are longer, and from prompts of its own."""
        sampling = self.config.sampling
        prompts, temperatures, max_tokens = sampling.prompts, sampling.temperatures, sampling.max_tokens
        if gallery:
            prompts, temperatures = sampling.gallery_prompts, sampling.gallery_temperatures
            max_tokens = sampling.gallery_tokens
        model = Model(made)
        # Each text has a seed of its own: with one for all, the texts of a gallery fall into step.
        seeds = itertools.count(self.config.training.seed + 1000 * number)
        for temperature, prompt, label in itertools.product(temperatures, prompts, self._shown_labels()):
            generation = model.generate(
                prompt,
                max_tokens=max_tokens,
                temperature=temperature,
                top_k=sampling.top_k or None,
                top_p=sampling.top_p,
                min_p=sampling.min_p,
                repetition_penalty=sampling.repetition_penalty,
                seed=next(seeds) % 2**63,
                label=label,
            )
            shown = {} if label is None else {"label": label}
            yield {"prompt": prompt, "temperature": temperature, **shown, "text": generation.text}

    def _shown_labels(self) -> list[str | None]:
        """The commonest labels, of which samples are shown; [None] where there are none."""
        if self.condition is None or not self.condition.labels:
            return [None]
        by_share = sorted(zip(self.condition.mean, self.condition.labels, strict=True), reverse=True)
        return [label for _, label in by_share[:LABELS_SHOWN]]

    def closing_seconds(self) -> float:
        parts = [part for part in (self.corpus.validation, self.corpus.test) if part is not None]
        tokens = sum(min(part.num_tokens, MOST_TOKENS) for part in parts)
        if self.corpus.validation is not None and not self._is_remembered(self.corpus.validation):
            tokens += VALIDATION_TOKENS  # the trainer's own last look
        if not parts:
            return 0.0
        trial = min(parts[0].num_tokens, TRIAL_TOKENS, TRIAL_LOGITS // self.tokenizer.vocab_size)
        return tokens / trial * seconds_of(lambda: self._report(parts[0], trial))

    def finishing_seconds(self) -> float:
        return self._gradients() * self._seconds_a_gradient() if self._is_adaptable() else 0.0

    def ending_tokens(self, seconds: float) -> tuple[int, float]:
        part = self.corpus.validation
        if part is None or self.data_kind != "stream" or not self.config.training.learn_end or not self._is_adaptable():
            return 0, 0.0
        seconds_a_token = ADAPTING_A_GRADIENT * self._seconds_a_gradient() / INTERVAL
        tokens = tokens_to_read(part, seconds, seconds_a_token)
        return tokens, tokens * seconds_a_token

    def finish(self, kept: ModelFile) -> None:
        kept.record["precision"] = self.precision  # what "auto" was here
        if self._is_adaptable():
            kept.gradient_rms = self._gradient_rms(self._gradients())

    def report(self, part: Part) -> tuple[Report, dict[str, float]]:
        if self._is_remembered(part) and self._best is not None and self._best[0] == self._digest():
            report = self._best[1]
        else:
            report = self._report(part, MOST_TOKENS)
        return report, {"loss": report.loss, "bits_per_char": report.bits_per_char}

    def _report(self, part: Part, limit: int) -> Report:
        return validation_report(
            self.model,
            part,
            self.tokenizer,
            self.data_kind,
            self.window,
            self.config.data.stride,
            limit=limit,
            conditions=None if self.conditions is None else self.conditions.rows,
        )

    def _is_remembered(self, part: Part) -> bool:
        """Whether the best weights' report on a part is known from the trainer's look at all of it."""
        return part is self.corpus.validation and part.num_tokens <= VALIDATION_TOKENS

    def _digest(self) -> bytes:
        """Of the weights now in the model."""
        digest = hashlib.blake2b()
        for parameter in self.model.parameters():
            digest.update(parameter.detach().numpy().tobytes())
        return digest.digest()

    def _is_adaptable(self) -> bool:
        return not self.window and self.conditions is None

    def _gradients(self) -> int:
        """How many gradients the statistics at the end are taken from."""
        if not self.config.training.minutes:
            return MOST_GRADIENTS // self.networks  # of the mean of several each takes as much longer
        few = min(1.0, FEW_WORDS / self.tokenizer.vocab_size)
        wanted = round(GRADIENTS_A_SECOND * few * 60.0 * self.config.training.minutes)
        return max(min(wanted, MOST_GRADIENTS) // self.networks, TRIAL_GRADIENTS)

    def _seconds_a_gradient(self) -> float:
        return seconds_of(lambda: self._gradient_rms(TRIAL_GRADIENTS)) / TRIAL_GRADIENTS

    def _gradient_rms(self, gradients: int) -> Arrays:
        codes = measure_rms(self.model, self.corpus.train, gradients=gradients)
        return self.model.join(codes, NO_GRADIENT) if isinstance(self.model, Networks) else codes

    def _leave_out_parts_without_a_window(self) -> None:
        for name in ("validation", "test"):
            part: Part | None = getattr(self.corpus, name)
            if part is not None and part.num_tokens <= self.window:
                self.say(f"{name}: {part.num_tokens} tokens are too few for a window of {self.window}; left out")
                without: dict[str, Any] = {name: None}
                self.corpus = dataclasses.replace(self.corpus, **without)


def seconds_of(work: Callable[[], object]) -> float:
    """How long `work` takes the second time: the first call prepares what the others find."""
    work()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
