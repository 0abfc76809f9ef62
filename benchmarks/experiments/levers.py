"""Ideas that the settings do not have, put into a training from outside; what came of them stands in docs/log.md.

    with lever("token_shift", steps=1000):
        train(...)

- nadamw: NAdam with decoupled weight decay (Dozat 2016) for everything, in place of Muon and AdamW.
- gate_by_gate, stacked, equal_gates, rows_remembered: Muon orthogonalises the gates of a layer each by itself; or all
  as one matrix (G*H, D) as it does, but without making its rows equally long; with its gates made equally long
  instead; or with rows divided by a running mean of their lengths (Li et al. 2025). In PyTorch: for equal tokens, not
  seconds.
- token_shift: the first layer reads a learned mixture of this symbol's vector and the last one's, a share for each
  number of the vector (Peng et al. 2023). It needs an embedding, and learns by autograd.
- snapshots: the kept weights are the plain mean of those of the last fifth of `steps`, ten of them.
- growing_batch: half as many rows in the first third of the run, as many as given in the second, then twice as many.
- growing_window: the same with the length of the window.
- unigram_bias: the output layer begins with the logarithms of the symbols' shares.
- gru_A_B, lstm_A_B: the biases of a GRU's update gates or an LSTM's forget gates begin between A and B, evenly spread;
  gru_A, lstm_A: all at A. The more, the more of its state a unit keeps.
- input_A, output_A, reset_A: the biases of an LSTM's input or output gates, or of a GRU's reset gates, begin at A.
- half, double: recurrent weights of half or twice the size.
Shapes: N batch, T time, D embedding or input, G gates, H hidden.
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
from sonho.training import averaging, language, optimizers, trainer

SNAPSHOTS, LAST = 10, 0.2


@contextlib.contextmanager
def lever(name: str, steps: int) -> Iterator[None]:
    """Inside, trainings of `steps` steps have it, or them: "one+another"."""
    with contextlib.ExitStack() as patches:
        for each in name.split("+"):
            for patch in LEVERS[each](steps):
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


def _muon(direction: Callable[[Tensor], Tensor]) -> Callable[[int], list[Any]]:
    """Muon in PyTorch, which steps along what `direction` makes of the matrix (R, C) of all gates."""

    def patches(steps: int) -> list[Any]:
        return [
            mock.patch.object(optimizers, "direction", direction),
            mock.patch.object(optimizers, "runs_natively", return_value=False),
        ]

    return patches


def _gates_of(matrix: Tensor) -> tuple[Tensor, ...]:
    return matrix.chunk(max(matrix.shape[0] // matrix.shape[1], 1))


def _gate_by_gate(matrix: Tensor) -> Tensor:
    update = torch.cat([optimizers.orthogonalize(gate) for gate in _gates_of(matrix)])
    return update.mul(0.2 * matrix.shape[1] ** 0.5)


def _stacked(matrix: Tensor) -> Tensor:
    return optimizers.orthogonalize(matrix).mul(0.2 * max(matrix.shape) ** 0.5)


def _equal_gates(matrix: Tensor) -> Tensor:
    update = optimizers.orthogonalize(matrix)
    update = torch.cat([gate / gate.norm() for gate in _gates_of(update)])
    return update.mul(0.2 * matrix.numel() ** 0.5 / float(update.norm()))


def _rows_remembered() -> Callable[[Tensor], Tensor]:
    remembered: dict[torch.Size, Tensor] = {}

    def direction(matrix: Tensor) -> Tensor:
        update = optimizers.orthogonalize(matrix)
        squares = update.square().mean(1, keepdim=True)
        squares = remembered.setdefault(matrix.shape, squares).lerp(squares, 0.05)
        remembered[matrix.shape] = squares
        update = update / (squares.sqrt() + 1e-9)
        return update.mul(0.2 * matrix.numel() ** 0.5 / float(update.norm()))

    return direction


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

    def patches(steps: int) -> list[Any]:
        phase = -1

        def grow(self: trainer.Trainer) -> None:
            nonlocal phase
            due = min(int(3 * self.progress), 2)
            if due != phase:
                phase = due
                assert isinstance(self.task, language.LanguageTask)
                data, counters = self.task.config.data, self.counters
                sized = dataclasses.replace(data, **{setting: getattr(data, setting) * 2**phase // 2})
                share = counters.index / self.batches.steps_in(counters.epoch)
                self.batches = make_batches(self.task.corpus.train, self.task.tokenizer, sized, self.config.seed)
                counters.index = int(share * self.batches.steps_in(counters.epoch))
                self.state = self.task.initial_state(self.batches.batch(0, 0).inputs.shape[0])
            learn_one(self)

        return [mock.patch.object(trainer.Trainer, "learn_one", grow)]

    return patches


def _unigram_bias(steps: int) -> list[Any]:
    made = language.LanguageTask.__init__

    @torch.no_grad()
    def initialised(self: language.LanguageTask, *arguments: Any, **options: Any) -> None:
        made(self, *arguments, **options)
        tokens = self.corpus.train.tokens.gather(np.zeros(1, np.int64), min(len(self.corpus.train.tokens), 10**6))
        counts = np.bincount(tokens.ravel(), minlength=self.model.vocab_size) + 1.0
        self.model.output.bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))

    return [mock.patch.object(language.LanguageTask, "__init__", initialised)]


def _begun(change: Callable[[recurrent.Recurrent], object]) -> Callable[[int], list[Any]]:
    """Layers whose weights are changed after they were drawn."""

    def patches(steps: int) -> list[Any]:
        reset = recurrent.Recurrent.reset_parameters

        @torch.no_grad()
        def changed(self: recurrent.Recurrent) -> None:
            reset(self)
            change(self)

        return [mock.patch.object(recurrent.Recurrent, "reset_parameters", changed)]

    return patches


def _keeping(cell: str, first: float, last: float) -> Callable[[int], list[Any]]:
    return lambda steps: [mock.patch.dict(language_model.MEMORY, {cell: (first, last)})]


def _biased(cell: str, gate: int, bias: float) -> Callable[[int], list[Any]]:
    def change(layer: recurrent.Recurrent) -> None:
        if layer.cell == cell:
            layer.bias[gate * layer.hidden_size : (gate + 1) * layer.hidden_size] = bias

    return _begun(change)


LEVERS: dict[str, Callable[[int], list[Any]]] = {
    "nadamw": _nadamw,
    "gate_by_gate": _muon(_gate_by_gate),
    "stacked": _muon(_stacked),
    "equal_gates": _muon(_equal_gates),
    "rows_remembered": lambda steps: _muon(_rows_remembered())(steps),
    "token_shift": _token_shift,
    "snapshots": _snapshots,
    "growing_batch": _growing("batch_size"),
    "growing_window": _growing("bptt"),
    "unigram_bias": _unigram_bias,
    "gru_-1": _keeping("gru", -1, -1),
    "gru_1": _keeping("gru", 1, 1),
    "gru_2": _keeping("gru", 2, 2),
    "gru_0_2": _keeping("gru", 0, 2),
    "gru_-1_3": _keeping("gru", -1, 3),
    "gru_-2_2": _keeping("gru", -2, 2),
    "lstm_-1": _keeping("lstm", -1, -1),
    "lstm_0": _keeping("lstm", 0, 0),
    "lstm_2": _keeping("lstm", 2, 2),
    "lstm_-2_2": _keeping("lstm", -2, 2),
    "lstm_-1_3": _keeping("lstm", -1, 3),
    "lstm_-3_1": _keeping("lstm", -3, 1),
    "lstm_-1_1": _keeping("lstm", -1, 1),
    "lstm_1": _keeping("lstm", 1, 1),
    "gru_0": _keeping("gru", 0, 0),
    "input_-1": _biased("lstm", 0, -1),
    "output_1": _biased("lstm", 3, 1),
    "reset_1": _biased("gru", 0, 1),
    "reset_-1": _biased("gru", 0, -1),
    "half": _begun(lambda layer: layer.weight_hh.mul_(0.5)),
    "double": _begun(lambda layer: layer.weight_hh.mul_(2.0)),
}
