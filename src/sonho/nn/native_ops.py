"""The native kernels with gradients for torch: a whole window of one layer in one call, and the table of a first one.

Shapes: N batch, T time, D input, H hidden, G gates, V symbols. Float32 on the CPU only; `recurrent.py`
decides when to use them. The readable twin is `run_reference` there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sonho.native import library
from sonho.nn.buffers import borrow
from sonho.nn.precision import precision_in_force

# Numbers a unit that backward needs, and the units' padding: `saved_of` and `PAD` of native/kernels.h.
SAVED = {"lstm": 5, "gru": 5, "rnn_tanh": 1, "rnn_relu": 1}
PAD = 32


def run_window(
    cell: str,
    inputs: Tensor,
    lengths: Tensor | None,
    weight_ih: Tensor | None,
    table: Tensor,
    weight_hh: Tensor,
    h: Tensor,
    c: Tensor | None,
    beside: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs (N, T, H) and the last h and c (N, H); c is empty but for the LSTM.

    `inputs` are vectors (N, T, D), which `weight_ih` (G*H, D) multiplies, with the bias (G*H) as `table`;
    or ids (N, T), for which `table` (V, G*H) has what each adds to the gates. Ids may have vectors `beside` them
    (N, T, D): these are what `weight_ih` multiplies then.
    """
    tensors = (inputs, weight_ih, table, weight_hh, h, c, beside)
    keep = torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)
    arguments = (cell, inputs, lengths, weight_ih, table, weight_hh, h, c, beside, keep)
    outputs, h, c = _Window.apply(*arguments)  # type: ignore[no-untyped-call]
    return outputs, h, c


class _Window(torch.autograd.Function):
    """An autograd function, not an operator of torch.library: those cost up to a millisecond more a step."""

    @staticmethod
    def forward(
        ctx: Any,
        cell: str,
        inputs: Tensor,
        lengths: Tensor | None,
        weight_ih: Tensor | None,
        table: Tensor,
        weight_hh: Tensor,
        h: Tensor,
        c: Tensor | None,
        beside: Tensor | None,
        keep: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch_size, steps = inputs.shape[:2]
        outputs = h.new_empty(batch_size, steps, h.shape[1])
        h_last = h.new_empty(batch_size, h.shape[1])
        c_last = h.new_empty(0 if c is None else batch_size, h.shape[1])
        window, _alive = _window(cell, inputs, lengths, weight_ih, table, weight_hh, h, c, beside)
        window.outputs, window.h_last = outputs.data_ptr(), h_last.data_ptr()
        if c is not None:
            window.c_last = c_last.data_ptr()
        if keep:
            saved = borrow(*saved_shape(cell, batch_size, steps, h.shape[1]))
            window.saved = saved.data_ptr()
            ctx.cell, ctx.precision = cell, window.precision
            ctx.save_for_backward(inputs, lengths, weight_ih, table, weight_hh, h, c, beside, outputs, saved)
            ctx.set_materialize_grads(False)
        library.window_forward(window)
        return outputs, h_last, c_last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor | None, d_h: Tensor | None, d_c: Tensor | None) -> tuple[Any, ...]:
        inputs, lengths, weight_ih, table, weight_hh, h, c, beside, outputs, saved = ctx.saved_tensors
        vectors = inputs if beside is None else beside
        want_inputs = ctx.needs_input_grad[1 if beside is None else 8]
        want_first = ctx.needs_input_grad[6] or ctx.needs_input_grad[7]
        window, _alive = _window(ctx.cell, inputs, lengths, weight_ih, table, weight_hh, h, c, beside)
        given = [None if d is None else d.contiguous() for d in (d_outputs, d_h, d_c if c is not None else None)]
        window.precision = ctx.precision
        window.outputs, window.saved = outputs.data_ptr(), saved.data_ptr()
        window.d_outputs, window.d_h_last, window.d_c_last = (_address(d) for d in given)
        d_weight_ih = None if weight_ih is None else h.new_empty(weight_ih.shape)
        d_table, d_weight_hh = h.new_empty(table.shape), h.new_empty(weight_hh.shape)
        d_inputs = h.new_empty(vectors.shape) if want_inputs else None
        d_h_first = h.new_empty(h.shape) if want_first else None
        d_c_first = h.new_empty(c.shape) if want_first and c is not None else None
        window.d_weight_ih, window.d_table, window.d_weight_hh, window.d_inputs, window.d_h_first, window.d_c_first = (
            _address(d) for d in (d_weight_ih, d_table, d_weight_hh, d_inputs, d_h_first, d_c_first)
        )
        library.window_backward(window)
        d_ids, d_beside = (d_inputs, None) if beside is None else (None, d_inputs)
        return None, d_ids, None, d_weight_ih, d_table, d_weight_hh, d_h_first, d_c_first, d_beside, None


