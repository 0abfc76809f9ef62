"""Find libsonho, load it, and call it: addresses in, errors as exceptions out. Knows no torch.

Shapes: N batch, T time, D input, H hidden, G gates, V symbols.

Every array is C-contiguous float32 (ids and lengths int64) and is given as its address, so that NumPy
and torch can both call. Without a library, `available()` is false and callers use the readable twins.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sysconfig
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sonho.errors import UsageError

ENGINES = ("native", "library", "reference")
CELLS = {"lstm": 0, "gru": 1, "rnn_tanh": 2, "rnn_relu": 3}
PRECISIONS = {"float32": 0, "bfloat16": 1}
NAMES = ("libsonho.so", "libsonho.dylib")

_ERRORS = {
    1: "an id is not in the vocabulary; ids are 0 to V-1",
    2: "a length is below 0 or above the number of time steps",
    3: "not enough memory",
    4: "a size or the number of threads is out of range",
    5: "the instruction set in force has no products of bfloat16",
}


class Window(ctypes.Structure):
    """One layer over one window: `SonhoWindow` of kernels.h, where each field is explained."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("cell", "threads", "precision")),
        *((name, ctypes.c_int64) for name in ("N", "T", "D", "H", "V")),
        *(
            (name, ctypes.c_void_p)
            for name in (
                *("ids", "inputs", "lengths", "table", "weight_ih", "weight_hh", "h_first", "c_first"),
                *("outputs", "saved", "h_last", "c_last"),
                *("d_outputs", "d_h_last", "d_c_last"),
                *("d_table", "d_weight_ih", "d_weight_hh", "d_inputs", "d_h_first", "d_c_first"),
            )
        ),
    )


class Table(ctypes.Structure):
    """What each symbol adds to the gates of a first layer: `SonhoTable` of kernels.h, where each field is explained."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("threads", "precision", "adds")),
        *((name, ctypes.c_int64) for name in ("V", "E", "C")),
        *(
            (name, ctypes.c_void_p)
            for name in ("embedding", "weight", "bias", "table", "d_table", "d_embedding", "d_weight", "d_bias")
        ),
    )


class Loss(ctypes.Structure):
    """The output layer with its loss: `SonhoLoss` of kernels.h, where each field is explained."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("threads", "precision")),
        *((name, ctypes.c_int64) for name in ("R", "H", "V")),
        *(
            (name, ctypes.c_void_p)
            for name in ("hidden", "weight", "bias", "targets", "loss", "d_hidden", "d_weight", "d_bias")
        ),
    )


class Muon(ctypes.Structure):
    """A step of Muon for one parameter: `SonhoMuon` of kernels.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("rows", "columns")),
        *((name, ctypes.c_void_p) for name in ("parameter", "buffer", "gradient")),
        *((name, ctypes.c_float) for name in ("rate", "momentum", "weight_decay")),
    )


class AdamW(ctypes.Structure):
    """A step of AdamW for one parameter: `SonhoAdamW` of kernels.h."""

    _fields_ = (
        ("n", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("parameter", "mean", "square", "gradient")),
        *((name, ctypes.c_float) for name in ("rate", "beta1", "beta2", "epsilon", "weight_decay")),
        *((name, ctypes.c_float) for name in ("correction1", "correction2")),
    )


class Array(ctypes.Structure):
    """Numbers, and what they move towards: `SonhoArray` of kernels.h."""

    _fields_ = (("n", ctypes.c_int64), ("values", ctypes.c_void_p), ("towards", ctypes.c_void_p))


def available() -> bool:
    """Whether the kernels can be used here. Warns once if they cannot."""
    return _load() is not None


def engine_name() -> str:
    """The engine in force: native where it was built. Raises UsageError for an unknown SONHO_ENGINE."""
    name = os.environ.get("SONHO_ENGINE") or ("native" if available() else "library")
    if name not in ENGINES:
        raise UsageError(f"SONHO_ENGINE={name!r} is unknown; choose one of {', '.join(ENGINES)}")
    return name


def isas() -> list[str]:
    """The instruction sets that this machine can run, best first."""
    names: bytes = loaded().sonho_isas()
    return names.decode().split()


def select_isa(name: str) -> None:
    """Use one instruction set from now on. Raises UsageError if this machine cannot run it."""
    if loaded().sonho_select_isa(name.encode()):
        raise UsageError(f"SONHO_ISA={name!r} cannot run here; choose one of {', '.join(isas())}")


def has_bfloat16() -> bool:
    """Whether the kernels in force multiply numbers of bfloat16."""
    return available() and bool(loaded().sonho_has_bfloat16())


def threads_wanted() -> int:
    """The number in SONHO_THREADS, or 0. Raises UsageError where it is none."""
    given = os.environ.get("SONHO_THREADS") or "0"
    if not given.isdecimal():
        raise UsageError(f"SONHO_THREADS={given!r} is not a number of threads; set it to one such as 2, or unset it")
    return int(given)


def saved_size(cell: str, batch_size: int, steps: int, hidden_size: int) -> int:
    """Floats that `Window.saved` must hold."""
    return int(loaded().sonho_saved_size(CELLS[cell], batch_size, steps, hidden_size))


def window_forward(window: Window) -> None:
    check(loaded().sonho_window_forward(ctypes.byref(window)))


def window_backward(window: Window) -> None:
    check(loaded().sonho_window_backward(ctypes.byref(window)))


def table_forward(table: Table) -> None:
    check(loaded().sonho_table_forward(ctypes.byref(table)))


def table_backward(table: Table) -> None:
    check(loaded().sonho_table_backward(ctypes.byref(table)))


def cross_entropy(loss: Loss) -> None:
    check(loaded().sonho_cross_entropy(ctypes.byref(loss)))


def muon(steps: Sequence[Muon], threads: int, precision: int) -> None:
    check(loaded().sonho_muon(array_of(steps), len(steps), threads, precision))


def array_of(structures: Sequence[Any]) -> Any:
    """Structures of one kind side by side, as the functions below take them; a ctypes array."""
    return (type(structures[0]) * len(structures))(*structures) if structures else ()


def adamw(steps: Sequence[AdamW], threads: int) -> None:
    check(loaded().sonho_adamw(steps, len(steps), threads))


def approach(arrays: Sequence[Array], share: float, threads: int) -> None:
    """values += share * (towards - values)"""
    check(loaded().sonho_approach(arrays, len(arrays), share, threads))


def scale(arrays: Sequence[Array], factor: float, threads: int) -> None:
    """values *= factor"""
    check(loaded().sonho_scale(arrays, len(arrays), factor, threads))


def sum_of_squares(arrays: Sequence[Array]) -> float:
    """Of all numbers together, in double precision."""
    return float(loaded().sonho_sum_of_squares(arrays, len(arrays)))


def tile_rate(threads: int, seconds: float, precision: str = "float32") -> float:
    """GFLOP/s of the multiply alone, on data in the nearest caches, on all `threads` at once: what can be reached.

    0 for a precision that is not to be had here.
    """
    return float(loaded().sonho_tile_rate(threads, seconds, PRECISIONS[precision]))


def sigmoid(x: int, y: int, n: int) -> None:
    """The kernels' own sigmoid, for tests of its error."""
    loaded().sonho_sigmoid(x, y, n)


