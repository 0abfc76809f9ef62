"""A cell over time: one recurrent layer, and the one place where its engine is chosen.

Shapes: N batch, T time, D input, H hidden, V vocabulary, G gates.

`native` runs the compiled kernels, `library` PyTorch's fused layers, `reference` the readable cells
one step at a time. All take the same weights and give the same numbers; SONHO_ENGINE chooses.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sonho.config import Cell
from sonho.native import library
from sonho.nn import native_ops
from sonho.nn.cells import LSTMState, gru_cell, lstm_cell, rnn_cell
from sonho.nn.dropout import weight_mask

GATES = {"lstm": 4, "gru": 3, "rnn": 1}
# Up to this many symbols a one-hot input is worth feeding to the library as dense vectors.
DENSE_ONE_HOT = 512
# A condition is small numbers at first, so that the network learns to read before it listens to them.
CONDITION_STD = 0.1

LayerState = LSTMState | Tensor


class Recurrent(nn.Module):
    """One recurrent layer. Input (N, T, D) float, or (N, T) integer ids, which stand for one-hot vectors.

    Weights: `weight_ih` (G*H, D), `weight_hh` (G*H, H), `bias` (G*H). The recurrent matrices start
    orthogonal, gate by gate, and the forget gate's bias at 1. With a `condition_size` F there is a
    `weight_condition` (G*H, F) too, for a vector that each row adds to its input at every step.
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        *,
        nonlinearity: str = "tanh",
        weight_drop: float = 0.0,
        condition_size: int = 0,
    ) -> None:
        super().__init__()
        self.cell, self.input_size, self.hidden_size = cell, input_size, hidden_size
        self.nonlinearity, self.weight_drop = nonlinearity, weight_drop
        rows = GATES[cell] * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias = nn.Parameter(torch.zeros(rows))
        self.weight_condition: nn.Parameter | None = None
        if condition_size:
            self.weight_condition = nn.Parameter(nn.init.normal_(torch.empty(rows, condition_size), std=CONDITION_STD))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        with torch.no_grad():
            for gate in range(GATES[self.cell]):
                rows = slice(gate * self.hidden_size, (gate + 1) * self.hidden_size)
                nn.init.xavier_uniform_(self.weight_ih[rows])
                nn.init.orthogonal_(self.weight_hh[rows])
            self.bias.zero_()
            if self.cell == "lstm":
                self.bias[self.hidden_size : 2 * self.hidden_size] = 1.0

    def spread_memory(self, first: float, last: float) -> None:
        """Let some units of an LSTM or a GRU begin with a longer memory than others.

        The biases of the forget gates, or of the update gates, lie evenly between `first` and `last` then.
        """
        with torch.no_grad():
            self.bias[self.hidden_size : 2 * self.hidden_size] = torch.linspace(first, last, self.hidden_size)

    def initial_state(self, batch_size: int) -> LayerState:
        zeros = self.weight_hh.new_zeros(batch_size, self.hidden_size)
        return LSTMState(zeros, zeros) if self.cell == "lstm" else zeros

    def forward(
        self,
        inputs: Tensor,
        state: LayerState,
        lengths: Tensor | None = None,
        embedding: Tensor | None = None,
        condition: Tensor | None = None,
    ) -> tuple[Tensor, LayerState]:
        """Run a whole window. Returns outputs (N, T, H) and the state after each row's last step.

        `embedding` (V, D): the ids stand for its rows, not for one-hot vectors. An engine that is
        given ids can multiply each symbol once, and not once for every time that it occurs.

        `lengths` (N,): steps of each row that count. Outputs past a row's length are zero and its
        state is the one after `lengths[n]` steps; what stands in the padding changes nothing.

        `condition` (N, F) is a further input of each row, the same at all its steps.
        """
        weight_hh: Tensor = self.weight_hh
        if self.training and self.weight_drop:
            kept, scale = weight_mask(weight_hh, self.weight_drop)  # one for the whole window (DropConnect)
            weight_hh = weight_hh * kept * scale
        return ENGINES[library.engine_name()](self, inputs, state, weight_hh, lengths, embedding, condition)


