"""Where a conditioned network begins: its first state made from a vector a row, and what that adds at every step.

Shapes: N rows, F numbers of a condition, H hidden, G gates. Both steppers use it; training's is `nn/first_state.py`.
Knows vectors, not labels.
"""

from __future__ import annotations

import numpy as np

from sonho.config import ModelConfig
from sonho.decoding.products import RowProduct
from sonho.decoding.state import Array, State
from sonho.errors import UsageError


class Conditioning:
    """The maps of a condition (N, F); a row's numbers do not depend on the other rows. In float32 always."""

    def __init__(self, config: ModelConfig, arrays: dict[str, Array]) -> None:
        self._hidden_size, self._num_layers = config.hidden_size, config.num_layers
        self._num_arrays = 2 if config.cell == "lstm" else 1
        gates, first = arrays.get("layers.0.weight_condition"), arrays.get("layers.0.first.weight")
        self._gates = None if gates is None else RowProduct(gates)
        self._first: list[tuple[RowProduct, Array]] = []
        if first is not None:
            named = [f"layers.{index}.first" for index in range(config.num_layers)]
            self._first = [(RowProduct(arrays[f"{name}.weight"]), arrays[f"{name}.bias"]) for name in named]
        known = first if first is not None else gates
        assert known is not None  # expected_shapes: a condition goes into the state, the input or both
        self.size: int = known.shape[1]

    def first_states(self, batch_size: int, condition: Array | None) -> State:
        """The state before any token, of every layer. Without `condition` (N, F) it is the mean one, which is 0.

        Where the condition is an input, the first layer's ends with what each row adds to its gates, (N, G*H).
        Raises UsageError for one of another size.
        """
        if condition is None:
            condition = np.zeros((batch_size, self.size), np.float32)
        if condition.shape != (batch_size, self.size):
            raise UsageError(f"the condition has the shape {condition.shape}, expected {(batch_size, self.size)}")
        vectors = np.ascontiguousarray(condition, np.float32)
        states = [array for index in range(self._num_layers) for array in self._layer_state(index, vectors)]
        if self._gates is not None:
            states.insert(self._num_arrays, np.ascontiguousarray(self._gates(vectors)))
        return tuple(states)

    def _layer_state(self, index: int, vectors: Array) -> State:
        size = self._hidden_size
        if not self._first:
            return (np.zeros((len(vectors), size), np.float32),) * self._num_arrays
        product, bias = self._first[index]
        total = product(vectors) + bias
        return (np.tanh(total[:, :size]), np.ascontiguousarray(total[:, size:]))[: self._num_arrays]


def make_conditioning(config: ModelConfig, arrays: dict[str, Array]) -> Conditioning | None:
    """None for a network without a condition."""
    return None if config.condition == "none" else Conditioning(config, arrays)
