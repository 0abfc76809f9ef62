"""The matrices of several networks that are one: stored block by block, without the zeros between the networks.

Shapes: K networks, G gates, H hidden, X what a matrix multiplies. One network has (G*H, X); all of them as one have
(G*K*H, K*X), the units of each network together within a gate, and the weights between two networks are zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sonho.config import ModelConfig
from sonho.errors import DataError
from sonho.storage.container import Arrays
from sonho.storage.shapes import GATES

# A file that names more is not one of ours: its matrices would be as many times larger than what it holds.
MOST_NETWORKS = 64


def have_blocks(model: ModelConfig) -> list[str]:
    """The names of the matrices that have a block for each network."""
    if model.cell not in GATES:
        return []
    names = [f"layers.{layer}.weight_hh" for layer in range(model.num_layers)]
    first = 0 if model.embedding_dim else 1  # one-hot inputs are the same to all
    return names + [f"layers.{layer}.weight_ih" for layer in range(first, model.num_layers)]


def join_blocks(blocks: Sequence[np.ndarray] | np.ndarray, gates: int, fill: int = 0) -> np.ndarray:
    """K blocks (G*H, X) as (G*K*H, K*X), with `fill` between different networks."""
    width = blocks[0].shape[1]
    wide = [
        np.pad(block, ((0, 0), (width * place, width * (len(blocks) - 1 - place))), constant_values=fill)
        for place, block in enumerate(blocks)
    ]
    return join_gates(wide, gates)


def join_gates(each: Sequence[np.ndarray], gates: int) -> np.ndarray:
    """(G*H, ...) of each network as (G*K*H, ...): in every gate, one network's units after another's."""
    rows = [array.reshape(gates, -1, *array.shape[1:]) for array in each]
    return np.concatenate(rows, axis=1).reshape(-1, *each[0].shape[1:])


def split_blocks(matrix: np.ndarray, gates: int, networks: int) -> np.ndarray:
    """The blocks (K, G*H, X) of a matrix (G*K*H, K*X)."""
    parts = matrix.reshape(gates, networks, -1, networks, matrix.shape[1] // networks)
    blocks = parts[:, range(networks), :, range(networks)]  # (K, G, H, X): the axes that were picked come first
    return np.ascontiguousarray(blocks.reshape(networks, -1, blocks.shape[-1]))


def join_networks(networks: Sequence[Arrays], model: ModelConfig, fill: int = 0) -> Arrays:
    """The arrays of K networks of a configuration as those of one; of the output's biases (V) the first network's."""
    gates, arrays = GATES[model.cell], Arrays()
    for name, first in networks[0].items():
        each = [network[name] for network in networks]
        if name == "output.bias":
            arrays[name] = first
        elif name in ("output.weight", "embedding.weight"):
            arrays[name] = np.concatenate(each, axis=1)  # (V, K * H) or (V, K * D)
        elif name in have_blocks(model):
            arrays[name] = join_blocks(each, gates, fill)
        else:
            arrays[name] = join_gates(each, gates)
    return arrays


def split_networks(arrays: Arrays, model: ModelConfig, networks: int, fill: int = 0) -> list[Arrays]:
    """The inverse of `join_networks`; `fill` is the output's bias of all networks but the first."""
    gates, split = GATES[model.cell], [Arrays() for _ in range(networks)]
    for name, array in arrays.items():
        if name == "output.bias":
            parts = [array, *[np.full_like(array, fill)] * (networks - 1)]
        elif name in ("output.weight", "embedding.weight"):
            parts = np.split(array, networks, axis=1)
        elif name in have_blocks(model):
            parts = list(split_blocks(array, gates, networks))
        else:
            each = array.reshape(gates, networks, -1, *array.shape[1:])
            parts = [each[:, place].reshape(-1, *array.shape[1:]) for place in range(networks)]
        for network, part in zip(split, parts, strict=True):
            network[name] = part
    return split


def to_blocks(arrays: Arrays, model: ModelConfig, networks: int, fill: int = 0) -> Arrays:
    """The arrays with those that hold nothing but `fill` between `networks` networks as blocks (K, G*H, X)."""
    stored = dict(arrays)
    for name in have_blocks(model) if networks > 1 else []:
        if name not in arrays or any(size % networks for size in (model.hidden_size, arrays[name].shape[1])):
            continue
        blocks = split_blocks(arrays[name], GATES[model.cell], networks)
        if np.array_equal(join_blocks(blocks, GATES[model.cell], fill), arrays[name]):
            stored[name] = blocks
    return stored


def from_blocks(stored: Arrays, model: ModelConfig, fill: int = 0) -> Arrays:
    """The inverse of `to_blocks`. Raises DataError for blocks that cannot be."""
    arrays = dict(stored)
    for name in have_blocks(model):
        blocks = stored.get(name)
        if blocks is None or blocks.ndim != 3:
            continue
        networks, rows, _ = blocks.shape
        if not 1 < networks <= MOST_NETWORKS or rows % GATES[model.cell]:
            raise DataError(f"array {name} has {networks} blocks of {rows} rows")
        arrays[name] = join_blocks(blocks, GATES[model.cell], fill)
    return arrays
