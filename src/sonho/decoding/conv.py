"""A gated causal convolution layer in NumPy that remembers just the inputs still in sight.

Shapes: N rows, T time, D input, H hidden, V vocabulary, K kernel size, P = (K-1)*dilation inputs in
the memory. y = tanh(a) * sigmoid(b), plus the input where D = H. A step costs the same however long
the text is. sigmoid is written with tanh as in `recurrent.py`.
"""

from __future__ import annotations

import numpy as np

from sonho.decoding.products import RowProduct
from sonho.decoding.state import Array, State

DILATION_CYCLE = 5


def dilation_of(layer: int, kernel_size: int) -> int:
    """Dilations grow by the kernel size and start again after five layers.

    >>> [dilation_of(layer, 3) for layer in range(6)]
    [1, 3, 9, 27, 81, 1]
    """
    return int(kernel_size ** (layer % DILATION_CYCLE))


class ConvLayer:
    """Fed vectors: state (N, P, D), the last P inputs, oldest first; zeros before the start."""

    num_arrays = 1

    def __init__(self, weight: Array, bias: Array, dilation: int) -> None:
        rows, self._kernel_size, self._input_size = weight.shape
        self.hidden_size, self._dilation = rows // 2, dilation
        self._bias = _halve_gate(bias)
        self._taps = _halve_gate(weight)  # (2H, K, D)
        self._product = RowProduct(self._taps.reshape(rows, -1))

    def initial_state(self, batch_size: int) -> State:
        past = (self._kernel_size - 1) * self._dilation
        return (np.zeros((batch_size, past, self._input_size), dtype=np.float32),)

    def step(self, inputs: Array, state: State) -> tuple[Array, State]:
        """`inputs` (N, D). Returns the output (N, H) and the new state."""
        seen = np.concatenate([state[0], inputs[:, None]], axis=1)  # (N, P + 1, D)
        taps = seen[:, :: self._dilation].reshape(len(inputs), -1)  # (N, K * D)
        outputs = _gate(self._product(taps) + self._bias)
        if self._input_size == self.hidden_size:
            outputs += inputs
        return outputs, (seen[:, 1:],)

    def forward(self, inputs: Array, state: State) -> tuple[Array, State]:
        """`inputs` (N, T, D). Returns outputs (N, T, H) and the new state."""
        time = inputs.shape[1]
        seen = np.concatenate([state[0], inputs], axis=1)  # (N, P + T, D)
        gates = np.broadcast_to(self._bias, (*inputs.shape[:2], len(self._bias))).copy()
        for tap in range(self._kernel_size):
            start = tap * self._dilation
            gates += seen[:, start : start + time] @ self._taps[:, tap].T
        outputs = _gate(gates)
        if self._input_size == self.hidden_size:
            outputs += inputs
        return outputs, (seen[:, time:].copy(),)


class ConvTokenLayer:
    """A first layer fed ids: state (N, P) ids, oldest first; -1 stands for a zero vector.

    `vectors` (V, D) are the tokens' embeddings, or None for one-hot input. Each tap's product with
    each token is a row of a table, so a step is K gathers.
    """

    num_arrays = 1

    def __init__(self, weight: Array, bias: Array, dilation: int, vectors: Array | None) -> None:
        rows, self._kernel_size, input_size = weight.shape
        self.hidden_size, self._dilation = rows // 2, dilation
        self._bias = _halve_gate(bias)
        taps = _halve_gate(weight).transpose(1, 2, 0)  # (K, D, 2H)
        products = taps if vectors is None else vectors @ taps  # (K, V, 2H)
        # The extra row at the end is what index -1 finds: the zero vector before the start.
        self._tables = np.pad(products, ((0, 0), (0, 1), (0, 0)))
        residual = np.eye(input_size, dtype=np.float32) if vectors is None else vectors
        self._residual = residual if input_size == self.hidden_size else None

    def initial_state(self, batch_size: int) -> State:
        past = (self._kernel_size - 1) * self._dilation
        return (np.full((batch_size, past), -1, dtype=np.int64),)

    def step(self, inputs: Array, state: State) -> tuple[Array, State]:
        """`inputs` (N,) ids. Returns the output (N, H) and the new state."""
        outputs, state = self.forward(inputs[:, None], state)
        return outputs[:, 0], state

    def forward(self, inputs: Array, state: State) -> tuple[Array, State]:
        """`inputs` (N, T) ids. Returns outputs (N, T, H) and the new state."""
        time = inputs.shape[1]
        seen = np.concatenate([state[0], inputs], axis=1)  # (N, P + T)
        gates = np.broadcast_to(self._bias, (*inputs.shape, len(self._bias))).copy()
        for tap, table in enumerate(self._tables):
            start = tap * self._dilation
            gates += table[seen[:, start : start + time]]
        outputs = _gate(gates)
        if self._residual is not None:
            outputs += self._residual[inputs]
        return outputs, (seen[:, time:],)


def _halve_gate(rows: Array) -> Array:
    """Scale the sigmoid half of (2H, ...) for the tanh that stands in for it."""
    scaled: Array = np.array(rows, dtype=np.float32)
    scaled[len(rows) // 2 :] *= 0.5
    return scaled


def _gate(gates: Array) -> Array:
    """(..., 2H) to (..., H)."""
    np.tanh(gates, out=gates)
    size = gates.shape[-1] // 2
    sigmoid = 0.5 * gates[..., size:] + np.float32(0.5)
    sigmoid *= gates[..., :size]
    return sigmoid
