"""The n-gram prior of libsonho: NumPy arrays in and out. Knows shapes, not text; decoding/prior.py is the twin.

Shapes: N rows, T time, V vocabulary, M predictions, S nodes below the root, C of them above the last depth, k order.
"""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonho.native import library
from sonho.native.handles import created

Array = NDArray[Any]


class _Prior(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("order", "V", "S", "C")),
        ("floor", ctypes.c_float),
        *(
            (name, ctypes.c_void_p)
            for name in ("levels", "tokens", "log_probs", "first_child", "log_gammas", "suffix", "gate")
        ),
    )


class NativePrior:
    """A copy of a prior's tables. It never changes, so threads may share one.

    `tables` are the arrays of SonhoPrior by their names, of the types that storage/prior.py gives them.
    """

    def __init__(self, order: int, vocab_size: int, floor: float, **tables: Array) -> None:
        self.vocab_size = vocab_size
        held = {name: np.ascontiguousarray(table) for name, table in tables.items()}
        spec = _Prior(
            order=order,
            V=vocab_size,
            S=len(held["tokens"]) - 1,
            C=len(held["suffix"]) - 1,
            floor=floor,
            **{name: table.ctypes.data for name, table in held.items()},
        )
        native = library.loaded()
        self.handle: int = created(native.sonho_prior_new(ctypes.byref(spec)))
        weakref.finalize(self, native.sonho_prior_free, self.handle)

    def advance(self, tokens: Array, nodes: Array) -> Array:
        """The nodes (N, T) int64 after each of `tokens` (N, T), from nodes (N,)."""
        ids, before = np.ascontiguousarray(tokens, np.int64), np.ascontiguousarray(nodes, np.int64)
        after = np.empty(ids.shape, np.int64)
        library.check(
            library.loaded().sonho_prior_advance(
                self.handle, *ids.shape, ids.ctypes.data, before.ctypes.data, after.ctypes.data
            )
        )
        return after

    def mix(self, logits: Array, nodes: Array) -> None:
        """Mix logits (M, V) float32 with the predictions after nodes (M,), in place."""
        assert logits.flags.c_contiguous
        assert logits.dtype == np.float32
        wanted = np.ascontiguousarray(nodes, np.int64)
        library.check(
            library.loaded().sonho_prior_mix(self.handle, len(wanted), wanted.ctypes.data, logits.ctypes.data)
        )
