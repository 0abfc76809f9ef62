"""The gradients of a language model's loss straight from the kernels, without autograd.

Autograd builds a graph of every step, and PyTorch runs a dozen small operations between the kernels in fresh memory:
a quarter of a step of 20 ms (docs/log.md, 22). Here each layer is one call forward and one backward, in memory that
is kept. `LanguageModel.loss` with `backward` is the readable twin, and does what is not possible here.

Shapes: N batch, T time, D input, H hidden, V vocabulary, G gates.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sonho.models.language_model import LanguageModel, State
from sonho.native import library
from sonho.nn.buffers import borrow
from sonho.nn.cells import LSTMState
from sonho.nn.dropout import locked_mask
from sonho.nn.native_ops import saved_shape
from sonho.nn.recurrent import LayerState, Recurrent


class DirectGradients:
    """Fills the `grad` of every parameter of a model; what was there is written over."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._window: _Window | None = None

    def suit(self, tokens: Tensor) -> bool:
        """Whether the model's settings, the engine in force and `tokens` (N, T) are such that this can be used."""
        model, config = self._model, self._model.config
        return (
            library.engine_name() == "native"
            and model.mask.dtype == torch.float32
            and model.mask.device.type == "cpu"
            and config.cell in ("lstm", "gru", "rnn")
            and not (model.condition_size or config.layer_norm or config.weight_drop or config.dropout_input)
            and (config.dropout == 0 or config.dropout_kind == "locked")
            and tokens.numel() > 0
        )

    def __call__(self, tokens: Tensor, targets: Tensor, state: State) -> tuple[float, State]:
        """Mean cross-entropy (nats) of `targets` (N, T), -100 for none, and the state, which has no graph.

        `tokens` is (N, T) integers, such that `suit` holds; no gradient reaches `state`.
        """
        if self._window is None or self._window.shape != tokens.shape:
            self._window = None  # its memory goes before the next is taken
            self._window = _Window(self._model, *tokens.shape)
        with torch.no_grad():
            return self._window.run(tokens.to(torch.int64).contiguous(), targets.to(torch.int64).contiguous(), state)


class _Window:
    """Everything that a window of one shape needs, from batch to batch."""

    def __init__(self, model: LanguageModel, batch_size: int, steps: int) -> None:
        self.shape = (batch_size, steps)
        self._model = model
        layers: list[Any] = list(model.layers)
        # What flows down: the gradient of what a layer gives, first written by the loss.
        self._d_hidden = torch.empty(batch_size, steps, model.config.hidden_size)
        # With more symbols than positions a table of what each symbol adds costs more than it saves.
        looks_up = model.embedding is None or model.vocab_size <= batch_size * steps
        self._first = (_LookedUp if looks_up else _Embedded)(model, layers[0], *self.shape)
        self._upper = [_Upper(model, layer, *self.shape) for layer in layers[1:]]
        self._bias = torch.empty(model.vocab_size)
        self._mean = torch.empty((), dtype=torch.float64)
        tied = model.output.weight is None
        self._d_tied = torch.empty_like(model.output_weight()) if tied else None

    def run(self, tokens: Tensor, targets: Tensor, state: State) -> tuple[float, State]:
        first, *others = state
        hidden, after = self._first.forward(tokens, first)
        new_state = [after]
        for layer, layer_state in zip(self._upper, others, strict=True):
            hidden, after = layer.forward(hidden, layer_state)
            new_state.append(after)
        loss = self._loss(hidden, targets)
        d_hidden = self._d_hidden
        for layer in reversed(self._upper):
            d_hidden = layer.backward(d_hidden)
        self._first.backward(d_hidden)
        if self._d_tied is not None:
            assert self._model.embedding is not None  # check_model_config: tied needs an embedding
            gradient_of(self._model.embedding.weight).add_(self._d_tied)
        return loss, tuple(new_state)

    def _loss(self, hidden: Tensor, targets: Tensor) -> float:
        output, weight = self._model.output, self._model.output_weight()
        torch.add(output.bias, self._model.mask, out=self._bias)
        library.cross_entropy(
            library.Loss(
                threads=torch.get_num_threads(),
                R=targets.numel(),
                H=hidden.shape[2],
                V=len(self._bias),
                hidden=hidden.data_ptr(),
                weight=weight.data_ptr(),
                bias=self._bias.data_ptr(),
                targets=targets.data_ptr(),
                loss=self._mean.data_ptr(),
                d_hidden=self._d_hidden.data_ptr(),
                d_weight=(gradient_of(weight) if self._d_tied is None else self._d_tied).data_ptr(),
                d_bias=gradient_of(output.bias).data_ptr(),
            )
        )
        return self._mean.item()


