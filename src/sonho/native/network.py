"""Networks and samplers of libsonho: NumPy arrays in and out. Knows shapes, not text.

Shapes: N rows, T time, V vocabulary, D input, H hidden, G gates (2 for a convolution), K kernel size.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonho.native import library

Array = NDArray[Any]
States = tuple[Array, ...]

CELLS = {**library.CELLS, "conv": 4}


class Logits(IntEnum):
    """Which logits a run gives: none, those of the last step, or all."""

    NONE = 0
    LAST = 1
    ALL = 2


class Failure(IntEnum):
    """Why a row could not draw."""

    NONE = 0
    NOT_NUMBERS = 1
    NOTHING_LEFT = 2


@dataclass(frozen=True)
class LayerSpec:
    """One layer, float32. Fed ids it has a `table` (V, G*H) ((K, V, 2H) for a convolution), else `weight_ih`
    (G*H, D) ((2H, K*D)). `bias` (G*H) is None where the table holds it; `norm` are a weight and a bias (H)."""

    cell: str
    hidden_size: int
    table: Array | None = None
    weight_ih: Array | None = None
    weight_hh: Array | None = None
    bias: Array | None = None
    kernel_size: int = 1
    dilation: int = 1
    norm: Sequence[Array] | None = None
    residual: Array | None = None  # (V, H): what a convolution that is fed ids adds
    adds_input: bool = False
    is_conditioned: bool = False  # its state ends with what each row adds to the gates (N, G*H)


class _Layer(ctypes.Structure):
    _fields_ = (
        ("cell", ctypes.c_int32),
        ("takes_ids", ctypes.c_int32),
        *((name, ctypes.c_int64) for name in ("H", "D", "K", "dilation")),
        *((name, ctypes.c_void_p) for name in ("table", "weight_ih", "weight_hh", "bias")),
        *((name, ctypes.c_void_p) for name in ("norm_weight", "norm_bias", "residual")),
        ("adds_input", ctypes.c_int32),
        ("is_conditioned", ctypes.c_int32),
    )


class _Network(ctypes.Structure):
    _fields_ = (
        ("bits", ctypes.c_int32),
        ("V", ctypes.c_int64),
        ("num_layers", ctypes.c_int64),
        ("layers", ctypes.POINTER(_Layer)),
        ("vector_size", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("vectors", "output_weight", "output_bias")),
    )


class _Sampling(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_double) for name in ("repetition_penalty", "frequency_penalty", "presence_penalty")),
        *((name, ctypes.c_double) for name in ("typical_p", "top_p", "min_p")),
        *((name, ctypes.c_int64) for name in ("repetition_window", "no_repeat_ngram", "top_k", "uniform", "V", "eos")),
        *((name, ctypes.c_uint64) for name in ("seed", "stream")),
        ("bias", ctypes.c_void_p),
    )


class Sampler:
    """How one row is drawn, and what it has drawn so far. `options` are the fields of SonhoSampling."""

    def __init__(self, bias: Array | None, prompt: Sequence[int], **options: float) -> None:
        held = None if bias is None else np.ascontiguousarray(bias, np.float64)
        ids = np.ascontiguousarray(prompt, np.int64)
        given = _Sampling(bias=None if held is None else held.ctypes.data, **options)
        native = library.loaded()
        self.handle: int = _created(native.sonho_sampler_new(ctypes.byref(given), ids.ctypes.data, len(ids)))
        weakref.finalize(self, native.sonho_sampler_free, self.handle)


class Network:
    """A packed copy of a network. It never changes, so threads may share one. `bits` of a weight: 32 or 8."""

    def __init__(
        self,
        layers: Sequence[LayerSpec],
        output_weight: Array,
        output_bias: Array,
        *,
        vectors: Array | None = None,
        bits: int = 32,
    ) -> None:
        self.vocab_size = len(output_bias)
        held: list[Array] = []  # alive until they are copied

        def address(array: Array | None) -> int | None:
            if array is None:
                return None
            held.append(np.ascontiguousarray(array, np.float32))
            return held[-1].ctypes.data

        specs = (_Layer * len(layers))(
            *(
                _Layer(
                    cell=CELLS[layer.cell],
                    takes_ids=layer.table is not None,
                    H=layer.hidden_size,
                    D=0 if layer.weight_ih is None else layer.weight_ih.shape[1] // layer.kernel_size,
                    K=layer.kernel_size,
                    dilation=layer.dilation,
                    table=address(layer.table),
                    weight_ih=address(layer.weight_ih),
                    weight_hh=address(layer.weight_hh),
                    bias=address(layer.bias),
                    norm_weight=address(layer.norm[0]) if layer.norm else None,
                    norm_bias=address(layer.norm[1]) if layer.norm else None,
                    residual=address(layer.residual),
                    adds_input=layer.adds_input,
                    is_conditioned=layer.is_conditioned,
                )
                for layer in layers
            )
        )
        spec = _Network(
            bits=bits,
            V=self.vocab_size,
            num_layers=len(layers),
            layers=specs,
            vector_size=0 if vectors is None else vectors.shape[1],
            vectors=address(vectors),
            output_weight=address(output_weight),
            output_bias=address(output_bias),
        )
        native = library.loaded()
        self._handle: int = _created(native.sonho_network_new(ctypes.byref(spec)))
        weakref.finalize(self, native.sonho_network_free, self._handle)

    def run(self, tokens: Array, states: States, which: Logits) -> tuple[Array | None, States]:
        """Feed `tokens` (N, T). Returns the logits, (N, V) or (N, T, V) float32, and the new states."""
        ids = np.ascontiguousarray(tokens, np.int64)
        after = _copies(states)
        shape = {Logits.LAST: (len(ids), self.vocab_size), Logits.ALL: (*ids.shape, self.vocab_size)}.get(which)
        logits = None if shape is None else np.empty(shape, np.float32)
        library.check(
            library.loaded().sonho_network_run(
                self._handle, *ids.shape, ids.ctypes.data, _addresses(after),
                None if logits is None else logits.ctypes.data, which, default_threads(),
            )
        )  # fmt: skip
        return logits, after

    def draw(
        self,
        states: States,
        logits: Array,
        samplers: Sequence[Sampler],
        temperatures: Array,
        forced: Array | None,
    ) -> tuple[Array, Array, Array, Array, States]:
        """Draw up to `count` tokens for every row; a row ends after its eos.

        `logits` (N, V) are those of the next draw, `temperatures` (N, count) float64, `forced` (N, count) ids
        or -1. Returns tokens (N, count), how many of them count (N,), failures (N,), and the new logits and states.
        """
        num_rows, count = temperatures.shape
        after, next_logits = _copies(states), np.array(logits, np.float32, order="C")
        tokens = np.zeros((num_rows, count), np.int64)
        drawn, failures = np.zeros(num_rows, np.int64), np.zeros(num_rows, np.int32)
        temperatures = np.ascontiguousarray(temperatures, np.float64)
        handles = np.array([sampler.handle for sampler in samplers], np.uintp)
        held = None if forced is None else np.ascontiguousarray(forced, np.int64)
        library.check(
            library.loaded().sonho_draw(
                self._handle, num_rows, count, _addresses(after), handles.ctypes.data, temperatures.ctypes.data,
                None if held is None else held.ctypes.data, next_logits.ctypes.data, tokens.ctypes.data,
                drawn.ctypes.data, failures.ctypes.data, default_threads(),
            )
        )  # fmt: skip
        return tokens, drawn, failures, next_logits, after


def default_threads() -> int:
    """SONHO_THREADS, or the processors that this process may use."""
    if wanted := library.threads_wanted():
        return wanted
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _copies(states: States) -> States:
    return tuple(np.array(state, order="C") for state in states)


def _addresses(states: States) -> Any:
    return (ctypes.c_void_p * len(states))(*(state.ctypes.data for state in states))


def _created(handle: int | None) -> int:
    if handle is None:
        raise MemoryError("not enough memory for the network")
    return handle
