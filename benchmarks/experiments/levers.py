"""Ideas that the settings do not have, put into a training from outside; what came of them stands in docs/log.md.

    with lever("token_shift", steps=1000):
        train(...)

- nadamw: NAdam with decoupled weight decay (Dozat 2016) for everything, in place of Muon and AdamW.
- token_shift: the first layer reads a learned mixture of this symbol's vector and the last one's, a share for each
  number of the vector (Peng et al. 2023). It needs an embedding, and learns by autograd.
- snapshots: the kept weights are the plain mean of those of the last fifth of `steps`, ten of them.
Shapes: N batch, T time, D embedding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from sonho.config import ModelConfig, TrainingConfig
from sonho.models import direct, language_model
from sonho.storage import model_file, shapes
from sonho.training import averaging, trainer

SNAPSHOTS, LAST = 10, 0.2


@contextlib.contextmanager
def lever(name: str, steps: int) -> Iterator[None]:
    """Inside, trainings of `steps` steps have it."""
    with contextlib.ExitStack() as patches:
        for patch in LEVERS[name](steps):
            patches.enter_context(patch)
        yield


def _nadamw(steps: int) -> list[Any]:
    def make(model: nn.Module, config: TrainingConfig) -> list[torch.optim.Optimizer]:
        groups = [
            {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in model.parameters() if p.dim() <= 1], "weight_decay": 0.0},
        ]
        rate = config.learning_rate
        return [torch.optim.NAdam(groups, lr=rate, betas=(0.9, 0.99), decoupled_weight_decay=True, foreach=True)]

    return [mock.patch.object(trainer, "make_optimizers", make)]


def _token_shift(steps: int) -> list[Any]:
    made = language_model.LanguageModel.__init__

    def initialised(self: language_model.LanguageModel, *arguments: Any, **options: Any) -> None:
        made(self, *arguments, **options)
        self.shares = nn.Parameter(torch.linspace(0.0, 1.0, self.config.embedding_dim))  # of this symbol

    def inputs(self: language_model.LanguageModel, tokens: Tensor) -> tuple[Tensor, dict[str, Any]]:
        assert self.embedding is not None
        assert isinstance(self.shares, Tensor)
        vectors = self.embedding(tokens)  # (N, T, D)
        # Before a window's first symbol its own stands, as the last window's is gone.
        before = torch.cat([vectors[:, :1], vectors[:, :-1]], dim=1)
        return before.lerp(vectors, self.shares), {}

    def expected(config: ModelConfig, *arguments: Any) -> dict[str, Any]:
        return {**shapes.expected_shapes(config, *arguments), "shares": (config.embedding_dim,)}

    return [
        mock.patch.object(model_file, "expected_shapes", expected),
        mock.patch.object(language_model.LanguageModel, "__init__", initialised),
        mock.patch.object(language_model.LanguageModel, "_inputs", inputs),
        mock.patch.object(direct.DirectGradients, "suit", return_value=False),
    ]


def _snapshots(steps: int) -> list[Any]:
    every = max(1, int(steps * LAST / SNAPSHOTS))

    @torch.no_grad()
    def update(self: averaging.Averaged, step: int) -> None:
        taken = (step - int(steps * (1 - LAST))) // every
        share = 1.0 / max(taken, 1)
        if taken >= 1 and step % every:
            share = 0.0
        for value, parameter in zip(self.values, self.parameters, strict=True):
            value.lerp_(parameter, share)

    return [mock.patch.object(averaging.Averaged, "update", update)]


LEVERS: dict[str, Callable[[int], list[Any]]] = {
    "nadamw": _nadamw,
    "token_shift": _token_shift,
    "snapshots": _snapshots,
}
