"""Dynamic evaluation: a model that goes on learning from what it reads (Krause, Kahembwe, Murray and Renals 2018).

A token is scored before it is learned from. After every few tokens each weight takes one step against its gradient,
divided by the root mean square that its gradient had on the training text, and is drawn back a little to where
training left it. Shapes: N rows, T time, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sonho.data.corpus import Part
from sonho.decoding.labels import check_generates
from sonho.decoding.state import Array, State
from sonho.decoding.stepper import Stepper
from sonho.errors import UsageError
from sonho.evaluation.evaluate import target_nats
from sonho.evaluation.learning_prior import LearningPriorStepper
from sonho.evaluation.metrics import Report, Tally
from sonho.evaluation.protocol import IGNORED
from sonho.models.language_model import State as TorchState
from sonho.models.language_model import detach, flatten, unflatten
from sonho.models.networks import Networks, model_of, weights
from sonho.storage.model_file import NO_GRADIENT, ModelFile
from sonho.storage.prior import unpack_prior
from sonho.text import Tokenizer, masked_ids
from sonho.training.gradient_rms import decode_rms

PAD = 0  # never a target
PIECE = 4096  # tokens of a text that are fed at once
RECORDS_AT_ONCE = 16


@dataclass(frozen=True)
class Adaptation:
    """How a model learns from what it reads. Chosen on validation parts (docs/log.md).

    rate      step of a weight whose gradient is as large as it was in training
    pull      share of the way back to the trained weights, a step
    interval  tokens of a row between two steps
    floor     of a weight's root mean square, as a share of the mean of its matrix
    longest   step of a weight, in such rates: what is rare has hardly a mean, and one gradient would throw it away
    """

    rate: float = 5e-4
    pull: float = 1e-3
    interval: int = 64
    floor: float = 0.1
    longest: float = 60.0


class AdaptiveStepper:
    """A Stepper whose `forward` learns from the tokens that it is fed; steps only predict.

    `model_file` gives what it has become. Raises UsageError for a model that cannot be adapted.
    """

    def __init__(self, model_file: ModelFile, adaptation: Adaptation | None = None) -> None:
        check_adaptable(model_file)
        self._start, self._adaptation = model_file, adaptation or Adaptation()
        tokenizer = model_file.tokenizer
        self.vocab_size = tokenizer.vocab_size
        self._model = model_of(model_file)
        self._model.eval()
        named = dict(self._model.named_parameters())
        self._parameters: list[Tensor] = list(named.values())
        self._trained = [parameter.detach().clone() for parameter in self._parameters]
        codes, arrays = model_file.gradient_rms, model_file.arrays
        if isinstance(self._model, Networks):
            codes, arrays = self._model.split(codes, NO_GRADIENT), self._model.split(arrays)
        self._scales = [self._scale(codes[name], arrays[name]) for name in named]
        if isinstance(self._model, Networks):  # a step is as long as in a network alone
            shares = [self._model.share(name) for name in named]
            self._scales = [scale * share for scale, share in zip(self._scales, shares, strict=True)]
        self._zero = self._model.initial_state(1)
        # What comes after the last token of a record; after that of a text nothing is known.
        self._end = tokenizer.eos_id if model_file.data_kind == "records" else PAD
        # Logits that wait for the token after the last one: (logits, tokens, the state that came after them).
        self._waiting: tuple[Tensor, Tensor, State] | None = None

    def initial_state(self, batch_size: int, condition: Array | None = None) -> State:
        return _arrays(self._model.initial_state(batch_size))

    def step(self, tokens: Array, state: State) -> tuple[Array, State]:
        """`tokens` (N,) to logits (N, V) and the new state; nothing is learned."""
        with torch.no_grad():
            logits, after = self._model(torch.from_numpy(tokens[:, None]), self._tensors(state))
        return logits[:, 0].numpy(), _arrays(after)

    def advance(self, tokens: Array, state: State) -> State:
        """Learn from `tokens` (N, T); the state after them."""
        for _, after in self._read(tokens, state):
            state = after
        return state

    def forward(self, tokens: Array, state: State) -> tuple[Array, State]:
        """`tokens` (N, T) to logits (N, T, V), each from the weights as they were when it was read, and the state.

        The last token's prediction is learned from when the next call goes on from the state that this one gave.
        """
        pieces = [np.empty((len(tokens), 0, self.vocab_size), np.float32)]
        for logits, after in self._read(tokens, state):
            pieces.append(logits)
            state = after
        return np.concatenate(pieces, axis=1), state

    @property
    def model_file(self) -> ModelFile:
        """The model as it is now, after everything that it was fed."""
        self._learn(None)
        return replace(self._start, arrays=weights(self._model))

    def _read(self, tokens: Array, state: State) -> Iterator[tuple[Array, State]]:
        """The logits of every few tokens and the state after them, each learned from when the next are read."""
        ids = torch.from_numpy(np.ascontiguousarray(tokens, np.int64))
        for at in range(0, ids.shape[1], self._adaptation.interval):
            piece = ids[:, at : at + self._adaptation.interval]
            going_on = self._waiting is not None and bool(state) and state[0] is self._waiting[2][0]
            self._learn(piece[:, :1] if going_on else None)
            logits, after = self._model(piece, self._tensors(state))
            state = _arrays(detach(after))
            self._waiting = (logits, piece, state)
            yield logits.detach().numpy(), state

    def _learn(self, following: Tensor | None) -> None:
        """One step from the logits that wait; `following` (N, 1) are the tokens after theirs, if they are known."""
        if self._waiting is None:
            return
        logits, tokens, _ = self._waiting
        self._waiting = None
        if following is None:
            following = torch.full_like(tokens[:, :1], PAD)
        targets = torch.cat([tokens[:, 1:], following], dim=1)
        # Where a row's tokens end, so does its record.
        targets = torch.where((targets == PAD) & (tokens != PAD), self._end, targets)
        if not bool((targets != PAD).any()):
            return
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD, reduction="sum")
        # A short piece makes a short step, many rows make no longer one.
        loss = loss / max(self._adaptation.interval, int((targets != PAD).sum()))
        gradients = torch.autograd.grad(loss, self._parameters)
        with torch.no_grad():
            torch._foreach_lerp_(self._parameters, self._trained, self._adaptation.pull)
            steps = torch._foreach_mul(gradients, self._scales)
            torch._foreach_clamp_min_(steps, -self._adaptation.longest)
            torch._foreach_clamp_max_(steps, self._adaptation.longest)
            torch._foreach_add_(self._parameters, steps, alpha=-self._adaptation.rate)

    def _scale(self, codes: Array, weights: Array) -> Tensor:
        """What a gradient is multiplied with: one over its root mean square, within reason.

        A weight of zero that never had a gradient is none: one of the biases of several networks (models/networks.py).
        """
        rms = decode_rms(codes)
        counts = (rms > 0.0) | (weights != 0.0)
        least = self._adaptation.floor * float(rms.sum()) / max(int(counts.sum()), 1)
        scales = 1.0 / np.maximum(rms, max(least, 1e-12))
        return torch.from_numpy(np.where(counts, scales, 0.0).astype(np.float32))

    def _tensors(self, state: State) -> TorchState:
        return unflatten([torch.from_numpy(np.ascontiguousarray(array)) for array in state], self._zero)


def _arrays(state: TorchState) -> State:
    return tuple(tensor.detach().numpy() for tensor in flatten(state))


def check_adaptable(model_file: ModelFile) -> None:
    """Raise UsageError where a model cannot learn from what it reads."""
    check_generates(model_file)
    if model_file.model.cell == "ngram":
        raise UsageError("an n-gram model has no weights to adapt; train a network")
    if model_file.window:
        raise UsageError("a model trained on the last symbol of windows cannot be adapted; train it on a stream")
    if model_file.condition is not None:
        raise UsageError("a conditioned model cannot be adapted; train on the text together with its labels or vectors")
    if not model_file.gradient_rms:
        raise UsageError("the model holds no gradient statistics to adapt with; train it to its end with this version")


def adaptive_with_prior(model_file: ModelFile) -> Stepper:
    """The model and its n-gram prior, both learning from what `forward` is fed.

    Raises UsageError for a model that cannot be adapted.
    """
    tokenizer = model_file.tokenizer
    trie = unpack_prior(model_file.prior, tokenizer.vocab_size)
    masked = masked_ids(tokenizer, model_file.data_kind)
    return LearningPriorStepper(AdaptiveStepper(model_file), trie, masked, end_id=tokenizer.eos_id)


def read(stepper: Stepper, tokenizer: Tokenizer, part: Part, *, limit: int = 0) -> Report:
    """Let `stepper` read `part` (its first `limit` tokens, where above 0) and learn: how well it predicted on the way.

    Raises DataError where there is nothing to predict.
    """
    tally = Tally(tokenizer)
    state: State = ()
    for inputs, targets, fresh in _pieces(part, tokenizer, limit):
        logits, state = stepper.forward(inputs, stepper.initial_state(len(inputs)) if fresh else state)
        scored = targets >= 0
        correct = int((logits.argmax(axis=-1) == targets)[scored].sum())
        tally.add(float(target_nats(logits[scored], targets[scored]).sum()), correct, targets)
    return tally.report(left_out=part.unknown)


def learn(stepper: Stepper, tokenizer: Tokenizer, part: Part) -> None:
    """Let `stepper` read `part` and learn, as `read` does, without telling how well it predicted."""
    state: State = ()
    for inputs, _, fresh in _pieces(part, tokenizer):
        state = stepper.advance(inputs, stepper.initial_state(len(inputs)) if fresh else state)


def _pieces(part: Part, tokenizer: Tokenizer, limit: int = 0) -> Iterator[tuple[Array, Array, bool]]:
    """Inputs and targets (N, T), -100 where there is none, and whether the state begins anew."""
    return _stream(part, limit) if part.offsets is None else _records(part, part.offsets, tokenizer.eos_id, limit)


def _stream(part: Part, limit: int) -> Iterator[tuple[Array, Array, bool]]:
    end = min(len(part.tokens), limit + 1 if limit else len(part.tokens))
    for at in range(0, end - 1, PIECE):
        ids = part.tokens.read(at, min(at + PIECE + 1, end)).astype(np.int64)
        yield ids[None, :-1], ids[None, 1:], at == 0


def _records(part: Part, offsets: Array, eos_id: int, limit: int) -> Iterator[tuple[Array, Array, bool]]:
    for first in range(0, len(offsets) - 1, RECORDS_AT_ONCE):
        if limit and offsets[first] - offsets[0] >= limit:
            return
        bounds = offsets[first : first + RECORDS_AT_ONCE + 1]
        lengths = np.diff(bounds)
        targets = np.full((len(lengths), int(lengths.max())), IGNORED, np.int64)
        for row, (start, stop) in zip(targets, pairwise(bounds.tolist()), strict=True):
            row[: stop - start] = part.tokens.read(start, stop)
        before = np.full((len(targets), 1), eos_id, np.int64)
        inputs = np.concatenate([before, np.maximum(targets[:, :-1], PAD)], axis=1)
        yield inputs, targets, True