class _Layer:
    """One layer with its dropout over a window. What it is fed decides who begins and ends: see the classes below."""

    def __init__(self, model: LanguageModel, layer: Recurrent, batch_size: int, steps: int) -> None:
        self._model, self._layer = model, layer
        self._share = model.config.dropout
        cell = layer.cell if layer.cell != "rnn" else f"rnn_{layer.nonlinearity}"
        size = layer.hidden_size
        self._outputs = torch.empty(batch_size, steps, size)
        self._dropped = torch.empty_like(self._outputs) if self._share else self._outputs
        self._saved = borrow(*saved_shape(cell, batch_size, steps, size))
        self._call = library.Window(
            cell=library.CELLS[cell],
            N=batch_size,
            T=steps,
            H=size,
            outputs=self._outputs.data_ptr(),
            saved=self._saved.data_ptr(),
        )
        self._alive: list[Tensor] = []  # whose addresses `_call` has

    def _forward(self, state: LayerState) -> tuple[Tensor, LayerState]:
        """What the layer gives, (N, T, H) after dropout, and its state. The input is in `_call` already."""
        call, lstm = self._call, isinstance(state, LSTMState)
        firsts = [tensor.contiguous() for tensor in (state if isinstance(state, LSTMState) else (state,))]
        lasts = [torch.empty_like(tensor) for tensor in firsts]
        self._alive = firsts
        call.threads = torch.get_num_threads()
        call.weight_hh = self._layer.weight_hh.data_ptr()
        call.h_first, call.h_last = firsts[0].data_ptr(), lasts[0].data_ptr()
        if lstm:
            call.c_first, call.c_last = firsts[1].data_ptr(), lasts[1].data_ptr()
        library.window_forward(call)
        if self._share and self._model.training:
            self._mask = locked_mask(self._outputs, self._share)
            torch.mul(self._outputs, self._mask, out=self._dropped)
        hidden = self._dropped if self._model.training else self._outputs
        return hidden, LSTMState(*lasts) if lstm else lasts[0]

    def _backward(self, d_hidden: Tensor) -> None:
        """From the gradient of what the layer gave, which is written over, to those that `_call` has places for."""
        if self._share and self._model.training:
            d_hidden.mul_(self._mask)
        self._call.d_outputs = d_hidden.data_ptr()
        self._call.d_weight_hh = gradient_of(self._layer.weight_hh).data_ptr()
        library.window_backward(self._call)


class _LookedUp(_Layer):
    """Looks up, by the ids, what each symbol adds to the gates: a table (V, G*H)."""

    def __init__(self, model: LanguageModel, layer: Recurrent, batch_size: int, steps: int) -> None:
        super().__init__(model, layer, batch_size, steps)
        self._table = torch.empty(model.vocab_size, len(layer.bias))
        self._d_table = torch.empty_like(self._table)
        self._ones = torch.ones(model.vocab_size)
        self._call.V = model.vocab_size
        self._call.table, self._call.d_table = self._table.data_ptr(), self._d_table.data_ptr()

    def forward(self, tokens: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        layer, embedding = self._layer, self._model.embedding
        if embedding is None:
            torch.add(layer.weight_ih.T, layer.bias, out=self._table)
        else:
            torch.addmm(layer.bias, embedding.weight, layer.weight_ih.T, out=self._table)
        self._tokens = tokens
        self._call.ids = tokens.data_ptr()
        return self._forward(state)

    def backward(self, d_hidden: Tensor) -> None:
        self._backward(d_hidden)
        layer, embedding = self._layer, self._model.embedding
        torch.mv(self._d_table.T, self._ones, out=gradient_of(layer.bias))
        if embedding is None:
            gradient_of(layer.weight_ih).copy_(self._d_table.T)
        else:
            torch.mm(self._d_table.T, embedding.weight, out=gradient_of(layer.weight_ih))
            torch.mm(self._d_table, layer.weight_ih, out=gradient_of(embedding.weight))


class _Upper(_Layer):
    """Multiplies what the layer below gives."""

    def __init__(self, model: LanguageModel, layer: Recurrent, batch_size: int, steps: int) -> None:
        super().__init__(model, layer, batch_size, steps)
        self._d_inputs = torch.empty(batch_size, steps, layer.input_size)
        self._call.V, self._call.D = 1, layer.input_size
        self._call.d_inputs = self._d_inputs.data_ptr()

    def forward(self, inputs: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        self._call.inputs = inputs.data_ptr()
        self._call.weight_ih, self._call.table = self._layer.weight_ih.data_ptr(), self._layer.bias.data_ptr()
        return self._forward(state)

    def backward(self, d_hidden: Tensor) -> Tensor:
        self._call.d_weight_ih = gradient_of(self._layer.weight_ih).data_ptr()
        self._call.d_table = gradient_of(self._layer.bias).data_ptr()
        self._backward(d_hidden)
        return self._d_inputs


class _Embedded(_Upper):
    """Multiplies the embeddings of the symbols."""

    def forward(self, tokens: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        assert self._model.embedding is not None
        self._tokens = tokens.flatten()
        self._vectors = self._model.embedding.weight[self._tokens]  # (N*T, D)
        return super().forward(self._vectors, state)

    def backward(self, d_hidden: Tensor) -> Tensor:
        assert self._model.embedding is not None
        d_inputs = super().backward(d_hidden)
        gradient_of(self._model.embedding.weight).zero_().index_add_(0, self._tokens, d_inputs.flatten(0, 1))
        return d_inputs


def gradient_of(parameter: Tensor) -> Tensor:
    """The memory of a parameter's gradient, made if there is none."""
    gradient = parameter.grad
    if gradient is None or not gradient.is_contiguous():
        gradient = parameter.grad = torch.empty_like(parameter, memory_format=torch.contiguous_format)
    return gradient
