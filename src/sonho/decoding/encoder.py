"""A text read in one or both directions without torch: the twin of models/encoder.py.

Each layer is one call of the native window kernel; without the kernels it is decoding/recurrent.py.
Shapes: N rows, T time, D input, H hidden, G gates, V vocabulary, W = H, or 2H in both directions.
"""

from __future__ import annotations

import os

import numpy as np

from sonho.config import ModelConfig
from sonho.decoding.network import build_recurrent
from sonho.decoding.recurrent import RecurrentLayer
from sonho.decoding.state import Array
from sonho.native import library
from sonho.storage.container import Arrays

# A larger table of input products would take longer to make than it saves.
MAX_TABLE_SIZE = 2**24


class EncoderRunner:
    """The encoder of a model file's arrays. It never changes, so threads may share one."""

    def __init__(self, config: ModelConfig, arrays: Arrays) -> None:
        make = NativeLayer if library.engine_name() == "native" else TwinLayer
        vectors = arrays.get("embedding.weight")
        self.vectors, rows = vectors, len(arrays["layers.0.bias"])
        self.folded = vectors is None or rows * len(vectors) <= MAX_TABLE_SIZE
        self.pairs = []
        for index in range(config.num_layers):
            names = ["layers", "reverse"] if config.bidirectional else ["layers"]
            takes_ids = index == 0 and self.folded
            self.pairs.append([make(config, arrays, f"{name}.{index}", takes_ids) for name in names])

    def encode(self, tokens: Array, lengths: Array) -> Array:
        """Tokens (N, T) int64 to outputs (N, T, W) float32; those past a row's length (N,) are zero."""
        hidden = tokens if self.folded or self.vectors is None else self.vectors[tokens]
        places = turned_places(lengths, tokens.shape[1])
        rows = np.arange(len(tokens))[:, None]
        for forward, *reverse in self.pairs:
            outputs = [forward.run(hidden, lengths)]
            outputs += [layer.run(hidden[rows, places], lengths)[rows, places] for layer in reverse]
            hidden = np.concatenate(outputs, axis=-1) if reverse else outputs[0]
        return hidden


def turned_places(lengths: Array, steps: int) -> Array:
    """Where each place of a row comes from that is turned round within its length, (N, T).

    >>> turned_places(np.array([2, 3]), 3).tolist()
    [[1, 0, 2], [2, 1, 0]]
    """
    places = np.arange(steps)[None]
    return np.where(places < lengths[:, None], lengths[:, None] - 1 - places, places)


class NativeLayer:
    """One layer and direction in the compiled kernels."""

    def __init__(self, config: ModelConfig, arrays: Arrays, name: str, takes_ids: bool) -> None:
        self.cell = library.CELLS[config.cell if config.cell != "rnn" else f"rnn_{config.nonlinearity}"]
        self.hidden_size, self.takes_ids, self.has_c = config.hidden_size, takes_ids, config.cell == "lstm"
        self.weight_ih: Array = np.ascontiguousarray(arrays[f"{name}.weight_ih"], np.float32)
        self.weight_hh: Array = np.ascontiguousarray(arrays[f"{name}.weight_hh"], np.float32)
        self.table: Array = np.ascontiguousarray(arrays[f"{name}.bias"], np.float32)
        if takes_ids:
            self.table = input_table(arrays, name)
        self.threads = library.threads_wanted() or os.cpu_count() or 1

    def run(self, inputs: Array, lengths: Array) -> Array:
        """Ids (N, T) or vectors (N, T, D) to outputs (N, T, H)."""
        inputs = np.ascontiguousarray(inputs, np.int64 if self.takes_ids else np.float32)
        lengths = np.ascontiguousarray(lengths, np.int64)
        rows, steps = inputs.shape[:2]
        first = np.zeros((rows, self.hidden_size), np.float32)
        last, c_last = np.empty_like(first), np.empty_like(first)
        outputs = np.empty((rows, steps, self.hidden_size), np.float32)
        window = library.Window(
            cell=self.cell,
            threads=self.threads,
            N=rows,
            T=steps,
            D=0 if self.takes_ids else inputs.shape[2],
            H=self.hidden_size,
            V=len(self.table) if self.takes_ids else 1,
            lengths=lengths.ctypes.data,
            table=self.table.ctypes.data,
            weight_hh=self.weight_hh.ctypes.data,
            h_first=first.ctypes.data,
            outputs=outputs.ctypes.data,
            h_last=last.ctypes.data,
        )
        if self.takes_ids:
            window.ids = inputs.ctypes.data
        else:
            window.inputs, window.weight_ih = inputs.ctypes.data, self.weight_ih.ctypes.data
        if self.has_c:
            window.c_first, window.c_last = first.ctypes.data, c_last.ctypes.data
        library.window_forward(window)
        return outputs


class TwinLayer:
    """The same in NumPy: the readable twin, and what runs where there are no kernels."""

    def __init__(self, config: ModelConfig, arrays: Arrays, name: str, takes_ids: bool) -> None:
        weight_ih, weight_hh, bias = (arrays[f"{name}.{part}"] for part in ("weight_ih", "weight_hh", "bias"))
        table = input_table(arrays, name) if takes_ids else None
        self.layer: RecurrentLayer = build_recurrent(config, None if takes_ids else weight_ih, weight_hh, bias, table)

    def run(self, inputs: Array, lengths: Array) -> Array:
        """Ids (N, T) or vectors (N, T, D) to outputs (N, T, H)."""
        outputs, _ = self.layer.forward(inputs, self.layer.initial_state(len(inputs)))
        # What stands in the padding comes after all that counts, so it need only be hidden.
        outputs *= (np.arange(inputs.shape[1]) < lengths[:, None])[:, :, None]
        return outputs


def input_table(arrays: Arrays, name: str) -> Array:
    """What each symbol adds to the gates of a first layer, (V, G*H)."""
    weight_ih, bias, vectors = arrays[f"{name}.weight_ih"], arrays[f"{name}.bias"], arrays.get("embedding.weight")
    table = weight_ih.T + bias if vectors is None else vectors @ weight_ih.T + bias
    return np.ascontiguousarray(table, np.float32)
