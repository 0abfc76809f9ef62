"""The native kernels as torch operators with gradients: a whole window of one layer in one call.

Shapes: N batch, T time, D input, H hidden, G gates, V symbols. Float32 on the CPU only; `recurrent.py`
decides when to use them. The readable twin is `run_reference` there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sonho.native import library
from sonho.nn.buffers import borrow

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
) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs (N, T, H) and the last h and c (N, H); c is empty but for the LSTM.

    `inputs` are vectors (N, T, D), which `weight_ih` (G*H, D) multiplies, with the bias (G*H) as `table`;
    or ids (N, T), for which `table` (V, G*H) has what each adds to the gates.
    """
    tensors = (inputs, weight_ih, table, weight_hh, h, c)
    keep = torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)
    outputs, h, c, _ = _forward(cell, inputs, lengths, weight_ih, table, weight_hh, h, c, keep)
    return outputs, h, c


@torch.library.custom_op("sonho::window_forward", mutates_args=(), device_types="cpu")
def _forward(
    cell: str,
    inputs: Tensor,
    lengths: Tensor | None,
    weight_ih: Tensor | None,
    table: Tensor,
    weight_hh: Tensor,
    h: Tensor,
    c: Tensor | None,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Outputs, the last h and c, and with `keep` what backward needs besides."""
    outputs, h_last, c_last, saved = _forward_like(cell, inputs, lengths, weight_ih, table, weight_hh, h, c, False)
    if keep:
        saved = borrow(*_saved_shape(cell, inputs, h))
    window, _alive = _window(cell, inputs, lengths, weight_ih, table, weight_hh, h, c)
    window.outputs, window.h_last = outputs.data_ptr(), h_last.data_ptr()
    if c is not None:
        window.c_last = c_last.data_ptr()
    if keep:
        window.saved = saved.data_ptr()
    library.window_forward(window)
    return outputs, h_last, c_last, saved


@_forward.register_fake
def _forward_like(
    cell: str,
    inputs: Tensor,
    lengths: Tensor | None,
    weight_ih: Tensor | None,
    table: Tensor,
    weight_hh: Tensor,
    h: Tensor,
    c: Tensor | None,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    batch_size, steps = inputs.shape[:2]
    size = h.shape[1]
    return (
        h.new_empty(batch_size, steps, size),
        h.new_empty(batch_size, size),
        h.new_empty(0 if c is None else batch_size, size),
        h.new_empty(_saved_shape(cell, inputs, h) if keep else 0),
    )


def _saved_shape(cell: str, inputs: Tensor, h: Tensor) -> tuple[int, int, int, int]:
    return inputs.shape[0], inputs.shape[1], SAVED[cell], (h.shape[1] + PAD - 1) // PAD * PAD


@torch.library.custom_op("sonho::window_backward", mutates_args=(), device_types="cpu")
def _backward(
    cell: str,
    inputs: Tensor,
    lengths: Tensor | None,
    weight_ih: Tensor | None,
    table: Tensor,
    weight_hh: Tensor,
    h: Tensor,
    c: Tensor | None,
    outputs: Tensor,
    saved: Tensor,
    d_outputs: Tensor | None,
    d_h: Tensor | None,
    d_c: Tensor | None,
    want_inputs: bool,
    want_first: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of weight_ih, table, weight_hh, the inputs, and the first h and c; empty where there is none."""
    gradients = _backward_like(
        cell, inputs, lengths, weight_ih, table, weight_hh, h, c, outputs, saved, d_outputs, d_h, d_c, want_inputs,
        want_first,
    )  # fmt: skip
    d_weight_ih, d_table, d_weight_hh, d_inputs, d_h_first, d_c_first = gradients
    window, _alive = _window(cell, inputs, lengths, weight_ih, table, weight_hh, h, c)
    given = [None if d is None else d.contiguous() for d in (d_outputs, d_h, d_c)]
    window.outputs, window.saved = outputs.data_ptr(), saved.data_ptr()
    window.d_outputs, window.d_h_last, window.d_c_last = (_address(d) for d in given)
    window.d_table, window.d_weight_hh = d_table.data_ptr(), d_weight_hh.data_ptr()
    if weight_ih is not None:
        window.d_weight_ih = d_weight_ih.data_ptr()
        window.d_inputs = d_inputs.data_ptr() if want_inputs else None
    if want_first:
        window.d_h_first = d_h_first.data_ptr()
        window.d_c_first = d_c_first.data_ptr() if c is not None else None
    library.window_backward(window)
    return d_weight_ih, d_table, d_weight_hh, d_inputs, d_h_first, d_c_first


@_backward.register_fake
def _backward_like(
    cell: str,
    inputs: Tensor,
    lengths: Tensor | None,
    weight_ih: Tensor | None,
    table: Tensor,
    weight_hh: Tensor,
    h: Tensor,
    c: Tensor | None,
    outputs: Tensor,
    saved: Tensor,
    d_outputs: Tensor | None,
    d_h: Tensor | None,
    d_c: Tensor | None,
    want_inputs: bool,
    want_first: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    def like(tensor: Tensor | None) -> Tensor:
        return h.new_empty(0) if tensor is None else h.new_empty(tensor.shape)

    return (
        like(weight_ih),
        like(table),
        like(weight_hh),
        like(inputs if want_inputs else None),
        like(h if want_first else None),
        like(c if want_first else None),
    )


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.cell = inputs[0]
    ctx.save_for_backward(*inputs[1:8], output[0], output[3])
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(output[3])


def _differentiate(ctx: Any, d_outputs: Any, d_h: Any, d_c: Any, *_: Any) -> tuple[Any, ...]:
    saved = ctx.saved_tensors
    has_weight_ih, has_c = saved[2] is not None, saved[6] is not None
    want_inputs, want_first = ctx.needs_input_grad[1], ctx.needs_input_grad[6] or ctx.needs_input_grad[7]
    d_weight_ih, d_table, d_weight_hh, d_inputs, d_h_first, d_c_first = _backward(
        ctx.cell, *saved, d_outputs, d_h, d_c if has_c else None, want_inputs, want_first
    )
    return (
        None,
        d_inputs if want_inputs else None,
        None,
        d_weight_ih if has_weight_ih else None,
        d_table,
        d_weight_hh,
        d_h_first if want_first else None,
        d_c_first if want_first and has_c else None,
        None,
    )


_forward.register_autograd(_differentiate, setup_context=_remember)


def _window(
    cell: str,
    inputs: Tensor,
    lengths: Tensor | None,
    weight_ih: Tensor | None,
    table: Tensor,
    weight_hh: Tensor,
    h: Tensor,
    c: Tensor | None,
) -> tuple[library.Window, list[Tensor]]:
    """The arguments that both calls have, and the tensors whose memory they point to."""
    with_ids = weight_ih is None
    source = inputs.to(torch.int64) if with_ids else inputs
    lengths = None if lengths is None else lengths.to(torch.int64)
    given = {
        "ids" if with_ids else "inputs": source,
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
        N=inputs.shape[0],
        T=inputs.shape[1],
        D=0 if with_ids else inputs.shape[2],
        H=h.shape[1],
        V=table.shape[0] if with_ids else 1,
        **{name: tensor.data_ptr() for name, tensor in alive.items()},
    )
    return window, list(alive.values())


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
