"""The gradients of a language model's loss straight from the kernels, without autograd.

Autograd builds a graph of every step, and PyTorch runs a dozen small operations between the kernels in fresh memory:
a quarter of a step of 20 ms (docs/log.md, 22). Here each layer is one call forward and one backward, in memory that
is kept. `LanguageModel.loss` with `backward` is the readable twin, and does what is not possible here.

Shapes: N batch, T time, D input, H hidden, V vocabulary, G gates.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sonho.models.language_model import LanguageModel, State
from sonho.models.sampled_softmax import draw_words
from sonho.native import library
from sonho.nn.buffers import borrow
from sonho.nn.cells import LSTMState
from sonho.nn.dropout import dropout_mask, weight_mask
from sonho.nn.native_ops import saved_shape, table_call
from sonho.nn.precision import precision_in_force
from sonho.nn.recurrent import LayerState, Recurrent


class DirectGradients:
    """Fills the `grad` of every parameter of a model; what was there is written over."""

    def __init__(self, model: LanguageModel, softmax_samples: int = 0) -> None:
        """`softmax_samples`: see `LanguageModel.loss`."""
        self._model, self._samples = model, softmax_samples
        self._window: _Window | None = None

    def suit(self, tokens: Tensor) -> bool:
        """Whether the model's settings, the engine in force and `tokens` (N, T) are such that this can be used."""
        model, config = self._model, self._model.config
        return (
            library.engine_name() == "native"
            and model.mask.dtype == torch.float32
            and model.mask.device.type == "cpu"
            and config.cell in ("lstm", "gru", "rnn")
            and not (model.condition_size or config.dropout_input)
            and tokens.numel() > 0
        )

    def __call__(self, tokens: Tensor, targets: Tensor, state: State) -> tuple[float, State]:
        """Mean cross-entropy (nats) of `targets` (N, T), -100 for none, and the state, which has no graph.

        `tokens` is (N, T) integers, such that `suit` holds; no gradient reaches `state`.
        """
        if self._window is None or self._window.shape != tokens.shape:
            self._window = None  # its memory goes before the next is taken
            self._window = _Window(self._model, self._samples, *tokens.shape)
        with torch.no_grad():
            return self._window.run(tokens.to(torch.int64).contiguous(), targets.to(torch.int64).contiguous(), state)


class _Window:
    """Everything that a window of one shape needs, from batch to batch."""

    def __init__(self, model: LanguageModel, samples: int, batch_size: int, steps: int) -> None:
        self.shape = (batch_size, steps)
        self._model, self._samples = model, samples
        layers: list[Any] = list(model.layers)
        # What flows down: the gradient of what a layer gives, first written by the loss.
        self._d_hidden = torch.empty(batch_size, steps, model.config.hidden_size)
        # With more symbols than positions a table of what each symbol adds costs more than it saves.
        looks_up = model.embedding is None or model.vocab_size <= batch_size * steps
        self._first = (_LookedUp if looks_up else _Embedded)(model, layers[0], *self.shape)
        self._upper = [_Upper(model, layer, *self.shape) for layer in layers[1:]]
        self._bias = torch.empty(model.vocab_size)
        self._mean = torch.empty((), dtype=torch.float64)

    def run(self, tokens: Tensor, targets: Tensor, state: State) -> tuple[float, State]:
        first, *others = state
        hidden, after = self._first.forward(tokens, first)
        new_state = [after]
        for layer, layer_state in zip(self._upper, others, strict=True):
            hidden, after = layer.forward(hidden, layer_state)
            new_state.append(after)
        loss = self._sampled_loss(hidden, targets) if self._samples else self._whole_loss(hidden, targets)
        d_hidden = self._d_hidden
        for layer in reversed(self._upper):
            d_hidden = layer.backward(d_hidden)
        self._first.backward(d_hidden)
        return loss, tuple(new_state)

    def _whole_loss(self, hidden: Tensor, targets: Tensor) -> float:
        output, weight = self._model.output, self._model.output_weight()
        torch.add(output.bias, self._model.mask, out=self._bias)
        return self._loss(hidden, weight, self._bias, targets, gradient_of(weight), gradient_of(output.bias))

    def _sampled_loss(self, hidden: Tensor, targets: Tensor) -> float:
        output, weight = self._model.output, self._model.output_weight()
        words = draw_words(targets.flatten(), self._model.mask, self._samples)
        rows, bias = weight[words.ids], output.bias[words.ids] + words.bias
        d_rows, d_bias = torch.empty_like(rows), torch.empty_like(bias)
        loss = self._loss(hidden, rows, bias, words.targets, d_rows, d_bias)
        gradient_of(weight).zero_()[words.ids] = d_rows
        gradient_of(output.bias).zero_()[words.ids] = d_bias
        return loss

    def _loss(
        self, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, d_weight: Tensor, d_bias: Tensor
    ) -> float:
        """Fills the gradients of the weights (V, H), of the bias (V,) and of what is hidden."""
        library.cross_entropy(
            library.Loss(
                threads=torch.get_num_threads(),
                precision=precision_in_force(),
                R=targets.numel(),
                H=hidden.shape[2],
                V=len(bias),
                hidden=hidden.data_ptr(),
                weight=weight.data_ptr(),
                bias=bias.data_ptr(),
                targets=targets.data_ptr(),
                loss=self._mean.data_ptr(),
                d_hidden=self._d_hidden.data_ptr(),
                d_weight=d_weight.data_ptr(),
                d_bias=d_bias.data_ptr(),
            )
        )
        return self._mean.item()