def tanh(x: int, y: int, n: int) -> None:
    """The kernels' own tanh, for tests of its error."""
    loaded().sonho_tanh(x, y, n)


def check(status: int) -> None:
    """Raise UsageError for what a function of the library returned, unless all went well."""
    if status:
        raise UsageError(_ERRORS[status])


def loaded() -> ctypes.CDLL:
    """The library itself. Raises UsageError where there is none."""
    library = _load()
    if library is None:
        raise UsageError("the native kernels are not installed; install a C++ compiler and then sonho again")
    return library


@functools.cache
def _load() -> ctypes.CDLL | None:
    path = _find()
    if path is None:
        warnings.warn(
            "sonho's native kernels were not built, so training and generating take several times as long;"
            " install a C++ compiler and then sonho again",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    library = ctypes.CDLL(str(path))
    integer, address = ctypes.c_int64, ctypes.c_void_p
    library.sonho_isas.restype = ctypes.c_char_p
    library.sonho_saved_size.restype = integer
    library.sonho_saved_size.argtypes = [ctypes.c_int32, integer, integer, integer]
    library.sonho_network_new.argtypes = [address]
    library.sonho_sampler_new.argtypes = [address, address, integer]
    library.sonho_prior_new.argtypes = [address]
    library.sonho_prior_advance.argtypes = [address, integer, integer, *[address] * 3]
    library.sonho_prior_mix.argtypes = [address, integer, address, address]
    for function in (library.sonho_network_new, library.sonho_sampler_new, library.sonho_prior_new):
        function.restype = address
    for function in (library.sonho_network_free, library.sonho_sampler_free, library.sonho_prior_free):
        function.argtypes = [address]
        function.restype = None
    library.sonho_network_run.argtypes = [address, integer, integer, *[address] * 3, ctypes.c_int32, ctypes.c_int]
    library.sonho_draw.argtypes = [address, integer, integer, *[address] * 8, ctypes.c_int]
    library.sonho_muon.argtypes = [address, integer, ctypes.c_int, ctypes.c_int32]
    library.sonho_adamw.argtypes = [address, integer, ctypes.c_int]
    library.sonho_approach.argtypes = [address, integer, ctypes.c_float, ctypes.c_int]
    library.sonho_scale.argtypes = [address, integer, ctypes.c_float, ctypes.c_int]
    library.sonho_sum_of_squares.restype = ctypes.c_double
    library.sonho_sum_of_squares.argtypes = [address, integer]
    library.sonho_tile_rate.restype = ctypes.c_double
    library.sonho_tile_rate.argtypes = [ctypes.c_int, ctypes.c_double, ctypes.c_int32]
    for function in (library.sonho_sigmoid, library.sonho_tanh):
        function.argtypes = [address, address, integer]
        function.restype = None
    wanted = os.environ.get("SONHO_ISA")
    if wanted and library.sonho_select_isa(wanted.encode()):
        names = library.sonho_isas().decode().replace(" ", ", ")
        raise UsageError(f"SONHO_ISA={wanted!r} cannot run here; choose one of {names}")
    return library


def _find() -> Path | None:
    """SONHO_LIBRARY, or the library beside this file, or where an editable install put it."""
    if given := os.environ.get("SONHO_LIBRARY"):
        return Path(given)
    folders = [Path(__file__).parent, Path(sysconfig.get_path("platlib"), "sonho", "native")]
    return next((folder / name for folder in folders for name in NAMES if (folder / name).exists()), None)
