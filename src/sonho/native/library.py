"""Find libsonho, load it, and call it: addresses in, errors as exceptions out. Knows no torch.

Shapes: N batch, T time, H hidden, G gates, V symbols, R rows.

Every array is C-contiguous float32 (ids and lengths int64) and is given as its address, so that NumPy
and torch can both call. Without a library, `available()` is false and callers use the readable twins.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sysconfig
import warnings
from pathlib import Path

from sonho.errors import UsageError

ENGINES = ("native", "library", "reference")
CELLS = {"lstm": 0, "gru": 1, "rnn_tanh": 2, "rnn_relu": 3}
NAMES = ("libsonho.so", "libsonho.dylib")

_ERRORS = {
    1: "an id is not in the vocabulary; ids are 0 to V-1",
    2: "a length is below 0 or above the number of time steps",
    3: "not enough memory",
    4: "a size or the number of threads is out of range",
}


class Window(ctypes.Structure):
    """One layer over one window: `SonhoWindow` of kernels.h, where each field is explained."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("cell", "threads")),
        *((name, ctypes.c_int64) for name in ("N", "T", "H", "V")),
        *(
            (name, ctypes.c_void_p)
            for name in (
                *("gates", "ids", "lengths", "weight_hh", "h_first", "c_first"),
                *("outputs", "h_last", "c_last", "h_before", "saved"),
                *("d_outputs", "d_h_last", "d_c_last", "d_gates", "d_h_first", "d_c_first"),
            )
        ),
    )


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


def scatter_add(
    ids: int, rows: int, stride: int, num_rows: int, table: int, shape: tuple[int, int], threads: int
) -> None:
    """table[ids[r]] += rows[r], for rows (R, columns) that are `stride` floats apart and a table of `shape`."""
    check(loaded().sonho_scatter_add(ids, rows, stride, num_rows, table, *shape, threads))


def outer_sum(a: int, stride: int, b: int, num_rows: int, out: int, shape: tuple[int, int], threads: int) -> None:
    """out = a.T @ b, for a (R, M) whose rows are `stride` floats apart, b (R, C) and out of `shape` (M, C)."""
    check(loaded().sonho_outer_sum(a, stride, b, num_rows, *shape, out, threads))


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
    library.sonho_scatter_add.argtypes = [address, address, integer, integer, address, integer, integer, ctypes.c_int]
    library.sonho_outer_sum.argtypes = [address, integer, address, *[integer] * 3, address, ctypes.c_int]
    library.sonho_network_new.argtypes = [address]
    library.sonho_sampler_new.argtypes = [address, address, integer]
    for function in (library.sonho_network_new, library.sonho_sampler_new):
        function.restype = address
    for function in (library.sonho_network_free, library.sonho_sampler_free):
        function.argtypes = [address]
        function.restype = None
    library.sonho_network_run.argtypes = [address, integer, integer, *[address] * 3, ctypes.c_int32, ctypes.c_int]
    library.sonho_draw.argtypes = [address, integer, integer, *[address] * 8, ctypes.c_int]
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