class _Layer:
    """One layer over a window, with its norm and dropout. What it is fed decides the rest: see the classes below."""

    def __init__(self, model: LanguageModel, layer: Recurrent, batch_size: int, steps: int) -> None:
        self._model, self._layer = model, layer
        self._norm: nn.LayerNorm | None = getattr(layer, "norm", None)
        cell = layer.cell if layer.cell != "rnn" else f"rnn_{layer.nonlinearity}"
        size = layer.hidden_size
        self._outputs = torch.empty(batch_size, steps, size)
        self._dropped = torch.empty_like(self._outputs) if model.config.dropout else self._outputs
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
        self._mask: Tensor | None  # of dropout, (N, 1 or T, H)
        self._weight_mask: tuple[Tensor, float] | None  # of weight drop: which are kept, (G*H, H), and their factor
        self._weights = torch.empty_like(layer.weight_hh) if layer.weight_drop else layer.weight_hh  # after it
        self._moments: list[Tensor]  # mean and deviation of the norm

    def _forward(self, state: LayerState) -> tuple[Tensor, LayerState]:
        """What the layer gives, (N, T, H) after dropout, and its state. The input is in `_call` already."""
        call, lstm = self._call, isinstance(state, LSTMState)
        firsts = [tensor.contiguous() for tensor in (state if isinstance(state, LSTMState) else (state,))]
        lasts = [torch.empty_like(tensor) for tensor in firsts]
        weight_hh = self._dropped_weights()
        self._alive = [*firsts, weight_hh]
        call.threads, call.precision = torch.get_num_threads(), precision_in_force()
        call.weight_hh = weight_hh.data_ptr()
        call.h_first, call.h_last = firsts[0].data_ptr(), lasts[0].data_ptr()
        if lstm:
            call.c_first, call.c_last = firsts[1].data_ptr(), lasts[1].data_ptr()
        library.window_forward(call)
        return self._dropped_outputs(self._normed_outputs()), LSTMState(*lasts) if lstm else lasts[0]

    def _dropped_weights(self) -> Tensor:
        share, self._weight_mask = self._layer.weight_drop, None
        if not (share and self._model.training):
            return self._layer.weight_hh
        kept, scale = self._weight_mask = weight_mask(self._layer.weight_hh, share)
        return torch.mul(self._layer.weight_hh, kept, out=self._weights).mul_(scale)

    def _normed_outputs(self) -> Tensor:
        if self._norm is None:
            return self._outputs
        norm, shape = self._norm, self._outputs.shape[2:]
        hidden, *self._moments = torch.native_layer_norm(self._outputs, shape, norm.weight, norm.bias, norm.eps)
        return hidden

    def _dropped_outputs(self, hidden: Tensor) -> Tensor:
        config, self._mask = self._model.config, None
        if not (config.dropout and self._model.training):
            return hidden
        self._mask = dropout_mask(hidden, config.dropout, config.dropout_kind)
        return torch.mul(hidden, self._mask, out=self._dropped)

    def _backward(self, d_hidden: Tensor) -> None:
        """From the gradient of what the layer gave, which is written over, to those that `_call` has places for."""
        if self._mask is not None:
            d_hidden.mul_(self._mask)
        if self._norm is not None:
            d_hidden = self._norm_backward(self._norm, d_hidden)
        self._call.d_outputs = d_hidden.data_ptr()
        d_weight_hh = gradient_of(self._layer.weight_hh)
        self._call.d_weight_hh = d_weight_hh.data_ptr()
        library.window_backward(self._call)
        if self._weight_mask is not None:
            kept, scale = self._weight_mask
            d_weight_hh.mul_(kept).mul_(scale)

    def _norm_backward(self, norm: nn.LayerNorm, d_hidden: Tensor) -> Tensor:
        d_outputs: Tensor
        d_outputs, d_weight, d_bias = torch.ops.aten.native_layer_norm_backward(
            d_hidden, self._outputs, self._outputs.shape[2:], *self._moments, norm.weight, norm.bias, [True, True, True]
        )
        gradient_of(norm.weight).copy_(d_weight)
        gradient_of(norm.bias).copy_(d_bias)
        return d_outputs


