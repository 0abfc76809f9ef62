"""From a model file to something that predicts the next token.

    stepper = build_stepper(model_file)
    state = stepper.initial_state(1)
    logits, state = stepper.step(np.array([5]), state)

The one place where the engine is chosen.
"""

from __future__ import annotations

from typing import Protocol, get_args

import numpy as np

from sonho.config import Weights
from sonho.decoding.labels import check_generates
from sonho.decoding.native_stepper import NativeStepper
from sonho.decoding.network import NetworkStepper
from sonho.decoding.ngram_stepper import NgramStepper
from sonho.decoding.rounding import round_weights
from sonho.decoding.state import Array, State
from sonho.decoding.window_stepper import WindowStepper
from sonho.errors import ModelFileError, UsageError
from sonho.native import library
from sonho.storage.model_file import ModelFile
from sonho.text import masked_ids


class Stepper(Protocol):
    """Tokens in, logits of the next token out, the state carried by the caller.

    Shapes: N rows, T time, V vocabulary. Logits are float32; an id that can never be drawn has -inf.
    A row of `step` or `advance` has the same bits whatever the other rows are.
    """

    vocab_size: int

    def initial_state(self, batch_size: int, condition: Array | None = None) -> State:
        """The state before any token; of a conditioned network, for `condition` (N, F) or the mean one."""

    def step(self, tokens: Array, state: State) -> tuple[Array, State]:
        """`tokens` (N,) to logits (N, V) and the new state."""

    def advance(self, tokens: Array, state: State) -> State:
        """The state after `tokens` (N, T), to the bit what T steps leave, without the logits."""

    def forward(self, tokens: Array, state: State) -> tuple[Array, State]:
        """`tokens` (N, T) to logits (N, T, V) and the new state, with big products."""


def build_stepper(model_file: ModelFile, *, weights: Weights = "float32") -> Stepper:
    """The stepper of a model. Raises ModelFileError when a weight is NaN or infinite.

    `weights="int8"` rounds them to 8 bits with a scale for each output: a quarter of the memory, and faster.
    """
    check_generates(model_file)
    for name, array in model_file.arrays.items():
        if not np.isfinite(array).all():
            raise ModelFileError(f"array {name} holds NaN or infinity; the model cannot be used, train it again")
    config, vocab_size = model_file.model, model_file.tokenizer.vocab_size
    if weights not in get_args(Weights):
        raise UsageError(f"weights must be one of {', '.join(get_args(Weights))}, got {weights!r}")
    masked = masked_ids(model_file.tokenizer, model_file.data_kind)
    if config.cell == "ngram":
        return NgramStepper(config.order, vocab_size, model_file.arrays, masked)
    network: NetworkStepper | NativeStepper
    if library.engine_name() == "native":
        network = NativeStepper(config, model_file.arrays, masked, bits=8 if weights == "int8" else 32)
    else:
        arrays = model_file.arrays if weights == "float32" else round_weights(config, model_file.arrays)
        network = NetworkStepper(config, arrays, masked)
    return WindowStepper(network, model_file.window) if model_file.window > 0 else network


def feed(stepper: Stepper, ids: Array, state: State) -> tuple[Array, State]:
    """Feed `ids` (T,), at least one, to a state of one row. Returns the logits (1, V) and the new state."""
    tokens = np.asarray(ids, dtype=np.int64)[None]  # (1, T)
    state = stepper.advance(tokens[:, :-1], state)
    return stepper.step(tokens[:, -1], state)