def make_table(embedding: Tensor | None, weight: Tensor, bias: Tensor) -> Tensor:
    """What each symbol adds to the gates, (V, G*H): its row of the embedding (V, D) times weight (G*H, D), plus bias.

    Without an embedding the symbols are one-hot vectors, and D is V.
    """
    table: Tensor = _Table.apply(embedding, weight, bias)  # type: ignore[no-untyped-call]
    return table


class _Table(torch.autograd.Function):
    """The table of a first layer."""

    @staticmethod
    def forward(ctx: Any, embedding: Tensor | None, weight: Tensor, bias: Tensor) -> Tensor:
        embedding = None if embedding is None else embedding.contiguous()
        weight, bias = weight.contiguous(), bias.contiguous()
        table = weight.new_empty(weight.shape[1] if embedding is None else len(embedding), len(weight))
        call = table_call(embedding, weight, bias)
        call.table = table.data_ptr()
        library.table_forward(call)
        ctx.save_for_backward(embedding, weight, bias)
        ctx.precision = call.precision
        return table

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_table: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        embedding, weight, bias = ctx.saved_tensors
        d_table = d_table.contiguous()
        d_embedding = None if embedding is None else torch.empty_like(embedding)
        d_weight, d_bias = torch.empty_like(weight), torch.empty_like(bias)
        call = table_call(embedding, weight, bias)
        call.precision = ctx.precision
        call.d_table, call.d_embedding = d_table.data_ptr(), _address(d_embedding)
        call.d_weight, call.d_bias = d_weight.data_ptr(), d_bias.data_ptr()
        library.table_backward(call)
        return d_embedding, d_weight, d_bias


def table_call(embedding: Tensor | None, weight: Tensor, bias: Tensor) -> library.Table:
    """The arguments that both directions have; the tensors, all contiguous, must outlive it."""
    return library.Table(
        threads=torch.get_num_threads(),
        precision=precision_in_force(),
        V=weight.shape[1] if embedding is None else len(embedding),
        E=weight.shape[1],
        C=len(bias),
        embedding=_address(embedding),
        weight=weight.data_ptr(),
        bias=bias.data_ptr(),
    )


def saved_shape(cell: str, batch_size: int, steps: int, hidden_size: int) -> tuple[int, int, int, int]:
    """Of the numbers that backward needs."""
    return batch_size, steps, SAVED[cell], (hidden_size + PAD - 1) // PAD * PAD


def _window(
    cell: str,
    inputs: Tensor,
    lengths: Tensor | None,
    weight_ih: Tensor | None,
    table: Tensor,
    weight_hh: Tensor,
    h: Tensor,
    c: Tensor | None,
    beside: Tensor | None,
) -> tuple[library.Window, list[Tensor]]:
    """The arguments that both calls have, and the tensors whose memory they point to."""
    with_ids = weight_ih is None or beside is not None
    vectors = beside if with_ids else inputs
    lengths = None if lengths is None else lengths.to(torch.int64)
    given = {
        "ids": inputs.to(torch.int64) if with_ids else None,
        "inputs": vectors,
        "lengths": lengths,
        "table": table,
        "weight_ih": weight_ih,
        "weight_hh": weight_hh,
        "h_first": h,
        "c_first": c,
    }
    alive = {name: tensor.contiguous() for name, tensor in given.items() if tensor is not None}
    window = library.Window(
        cell=library.CELLS[cell],
        threads=torch.get_num_threads(),
        precision=precision_in_force(),
        N=inputs.shape[0],
        T=inputs.shape[1],
        D=0 if vectors is None else vectors.shape[2],
        H=h.shape[1],
        V=table.shape[0] if with_ids else 1,
        **{name: tensor.data_ptr() for name, tensor in alive.items()},
    )
    return window, list(alive.values())


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