class _LookedUp(_Layer):
    """Looks up, by the ids, what each symbol adds to the gates: a table (V, G*H)."""

    def __init__(self, model: LanguageModel, layer: Recurrent, batch_size: int, steps: int) -> None:
        super().__init__(model, layer, batch_size, steps)
        self._table = torch.empty(model.vocab_size, len(layer.bias))
        self._d_table = torch.empty_like(self._table)
        self._call.V = model.vocab_size
        self._call.table, self._call.d_table = self._table.data_ptr(), self._d_table.data_ptr()

    def forward(self, tokens: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        call = self._table_call()
        call.table = self._table.data_ptr()
        library.table_forward(call)
        self._tokens = tokens
        self._call.ids = tokens.data_ptr()
        return self._forward(state)

    def backward(self, d_hidden: Tensor) -> None:
        self._backward(d_hidden)
        layer, embedding = self._layer, self._model.embedding
        call = self._table_call()
        call.d_table = self._d_table.data_ptr()
        call.d_weight, call.d_bias = gradient_of(layer.weight_ih).data_ptr(), gradient_of(layer.bias).data_ptr()
        if embedding is not None:
            call.d_embedding = gradient_of(embedding.weight).data_ptr()
            call.adds = self._model.config.tied  # then the loss has written its gradient already
        library.table_backward(call)

    def _table_call(self) -> library.Table:
        embedding = self._model.embedding
        return table_call(None if embedding is None else embedding.weight, self._layer.weight_ih, self._layer.bias)


class _Upper(_Layer):
    """Multiplies what the layer below gives."""

    def __init__(self, model: LanguageModel, layer: Recurrent, batch_size: int, steps: int) -> None:
        super().__init__(model, layer, batch_size, steps)
        self._d_inputs = torch.empty(batch_size, steps, layer.input_size)
        self._call.V, self._call.D = 1, layer.input_size
        self._call.d_inputs = self._d_inputs.data_ptr()

    def forward(self, inputs: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        self._inputs = inputs
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
        return super().forward(self._model.embedding.weight[self._tokens], state)  # (N*T, D)

    def backward(self, d_hidden: Tensor) -> Tensor:
        assert self._model.embedding is not None
        d_inputs = super().backward(d_hidden)
        gradient = gradient_of(self._model.embedding.weight)
        if not self._model.config.tied:  # else the loss has written its gradient already
            gradient.zero_()
        gradient.index_add_(0, self._tokens, d_inputs.flatten(0, 1))
        return d_inputs


def gradient_of(parameter: Tensor) -> Tensor:
    """The memory of a parameter's gradient, made if there is none."""
    gradient = parameter.grad
    if gradient is None or not gradient.is_contiguous():
        gradient = parameter.grad = torch.empty_like(parameter, memory_format=torch.contiguous_format)
    return gradient