Engine = Callable[..., tuple[Tensor, LayerState]]


def run_reference(
    layer: Recurrent,
    inputs: Tensor,
    state: LayerState,
    weight_hh: Tensor,
    lengths: Tensor | None,
    embedding: Tensor | None = None,
    condition: Tensor | None = None,
) -> tuple[Tensor, LayerState]:
    """The readable twin: the cell, step by step."""
    if embedding is not None:
        inputs = F.embedding(inputs, embedding)
    if inputs.is_floating_point():
        gates = F.linear(inputs, layer.weight_ih, layer.bias)  # (N, T, G*H)
    else:
        gates = F.embedding(inputs, layer.weight_ih.T + layer.bias)  # a one-hot product is a gather
    if condition is not None:
        assert layer.weight_condition is not None
        gates = gates + F.linear(condition, layer.weight_condition)[:, None]
    outputs = []
    for t in range(inputs.shape[1]):
        new = _step(layer, gates[:, t], state, weight_hh)
        if lengths is not None:
            new = _keep_finished(new, state, (t < lengths)[:, None])
        state = new
        hidden = state.h if isinstance(state, LSTMState) else state
        outputs.append(hidden if lengths is None else hidden * (t < lengths)[:, None])
    if not outputs:
        return gates.new_zeros(inputs.shape[0], 0, layer.hidden_size), state
    return torch.stack(outputs, dim=1), state


def run_library(
    layer: Recurrent,
    inputs: Tensor,
    state: LayerState,
    weight_hh: Tensor,
    lengths: Tensor | None,
    embedding: Tensor | None = None,
    condition: Tensor | None = None,
) -> tuple[Tensor, LayerState]:
    """PyTorch's fused layers (oneDNN for the LSTM)."""
    if embedding is not None:
        inputs = F.embedding(inputs, embedding)
    if not inputs.is_floating_point():
        if layer.input_size > DENSE_ONE_HOT:
            return run_reference(layer, inputs, state, weight_hh, lengths, condition=condition)
        inputs = F.one_hot(inputs, layer.input_size).to(layer.bias.dtype)
    if inputs.shape[1] == 0:
        return inputs.new_zeros(inputs.shape[0], 0, layer.hidden_size), state
    inputs, weight_ih = _with_condition(layer, inputs, condition)
    weights = [weight_ih, weight_hh, layer.bias, torch.zeros_like(layer.bias)]
    if lengths is not None:
        return _run_packed(layer, inputs, state, weights, lengths)
    first = state.h if isinstance(state, LSTMState) else state
    options = (
        True,
        1,
        0.0,
        layer.training,
        False,
        True,
    )  # biases, layers, dropout, ..., one way, batch first
    if isinstance(state, LSTMState):
        outputs, h, c = torch.lstm(inputs, [first[None], state.c[None]], weights, *options)
        return outputs, LSTMState(h[0], c[0])
    outputs, h = _library_layer(layer)(inputs, first[None], weights, *options)
    return outputs, h[0]


