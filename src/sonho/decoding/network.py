"""A network as a stepper: layers of one kind on top of each other, and an output layer.

Shapes: N rows, T time, H hidden, V vocabulary. `step` and `advance` treat every row as if it were
alone; `forward` uses big products and may differ from them in the last bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from sonho.config import ModelConfig
from sonho.decoding.conditioning import make_conditioning
from sonho.decoding.conv import ConvLayer, ConvTokenLayer, dilation_of
from sonho.decoding.products import RowProduct
from sonho.decoding.recurrent import GRULayer, LSTMLayer, RecurrentLayer, ReluRNNLayer, RNNLayer
from sonho.decoding.state import Array, State

LAYER_NORM_EPSILON = 1e-5
# A larger table of input products would take longer to make than it saves.
MAX_TABLE_SIZE = 2**24


class Layer(Protocol):
    """One layer; its state is `num_arrays` arrays."""

    num_arrays: int

    def initial_state(self, batch_size: int) -> State: ...
    def step(self, inputs: Array, state: State) -> tuple[Array, State]: ...
    def forward(self, inputs: Array, state: State) -> tuple[Array, State]: ...


class NetworkStepper:
    """The stepper of every trained network. Ids in `masked_ids` have the logit -inf."""

    def __init__(self, config: ModelConfig, arrays: dict[str, Array], masked_ids: Iterable[int]) -> None:
        vectors = arrays.get("embedding.weight")
        self.vocab_size = len(arrays["output.bias"])
        # Where no table of input products is made, ids are turned into vectors first.
        self._vectors = vectors if vectors is not None and not fits_a_table(arrays) else None
        folded = vectors if self._vectors is None else None
        self._layers = [
            _build_layer(config, arrays, index, folded, takes_ids=index == 0 and self._vectors is None)
            for index in range(config.num_layers)
        ]
        self._norms = [norm_weights(arrays, index) for index in range(config.num_layers)]
        self._conditioning = make_conditioning(config, arrays)
        weight = arrays["output.weight"] if "output.weight" in arrays else arrays["embedding.weight"]  # or tied
        self._output_matrix, self._output_product = weight, RowProduct(weight)
        self._output_bias = np.array(arrays["output.bias"], dtype=np.float32)
        self._output_bias[list(masked_ids)] = -np.inf

    def initial_state(self, batch_size: int, condition: Array | None = None) -> State:
        """The state before any token; `condition` (N, F) where the network has one."""
        if self._conditioning is not None:
            return self._conditioning.first_states(batch_size, condition)
        return tuple(array for layer in self._layers for array in layer.initial_state(batch_size))

    def step(self, tokens: Array, state: State) -> tuple[Array, State]:
        """`tokens` (N,) to logits (N, V) and the new state."""
        hidden, state = self._step_hidden(tokens, state)
        logits = self._output_product(hidden)
        logits += self._output_bias
        return logits, state

    def advance(self, tokens: Array, state: State) -> State:
        """The state after `tokens` (N, T), to the bit what T steps leave."""
        for t in range(tokens.shape[1]):
            _, state = self._step_hidden(tokens[:, t], state)
        return state

    def forward(self, tokens: Array, state: State) -> tuple[Array, State]:
        """`tokens` (N, T) to logits (N, T, V) and the new state."""
        hidden, state = self.hidden(tokens, state)
        return self.project(hidden), state

    def last(self, tokens: Array, state: State) -> Array:
        """`tokens` (N, T), at least one, to the logits (N, V) after the last, with big products."""
        return self.project(self.hidden(tokens, state)[0][:, -1])

    def hidden(self, tokens: Array, state: State) -> tuple[Array, State]:
        """The last layer's outputs (N, T, H) and the new state."""
        hidden = tokens if self._vectors is None else self._vectors[tokens]
        new: list[Array] = []
        for layer, norm in zip(self._layers, self._norms, strict=True):
            hidden, after = layer.forward(hidden, state[len(new) : len(new) + layer.num_arrays])
            new.extend(after)
            if norm is not None:
                hidden = layer_norm(hidden, *norm)
        return hidden, tuple(new)

    def project(self, hidden: Array) -> Array:
        """Outputs (..., H) to logits (..., V)."""
        logits: Array = hidden @ self._output_matrix.T
        logits += self._output_bias
        return logits

    def _step_hidden(self, tokens: Array, state: State) -> tuple[Array, State]:
        hidden = tokens if self._vectors is None else self._vectors[tokens]
        new: list[Array] = []
        for layer, norm in zip(self._layers, self._norms, strict=True):
            hidden, after = layer.step(hidden, state[len(new) : len(new) + layer.num_arrays])
            new.extend(after)
            if norm is not None:
                hidden = layer_norm(hidden, *norm)
        return hidden, tuple(new)


def layer_norm(inputs: Array, weight: Array, bias: Array) -> Array:
    """(..., H) with mean 0 and variance 1 over H, then scaled and shifted."""
    centred = inputs - inputs.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    normed: Array = centred / np.sqrt(variance + np.float32(LAYER_NORM_EPSILON)) * weight + bias
    return normed


def fits_a_table(arrays: dict[str, Array]) -> bool:
    """Whether the first layer's input products with every symbol are worth a table."""
    rows = len(arrays["layers.0.bias"])
    taps = arrays["layers.0.weight"].shape[1] if "layers.0.weight" in arrays else 1
    return rows * taps * len(arrays["output.bias"]) <= MAX_TABLE_SIZE


def _build_layer(
    config: ModelConfig, arrays: dict[str, Array], index: int, vectors: Array | None, *, takes_ids: bool
) -> Layer:
    prefix = f"layers.{index}"
    bias = arrays[f"{prefix}.bias"]
    if config.cell == "conv":
        weight, dilation = arrays[f"{prefix}.weight"], dilation_of(index, config.kernel_size)
        if takes_ids:
            return ConvTokenLayer(weight, bias, dilation, vectors)
        return ConvLayer(weight, bias, dilation)
    weight_ih, weight_hh = arrays[f"{prefix}.weight_ih"], arrays[f"{prefix}.weight_hh"]
    adds = f"{prefix}.weight_condition" in arrays
    if not takes_ids:
        return build_recurrent(config, weight_ih, weight_hh, bias, None, adds=adds)
    table = weight_ih.T + bias if vectors is None else vectors @ weight_ih.T + bias  # (V, G*H)
    return build_recurrent(config, None, weight_hh, bias, table, adds=adds)


def build_recurrent(
    config: ModelConfig,
    weight_ih: Array | None,
    weight_hh: Array,
    bias: Array,
    table: Array | None,
    *,
    adds: bool = False,
) -> RecurrentLayer:
    """A recurrent layer of the configured cell; see `RecurrentLayer` for the arrays."""
    kind: type[RecurrentLayer] = LSTMLayer if config.cell == "lstm" else GRULayer
    if config.cell == "rnn":
        kind = RNNLayer if config.nonlinearity == "tanh" else ReluRNNLayer
    return kind(weight_ih, weight_hh, bias, table, adds=adds)


def norm_weights(arrays: dict[str, Array], index: int) -> Sequence[Array] | None:
    """Weight and bias of a layer's norm, if it has one."""
    if f"layers.{index}.norm.weight" not in arrays:
        return None
    return arrays[f"layers.{index}.norm.weight"], arrays[f"layers.{index}.norm.bias"]
