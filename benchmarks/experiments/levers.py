"""Ideas that the settings do not have, put into a training from outside; what came of them stands in docs/log.md.

    with lever("token_shift", steps=1000):
        train(...)

- nadamw: NAdam with decoupled weight decay (Dozat 2016) for everything, in place of Muon and AdamW.
- token_shift: the first layer reads a learned mixture of this symbol's vector and the last one's, a share for each
  number of the vector (Peng et al. 2023). It needs an embedding, and learns by autograd.
- snapshots: the kept weights are the plain mean of those of the last fifth of `steps`, ten of them.
- growing_batch: half as many rows in the first third of the run, as many as given in the second, then twice as many.
- growing_window: the same with the length of the window.
- unigram_bias: the output layer begins with the logarithms of the symbols' shares.
- slow_gru, fast_gru: the bias of a GRU's update gate begins at 1 or -1, so that it keeps more or less of its state.
Shapes: N batch, T time, D embedding.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from sonho.config import ModelConfig, TrainingConfig
from sonho.data.batches import make_batches
from sonho.models import direct, language_model
from sonho.nn import recurrent
from sonho.storage import model_file, shapes
from sonho.training import averaging, language, trainer

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


def _growing(setting: str) -> Callable[[int], list[Any]]:
    learn_one = trainer.Trainer.learn_one

    def grow(self: trainer.Trainer) -> None:
        phase = min(int(3 * self.progress), 2)
        if phase != getattr(self, "phase", None):
            self.phase = phase  # type: ignore[attr-defined]
            assert isinstance(self.task, language.LanguageTask)
            data, counters = self.task.config.data, self.counters
            sized = dataclasses.replace(data, **{setting: getattr(data, setting) * 2**phase // 2})
            share = counters.index / self.batches.steps_in(counters.epoch)
            self.batches = make_batches(self.task.corpus.train, self.task.tokenizer, sized, self.config.seed)
            counters.index = int(share * self.batches.steps_in(counters.epoch))
            self.state = self.task.initial_state(self.batches.batch(0, 0).inputs.shape[0])
        learn_one(self)

    return lambda steps: [mock.patch.object(trainer.Trainer, "learn_one", grow)]


def _unigram_bias(steps: int) -> list[Any]:
    made = language.LanguageTask.__init__

    @torch.no_grad()
    def initialised(self: language.LanguageTask, *arguments: Any, **options: Any) -> None:
        made(self, *arguments, **options)
        tokens = self.corpus.train.tokens.gather(np.zeros(1, np.int64), min(len(self.corpus.train.tokens), 10**6))
        counts = np.bincount(tokens.ravel(), minlength=self.model.vocab_size) + 1.0
        self.model.output.bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))

    return [mock.patch.object(language.LanguageTask, "__init__", initialised)]


def _update_gate(bias: float) -> Callable[[int], list[Any]]:
    reset = recurrent.Recurrent.reset_parameters

    @torch.no_grad()
    def biased(self: recurrent.Recurrent) -> None:
        reset(self)
        if self.cell == "gru":
            self.bias[self.hidden_size : 2 * self.hidden_size] = bias

    return lambda steps: [mock.patch.object(recurrent.Recurrent, "reset_parameters", biased)]


LEVERS: dict[str, Callable[[int], list[Any]]] = {
    "nadamw": _nadamw,
    "token_shift": _token_shift,
    "snapshots": _snapshots,
    "growing_batch": _growing("batch_size"),
    "growing_window": _growing("bptt"),
    "unigram_bias": _unigram_bias,
    "slow_gru": _update_gate(1.0),
    "fast_gru": _update_gate(-1.0),
}