def run_native(
    layer: Recurrent,
    inputs: Tensor,
    state: LayerState,
    weight_hh: Tensor,
    lengths: Tensor | None,
    embedding: Tensor | None = None,
    condition: Tensor | None = None,
) -> tuple[Tensor, LayerState]:
    """The compiled kernels: float32 on the CPU; anything else goes to the library."""
    if weight_hh.dtype != torch.float32 or weight_hh.device.type != "cpu":
        return run_library(layer, inputs, state, weight_hh, lengths, embedding, condition)
    if embedding is not None and embedding.shape[0] > inputs.numel():
        inputs, embedding = F.embedding(inputs, embedding), None  # more symbols than positions: a table costs more
    weight_ih: Tensor | None = None
    beside: Tensor | None = None
    table: Tensor = layer.bias
    if inputs.is_floating_point():
        inputs, weight_ih = _with_condition(layer, inputs, condition)
    else:
        table = native_ops.make_table(embedding, layer.weight_ih, layer.bias)  # (V, G*H)
    if condition is not None and not inputs.is_floating_point():
        weight_ih, beside = layer.weight_condition, _at_each_step(condition, inputs.shape[1])
    cell = layer.cell if layer.cell != "rnn" else f"rnn_{layer.nonlinearity}"
    c = state.c if isinstance(state, LSTMState) else None
    first = state.h if isinstance(state, LSTMState) else state
    outputs, h, c = native_ops.run_window(cell, inputs, lengths, weight_ih, table, weight_hh, first, c, beside)
    return outputs, LSTMState(h, c) if isinstance(state, LSTMState) else h


def _at_each_step(condition: Tensor, steps: int) -> Tensor:
    """A condition (N, F) as inputs (N, T, F)."""
    return condition[:, None].expand(-1, steps, -1)


def _with_condition(layer: Recurrent, inputs: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
    """Inputs (N, T, D) with the condition beside them, and the weights (G*H, D) of both."""
    if condition is None:
        return inputs, layer.weight_ih
    assert layer.weight_condition is not None
    both = torch.cat([inputs, _at_each_step(condition, inputs.shape[1])], dim=-1)
    return both, torch.cat([layer.weight_ih, layer.weight_condition], dim=1)


def _run_packed(
    layer: Recurrent, inputs: Tensor, state: LayerState, weights: list[Tensor], lengths: Tensor
) -> tuple[Tensor, LayerState]:
    # A packed row needs at least one step; a row of length 0 gets one and keeps its old state after it.
    steps = lengths.clamp(min=1).cpu()
    packed = nn.utils.rnn.pack_padded_sequence(inputs, steps, batch_first=True, enforce_sorted=False)
    order = packed.sorted_indices
    assert order is not None
    assert packed.unsorted_indices is not None
    options = (True, 1, 0.0, layer.training, False)
    if isinstance(state, LSTMState):
        first = [state.h[order][None], state.c[order][None]]
        data, h, c = torch.lstm(packed.data, packed.batch_sizes, first, weights, *options)
        new: LayerState = LSTMState(h[0][packed.unsorted_indices], c[0][packed.unsorted_indices])
    else:
        data, h = _library_layer(layer)(packed.data, packed.batch_sizes, state[order][None], weights, *options)
        new = h[0][packed.unsorted_indices]
    outputs, _ = nn.utils.rnn.pad_packed_sequence(
        packed._replace(data=data), batch_first=True, total_length=inputs.shape[1]
    )
    started = (lengths > 0)[:, None]
    return outputs * started[:, None], _keep_finished(new, state, started)


def _library_layer(layer: Recurrent) -> Callable[..., tuple[Tensor, Tensor]]:
    if layer.cell == "gru":
        return torch.gru
    return torch.rnn_tanh if layer.nonlinearity == "tanh" else torch.rnn_relu


def _step(layer: Recurrent, gates: Tensor, state: LayerState, weight_hh: Tensor) -> LayerState:
    if isinstance(state, LSTMState):
        return lstm_cell(gates, state, weight_hh)
    if layer.cell == "gru":
        return gru_cell(gates, state, weight_hh)
    return rnn_cell(gates, state, weight_hh, layer.nonlinearity)


def _keep_finished(new: LayerState, old: LayerState, running: Tensor) -> LayerState:
    if isinstance(new, LSTMState) and isinstance(old, LSTMState):
        return LSTMState(torch.where(running, new.h, old.h), torch.where(running, new.c, old.c))
    assert isinstance(new, Tensor)
    assert isinstance(old, Tensor)
    return torch.where(running, new, old)


ENGINES: dict[str, Engine] = {"native": run_native, "library": run_library, "reference": run_reference}
