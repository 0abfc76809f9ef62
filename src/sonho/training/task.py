"""What a trainer and a session need to know of the thing that is learned, whatever its shape.

A task owns the network and the batches. Language modelling (language.py) and labelling (labelling.py) are tasks;
checkpoints, budget, early stopping and the record of a run are the same for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from sonho.config import DataKind
from sonho.data.batches import Batch, Batches
from sonho.data.corpus import Corpus, Part
from sonho.models.language_model import State
from sonho.storage.condition import Condition
from sonho.storage.model_file import ModelFile


@dataclass(frozen=True)
class Measured:
    """A look at the validation part. The lowest `score` is kept; `metrics` go into metrics.jsonl.

    `metrics["validation_loss"]` is nats per target. A score of None is that loss.
    """

    metrics: dict[str, float]
    score: float | None = None

    @property
    def loss(self) -> float:
        return self.metrics["validation_loss"]

    @property
    def judged_by(self) -> float:
        return self.loss if self.score is None else self.score


class Task(Protocol):
    """One run's network and data, and how the one learns from the other."""

    @property
    def model(self) -> nn.Module: ...

    batches: Batches
    corpus: Corpus  # its validation part may be left out where it is too small to judge
    data_kind: DataKind
    window: int  # > 0: the model is fed the last `window` tokens
    unit: str  # of the score, for messages
    condition: Condition | None  # what the network is told beside the text
    told_digest: str  # SHA-256 of all that it is told; a run that goes on must find it unchanged
    precision: str  # of the products of a step, "float32" or "bfloat16"

    def initial_state(self, batch_size: int) -> State:
        """What is carried into the first window of a text; nothing, where each batch stands alone."""
        ...

    def gradients(self, batch: Batch, state: State) -> tuple[float, State]:
        """Mean loss in nats per target, and the state after the batch.

        The `grad` of every parameter then holds the gradient of this loss alone.
        """
        ...

    def validate(self) -> Measured:
        """Score the weights now in the model on (some of) the validation part."""
        ...

    def baselines(self) -> dict[str, float]:
        """What the network should beat, in the unit of its report."""
        ...

    def samples(self, made: ModelFile, number: int, *, gallery: bool = False) -> Iterator[dict[str, Any]]:
        """What the model now does, for people: dicts of prompt, temperature and text. `number` makes them differ."""
        ...

    def closing_seconds(self) -> float:
        """How long the last measurements will take."""
        ...

    def finishing_seconds(self) -> float:
        """How long `finish` will take."""
        ...

    def ending_tokens(self, seconds: float) -> tuple[int, float]:
        """How many tokens of the held-out end should be learned last in at most so much time, and how long it takes."""
        ...

    def finish(self, kept: ModelFile) -> None:
        """Add to the kept model, whose weights are in `model` now, what only the end can tell."""
        ...

    def report(self, part: Part) -> tuple[Any, dict[str, float]]:
        """The final report of a part, and the figures of it that the model file keeps; "loss" is one."""
        ...


def differentiate(model: nn.Module, loss: Tensor) -> float:
    """Put the gradients of `loss` into `model`, by autograd; returns its value."""
    model.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    return loss.item()
