"""The native kernels as torch operators with gradients: a whole window of one layer in one call.

Shapes: N batch, T time, H hidden, G gates, V symbols. Float32 on the CPU only; `recurrent.py` decides
when to use them. The readable twin is `run_reference` there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sonho.native import library

# Numbers a unit that backward needs, and the units' padding: `saved_of` and `PAD` of native/kernels.h.
SAVED = {"lstm": 6, "gru": 5, "rnn_tanh": 1, "rnn_relu": 1}
PAD = 32


def run_window(
    cell: str, gates: Tensor, ids: Tensor | None, lengths: Tensor | None, weight_hh: Tensor, h: Tensor, c: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs (N, T, H) and the last h and c (N, H); c is empty but for the LSTM.

    `gates` is what the input adds: (N, T, G*H), or with `ids` (N, T) a table (V, G*H) to gather from.
    """
    tensors = (gates, weight_hh, h) if c is None else (gates, weight_hh, h, c)
    keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    outputs, h, c, _, _ = _forward(cell, gates, ids, lengths, weight_hh, h, c, keep)
    return outputs, h, c


@torch.library.custom_op("sonho::window_forward", mutates_args=(), device_types="cpu")
def _forward(
    cell: str,
    gates: Tensor,
    ids: Tensor | None,
    lengths: Tensor | None,
    weight_hh: Tensor,
    h: Tensor,
    c: Tensor | None,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Outputs, the last h and c, and with `keep` what backward needs: h ahead of each step, and `saved`."""
    gates, weight_hh, h = gates.contiguous(), weight_hh.contiguous(), h.contiguous()
    c = None if c is None else c.contiguous()
    ids, lengths = _integers(ids), _integers(lengths)
    batch_size, steps = (gates if ids is None else ids).shape[:2]
    outputs, h_last, c_last, h_before, saved = _forward_like(cell, gates, ids, lengths, weight_hh, h, c, keep)
    window = _window(cell, (batch_size, steps), gates, ids, lengths, weight_hh, h, c)
    window.outputs, window.h_last = outputs.data_ptr(), h_last.data_ptr()
    if c is not None:
        window.c_last = c_last.data_ptr()
    if keep:
        window.h_before, window.saved = h_before.data_ptr(), saved.data_ptr()
    library.window_forward(window)
    return outputs, h_last, c_last, h_before, saved


@_forward.register_fake
def _forward_like(
    cell: str,
    gates: Tensor,
    ids: Tensor | None,
    lengths: Tensor | None,
    weight_hh: Tensor,
    h: Tensor,
    c: Tensor | None,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    batch_size, steps = (gates if ids is None else ids).shape[:2]
    size = h.shape[1]
    outputs = h.new_empty(batch_size, steps, size)
    rows = batch_size if keep else 0
    return (
        outputs,
        h.new_empty(batch_size, size),
        h.new_empty(0 if c is None else batch_size, size),
        h.new_empty(rows, steps, size),
        h.new_empty(rows, steps, SAVED[cell], (size + PAD - 1) // PAD * PAD),
    )


@torch.library.custom_op("sonho::window_backward", mutates_args=(), device_types="cpu")
def _backward(
    cell: str,
    table_rows: int,
    ids: Tensor | None,
    lengths: Tensor | None,
    weight_hh: Tensor,
    h_before: Tensor,
    saved: Tensor,
    d_outputs: Tensor | None,
    d_h: Tensor | None,
    d_c: Tensor | None,
    want_first: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of `gates` (or of the table), weight_hh, and the first h and c, which are empty if not wanted."""
    weight_hh, ids, lengths = weight_hh.contiguous(), _integers(ids), _integers(lengths)
    batch_size, steps, size = h_before.shape
    rows, inner, threads = batch_size * steps, weight_hh.shape[0], torch.get_num_threads()
    # The GRU's n is seen by U h through r, by the input as it is: columns n' r z | n hold both triples.
    columns = inner + size if cell == "gru" else inner
    d_gates = weight_hh.new_empty(batch_size, steps, columns)
    d_h_first = weight_hh.new_empty(batch_size if want_first else 0, size)
    d_c_first = weight_hh.new_empty(batch_size if want_first and cell == "lstm" else 0, size)
    window = _window(cell, (batch_size, steps), weight_hh, ids, lengths, weight_hh, h_before, None)
    window.V, window.saved, window.d_gates = table_rows, saved.data_ptr(), d_gates.data_ptr()
    gradients = [None if d is None else d.contiguous() for d in (d_outputs, d_h, d_c)]
    window.d_outputs, window.d_h_last, window.d_c_last = (None if d is None else d.data_ptr() for d in gradients)
    if want_first:
        window.d_h_first = d_h_first.data_ptr()
        window.d_c_first = d_c_first.data_ptr() if cell == "lstm" else None
    library.window_backward(window)

    d_weight = weight_hh.new_empty(inner, size)
    library.outer_sum(
        d_gates.data_ptr(), columns, h_before.data_ptr(), rows, d_weight.data_ptr(), (inner, size), threads
    )
    if cell == "gru":
        d_weight = torch.cat([d_weight[size:], d_weight[:size]])
    from_input = d_gates[:, :, columns - inner :]
    if ids is None:
        return from_input.contiguous(), d_weight, d_h_first, d_c_first
    d_table = weight_hh.new_zeros(table_rows, inner)
    library.scatter_add(
        ids.data_ptr(), from_input.data_ptr(), columns, rows, d_table.data_ptr(), (table_rows, inner), threads
    )
    return d_table, d_weight, d_h_first, d_c_first


@_backward.register_fake
def _backward_like(
    cell: str,
    table_rows: int,
    ids: Tensor | None,
    lengths: Tensor | None,
    weight_hh: Tensor,
    h_before: Tensor,
    saved: Tensor,
    d_outputs: Tensor | None,
    d_h: Tensor | None,
    d_c: Tensor | None,
    want_first: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    batch_size, steps, size = h_before.shape
    shape = (batch_size, steps) if ids is None else (table_rows,)
    wanted = batch_size if want_first else 0
    return (
        weight_hh.new_empty(*shape, weight_hh.shape[0]),
        torch.empty_like(weight_hh),
        weight_hh.new_empty(wanted, size),
        weight_hh.new_empty(wanted if cell == "lstm" else 0, size),
    )


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    cell, gates, ids, lengths, weight_hh, _, _, _ = inputs
    ctx.cell, ctx.table_rows = cell, gates.shape[0] if ids is not None else 0
    ctx.save_for_backward(ids, lengths, weight_hh, *output[3:])
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(*output[3:])


def _differentiate(ctx: Any, d_outputs: Any, d_h: Any, d_c: Any, *_: Any) -> tuple[Any, ...]:
    ids, lengths, weight_hh, h_before, saved = ctx.saved_tensors
    want_first = ctx.needs_input_grad[5] or ctx.needs_input_grad[6]
    if ctx.cell != "lstm":
        d_c = None
    d_gates, d_weight, d_h_first, d_c_first = _backward(
        ctx.cell, ctx.table_rows, ids, lengths, weight_hh, h_before, saved, d_outputs, d_h, d_c, want_first
    )
    first = d_h_first if want_first else None
    return None, d_gates, None, None, d_weight, first, d_c_first if want_first and ctx.cell == "lstm" else None, None


_forward.register_autograd(_differentiate, setup_context=_remember)


def _window(
    cell: str,
    shape: tuple[int, int],
    gates: Tensor,
    ids: Tensor | None,
    lengths: Tensor | None,
    weight_hh: Tensor,
    h: Tensor,
    c: Tensor | None,
) -> library.Window:
    return library.Window(
        cell=library.CELLS[cell],
        threads=torch.get_num_threads(),
        N=shape[0],
        T=shape[1],
        H=weight_hh.shape[1],
        V=gates.shape[0],
        gates=gates.data_ptr(),
        ids=None if ids is None else ids.data_ptr(),
        lengths=None if lengths is None else lengths.data_ptr(),
        weight_hh=weight_hh.data_ptr(),
        h_first=h.data_ptr(),
        c_first=None if c is None else c.data_ptr(),
    )


def _integers(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.to(torch.int64).contiguous()
