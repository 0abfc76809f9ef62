"""Classification and tagging as tasks: a label for each record, or one for each token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sonho.config import Config, DataKind
from sonho.data.batch import NO_TARGET
from sonho.data.batches import Batch, Batches, make_batches
from sonho.data.corpus import Corpus, Part
from sonho.decoding.predictor import Predictor, Restoration
from sonho.errors import DataError, UsageError
from sonho.evaluation.evaluate_labels import evaluate_labels, label_baselines
from sonho.evaluation.labels import LabelReport
from sonho.models.classifier import make_labeller
from sonho.models.encoder import start_from
from sonho.models.language_model import State, load_arrays, to_arrays
from sonho.storage.condition import Condition
from sonho.storage.model_file import ModelFile
from sonho.training.language import Say, seconds_of
from sonho.training.task import Measured, differentiate

SAMPLES = 3  # held-out texts that are shown with what the model makes of them
SHOWN_CHARS = 60


class LabellingTask:
    """A classifier or a tagger. Kept is the best accuracy (of words, for a tagger), or macro F1 of balanced classes."""

    data_kind: DataKind = "records"
    window = 0
    unit = "of error"
    condition: Condition | None = None
    told_digest = ""
    precision = "float32"

    def __init__(self, config: Config, corpus: Corpus, say: Say, start: ModelFile | None = None) -> None:
        self.config, self.corpus, self.labels = config, corpus, corpus.label_names
        _check(config, corpus)
        self.batches: Batches = make_batches(corpus.train, corpus.tokenizer, config.data, config.training.seed)
        torch.manual_seed(config.training.seed)
        self.model = make_labeller(config.model, corpus.tokenizer.vocab_size, len(self.labels))
        if start is not None:
            self._start(start, say)
        self._weights = self._class_weights()

    def initial_state(self, batch_size: int) -> State:
        return ()

    def gradients(self, batch: Batch, state: State) -> tuple[float, State]:
        assert batch.lengths is not None
        logits = self.model(torch.from_numpy(batch.inputs), torch.from_numpy(batch.lengths))
        if self.config.model.task == "classify":
            assert batch.labels is not None
            targets = torch.from_numpy(batch.labels)  # (N,)
        else:
            logits, targets = logits.flatten(0, 1), torch.from_numpy(batch.targets).flatten()  # (N*T, C), (N*T,)
        smoothing = self.config.training.label_smoothing
        options: dict[str, Any] = {"ignore_index": NO_TARGET, "label_smoothing": smoothing}
        return differentiate(self.model, F.cross_entropy(logits, targets, weight=self._weights, **options)), ()

    def validate(self) -> Measured:
        assert self.corpus.validation is not None
        _, figures = self.report(self.corpus.validation)
        best = figures.get("word_accuracy", figures["accuracy"])
        if self.config.training.class_weights == "balanced":
            best = figures["macro_f1"]
        return Measured({f"validation_{name}": value for name, value in figures.items()}, score=1.0 - best)

    def baselines(self) -> dict[str, float]:
        """Accuracies on the validation part (of words, for a tagger)."""
        corpus = self.corpus
        if corpus.validation is None:
            return {}
        found = label_baselines(corpus.train, corpus.validation, corpus.tokenizer, len(self.labels))
        return {name: round(value, 6) for name, value in found.items()}

    def samples(self, made: ModelFile, number: int, *, gallery: bool = False) -> Iterator[dict[str, Any]]:
        """Held-out texts, others each time, and what the model makes of them."""
        part = self.corpus.validation or self.corpus.train
        if gallery or part.offsets is None:
            return
        predictor = Predictor(made)
        for row in (number * SAMPLES + np.arange(SAMPLES)) % part.num_records:
            start, stop = part.offsets[row : row + 2].tolist()
            text = self.corpus.tokenizer.decode(part.tokens.read(start, stop))
            [found] = predictor.predict([text])
            if isinstance(found, Restoration):
                shown = found.restored[:SHOWN_CHARS]
            else:
                true = "" if part.labels is None else f", it is {self.labels[part.labels[row]]}"
                shown = f"{text[:SHOWN_CHARS]} -> {found.label} ({100 * found.probability:.0f} %{true})"
            yield {"prompt": text, "temperature": 0.0, "text": shown}

    def closing_seconds(self) -> float:
        parts = [part for part in (self.corpus.validation, self.corpus.test) if part is not None]
        if not parts:
            return 0.0
        looks = 1 + sum(part.num_tokens for part in parts) / parts[0].num_tokens
        return looks * seconds_of(lambda: self.report(parts[0]))

    def finishing_seconds(self) -> float:
        return 0.0

    def ending_tokens(self, seconds: float) -> tuple[int, float]:
        return 0, 0.0

    def finish(self, kept: ModelFile) -> None:
        """Nothing is left to tell."""

    def report(self, part: Part) -> tuple[LabelReport, dict[str, float]]:
        report = evaluate_labels(self._model_file(), part)
        figures = {"loss": report.loss, "accuracy": report.accuracy, "macro_f1": report.macro_f1}
        if report.word_accuracy is not None:
            figures["word_accuracy"] = report.word_accuracy
        return report, figures

    def _model_file(self) -> ModelFile:
        """The weights now in the model, for the decoder that users get."""
        arrays = to_arrays(self.model)
        return ModelFile(self.config.model, self.corpus.tokenizer, "records", arrays, labels=self.labels)

    def _start(self, start: ModelFile, say: Say) -> None:
        """Weights of a trained model: all of one with the same labels, else those of its encoder."""
        if start.model == self.config.model and start.labels == self.labels:
            load_arrays(self.model, start.arrays)
            return
        arrays = {name: array for name, array in start.arrays.items() if not name.startswith(("output.", "attention."))}
        copied = start_from(self.model, arrays)
        if not copied:
            raise UsageError("no array of the model of --init fits this network; train without --init")
        say(f"Started from the model of --init: {', '.join(copied)}")

    def _class_weights(self) -> Tensor | None:
        """One over how often a label occurs, scaled so that the mean over the training part is 1."""
        if self.config.training.class_weights == "none":
            return None
        part = self.corpus.train
        found = part.labels if part.labels is not None else part.tags
        assert found is not None
        counts = np.maximum(np.bincount(found[found >= 0], minlength=len(self.labels)), 1)
        return torch.from_numpy((counts.sum() / len(counts) / counts).astype(np.float32))


def _check(config: Config, corpus: Corpus) -> None:
    """Raise UsageError or DataError where there is nothing to learn."""
    part = corpus.train
    wanted = part.labels if config.model.task == "classify" else part.tags
    if wanted is None:
        advice = "name them with --label-column" if config.model.task == "classify" else "say what with data.strip"
        raise UsageError(f"--task {config.model.task} needs labels; {advice}")
    if len(corpus.label_names) < 2:
        only = ", ".join(corpus.label_names) or "none"
        raise DataError(f"at least two labels are needed to tell apart, but the text has {only}; give other texts")
