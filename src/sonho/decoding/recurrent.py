"""Recurrent layers in NumPy: one step for a few rows, or a whole window for many.

Shapes: N rows, T time, D input, H hidden, V vocabulary, G gates. The readable twins are the cells
of `nn/cells.py`.

sigmoid(x) = 0.5 * tanh(0.5 * x) + 0.5: the inner half is multiplied into the weights once (exact in
floating point), so that all gates take one tanh, which cannot overflow. For the LSTM the gates are
kept in the order i, f, o, g, which puts the three sigmoids side by side.
"""

from __future__ import annotations

import numpy as np

from sonho.decoding.products import RowProduct
from sonho.decoding.state import Array, State


class RecurrentLayer:
    """Weights of one layer and what a step needs of them.

    `table` (V, G*H): what each token contributes to the gates of a first layer that is fed ids.
    Without it the layer is fed vectors (N, D) and multiplies them by `weight_ih` (G*H, D). With `adds` its state ends
    with what a condition adds to the gates of each row at every step (N, G*H).
    """

    memories = 1  # arrays (N, H) that a step changes

    def __init__(
        self, weight_ih: Array | None, weight_hh: Array, bias: Array, table: Array | None, *, adds: bool = False
    ) -> None:
        self.hidden_size = weight_hh.shape[1]
        self.num_arrays = self.memories + adds
        prepare = self._prepare
        self._bias = prepare(bias)
        self._table = None if table is None else np.ascontiguousarray(prepare(table.T).T)
        self._input_matrix = None if weight_ih is None else prepare(weight_ih)
        self._input_product = None if self._input_matrix is None else RowProduct(self._input_matrix)
        hidden_matrix = prepare(weight_hh)
        self._hidden_matrix = np.ascontiguousarray(hidden_matrix.T)  # (H, G*H)
        self._hidden_product = RowProduct(hidden_matrix)

    def initial_state(self, batch_size: int) -> State:
        return (np.zeros((batch_size, self.hidden_size), dtype=np.float32),) * self.memories

    def step(self, inputs: Array, state: State) -> tuple[Array, State]:
        """`inputs` (N,) ids or (N, D) vectors. Returns the output (N, H) and the new state."""
        if self._table is not None:
            contribution = self._table[inputs]
        else:
            assert self._input_product is not None
            contribution = self._input_product(inputs) + self._bias
        for added in state[self.memories :]:
            contribution = contribution + self._prepare(added.T).T
        after = self._cell(contribution, self._hidden_product(state[0]), state)
        return after[0], after + state[self.memories :]

    def forward(self, inputs: Array, state: State) -> tuple[Array, State]:
        """`inputs` (N, T) ids or (N, T, D) vectors. Returns outputs (N, T, H) and the new state."""
        if self._table is not None:
            contributions = self._table[inputs]  # (N, T, G*H)
        else:
            assert self._input_matrix is not None
            contributions = inputs @ self._input_matrix.T + self._bias
        for added in state[self.memories :]:
            contributions = contributions + self._prepare(added.T).T[:, None]
        outputs = np.empty((*inputs.shape[:2], self.hidden_size), dtype=np.float32)
        for t in range(inputs.shape[1]):
            state = self._cell(contributions[:, t], state[0] @ self._hidden_matrix, state) + state[self.memories :]
            outputs[:, t] = state[0]
        return outputs, state

    def _prepare(self, rows: Array) -> Array:
        """Gate rows (G*H, ...) as the cell wants them: scaled, reordered."""
        return rows

    def _cell(self, inputs: Array, hidden: Array, state: State) -> State:
        """`inputs`, `hidden` (N, G*H): the two products of a step; `hidden` may be overwritten."""
        raise NotImplementedError


class LSTMLayer(RecurrentLayer):
    """State h, c, each (N, H)."""

    memories = 2

    def _prepare(self, rows: Array) -> Array:
        i, f, g, o = np.split(rows, 4)
        return np.concatenate([0.5 * i, 0.5 * f, 0.5 * o, g], dtype=np.float32)

    def _cell(self, inputs: Array, hidden: Array, state: State) -> State:
        size = self.hidden_size
        hidden += inputs
        np.tanh(hidden, out=hidden)
        sigmoids = hidden[:, : 3 * size]
        sigmoids *= 0.5
        sigmoids += 0.5
        c = sigmoids[:, size : 2 * size] * state[1]
        c += sigmoids[:, :size] * hidden[:, 3 * size :]
        h = np.tanh(c)
        h *= sigmoids[:, 2 * size :]
        return h, c


class GRULayer(RecurrentLayer):
    """State h (N, H). The reset gate acts after the product, as in cuDNN."""

    def _prepare(self, rows: Array) -> Array:
        r, z, n = np.split(rows, 3)
        return np.concatenate([0.5 * r, 0.5 * z, n], dtype=np.float32)

    def _cell(self, inputs: Array, hidden: Array, state: State) -> State:
        size = self.hidden_size
        sigmoids = inputs[:, : 2 * size] + hidden[:, : 2 * size]
        np.tanh(sigmoids, out=sigmoids)
        sigmoids *= 0.5
        sigmoids += 0.5
        n = sigmoids[:, :size] * hidden[:, 2 * size :]
        n += inputs[:, 2 * size :]
        np.tanh(n, out=n)
        z = sigmoids[:, size:]
        return ((1 - z) * n + z * state[0],)


class RNNLayer(RecurrentLayer):
    """State h (N, H)."""

    def _cell(self, inputs: Array, hidden: Array, state: State) -> State:
        hidden += inputs
        return (np.tanh(hidden),)


class ReluRNNLayer(RecurrentLayer):
    """State h (N, H)."""

    def _cell(self, inputs: Array, hidden: Array, state: State) -> State:
        hidden += inputs
        return (np.maximum(hidden, 0),)
