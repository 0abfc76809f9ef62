"""Captioning as a task: a text for each picture. Kept is the best BLEU.

Shapes: N batch, H and W pixels, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sonho.config import Config, DataKind
from sonho.data.batches import Batch, Batches, make_batches
from sonho.data.corpus import Corpus, Part
from sonho.decoding.captioner import Captioner as Writer
from sonho.errors import UsageError
from sonho.evaluation.evaluate_captions import CaptionReport, caption_baselines, evaluate_captions
from sonho.models.captioner import Captioner
from sonho.models.language_model import State, load_arrays, to_arrays
from sonho.storage.condition import Condition
from sonho.storage.model_file import ModelFile
from sonho.training.language import Say, seconds_of
from sonho.training.task import Measured, differentiate

SAMPLES = 3  # held-out pictures of which captions are shown
# While it learns, a large held-out part is looked at through so many pictures; the last look is at all.
VALIDATION_PICTURES = 500
TRIAL_PICTURES = 16
# Of two models with the same BLEU the one with the lower loss is the better.
SHARE_OF_LOSS = 1e-3


class CaptioningTask:
    """A captioner, and the pictures beside its texts."""

    data_kind: DataKind = "records"
    window = 0
    unit = "of BLEU / 100"
    condition: Condition | None = None
    precision = "float32"

    def __init__(self, config: Config, corpus: Corpus, say: Say, start: ModelFile | None = None) -> None:
        if corpus.pictures is None:
            raise UsageError(
                "--task caption needs a picture beside each text: --pictures FOLDER, or one that was prepared"
            )
        self.config, self.corpus, self.pictures = config, corpus, corpus.pictures
        self.told_digest = self.pictures.digest
        self.batches: Batches = make_batches(corpus.train, corpus.tokenizer, config.data, config.training.seed)
        torch.manual_seed(config.training.seed)
        self.model = Captioner(config.model, corpus.tokenizer.vocab_size)
        if start is not None:
            load_arrays(self.model, start.arrays)

    def initial_state(self, batch_size: int) -> State:
        return ()

    def gradients(self, batch: Batch, state: State) -> tuple[float, State]:
        assert batch.labels is not None
        pixels = torch.tensor(self.pictures.take(batch.labels))  # (N, H, W, 3); a copy, as the store lends its bytes
        if self.model.training:
            pixels = moved(pixels, self.config.data.picture_shift)
            if self.config.data.picture_flip:
                pixels = torch.where(torch.rand(len(pixels), 1, 1, 1) < 0.5, pixels.flip(2), pixels)
        tokens, targets = torch.from_numpy(batch.inputs), torch.from_numpy(batch.targets)
        smoothing = self.config.training.label_smoothing
        loss = self.model.loss(pixels, tokens, targets, label_smoothing=smoothing)
        return differentiate(self.model, loss), ()

    def validate(self) -> Measured:
        assert self.corpus.validation is not None
        report = self._report(self.corpus.validation, VALIDATION_PICTURES)
        metrics = {"validation_loss": report.loss, "validation_bleu": report.agreement.bleu}
        return Measured(metrics, score=1.0 - report.agreement.bleu / 100.0 + SHARE_OF_LOSS * report.loss)

    def baselines(self) -> dict[str, float]:
        """BLEU, on the validation part, of captions that are written without a look at the picture."""
        corpus = self.corpus
        if corpus.validation is None:
            return {}
        found = caption_baselines(corpus.train, corpus.validation, corpus.tokenizer, self.config.training.seed)
        return {name: round(value, 4) for name, value in found.items()}

    def samples(self, made: ModelFile, number: int, *, gallery: bool = False) -> Iterator[dict[str, Any]]:
        """Captions of held-out pictures, others each time."""
        part = self.corpus.validation or self.corpus.train
        if gallery or part.labels is None:
            return
        rows = (number * SAMPLES + np.arange(SAMPLES)) % part.num_records
        numbers = list(dict.fromkeys(part.labels[rows].tolist()))
        written = Writer(made).caption(list(self.pictures.take(np.array(numbers))))
        for at, [caption] in zip(numbers, written, strict=True):
            name = self.pictures.names[at]
            yield {"prompt": name, "temperature": 0.0, "text": f"{name}: {caption.text}"}

    def closing_seconds(self) -> float:
        parts = [part for part in (self.corpus.validation, self.corpus.test) if part is not None]
        if not parts:
            return 0.0
        pictures = [len(np.unique(part.labels)) for part in parts if part.labels is not None]
        looked = sum(pictures) + min(pictures[0], VALIDATION_PICTURES)
        trial = min(pictures[0], TRIAL_PICTURES)
        return looked / trial * seconds_of(lambda: self._report(parts[0], TRIAL_PICTURES))

    def finishing_seconds(self) -> float:
        return 0.0

    def ending_tokens(self, seconds: float) -> tuple[int, float]:
        return 0, 0.0

    def finish(self, kept: ModelFile) -> None:
        """Nothing is left to tell."""

    def report(self, part: Part) -> tuple[CaptionReport, dict[str, float]]:
        report = self._report(part)
        return report, {"loss": report.loss, "bleu": report.agreement.bleu, "chrf": report.agreement.chrf}

    def _report(self, part: Part, limit: int = 0) -> CaptionReport:
        return evaluate_captions(self._model_file(), part, self.pictures, limit=limit)

    def _model_file(self) -> ModelFile:
        """The weights now in the model, for the decoder that users get."""
        record = {"data": {"picture_size": self.config.data.picture_size}}
        arrays = to_arrays(self.model)
        sampling = self.config.sampling
        return ModelFile(self.config.model, self.corpus.tokenizer, "records", arrays, sampling=sampling, record=record)


def moved(pixels: Tensor, share: float) -> Tensor:
    """Pictures (N, H, W, 3), each moved by up to `share` of its sides, with its edge repeated where it was."""
    count, height, width, _ = pixels.shape
    down, right = int(share * height + 0.5), int(share * width + 0.5)
    if not (down or right):
        return pixels
    planes = pixels.permute(0, 3, 1, 2).to(torch.get_default_dtype())
    padded = F.pad(planes, (right, right, down, down), mode="replicate").permute(0, 2, 3, 1).to(pixels.dtype)
    tops = torch.randint(0, 2 * down + 1, (count,)).tolist()
    lefts = torch.randint(0, 2 * right + 1, (count,)).tolist()
    places = zip(padded, tops, lefts, strict=True)
    return torch.stack([picture[top : top + height, left : left + width] for picture, top, left in places])
