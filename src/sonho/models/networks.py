"""Several language models whose logits add up: what a model file that is several networks is to PyTorch.

The file describes them as one recurrent network with all of their units (training/ensemble.py); here each is a network
of its own again, so that nothing is multiplied with the zeros between them. Shapes: K networks, N batch, T time, V
vocabulary, D embedding, H hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor, nn

from sonho.config import ModelConfig
from sonho.models.language_model import LanguageModel, State, load_arrays, to_arrays
from sonho.storage.blocks import have_blocks, join_blocks, join_gates, split_blocks, to_blocks
from sonho.storage.container import Arrays
from sonho.storage.model_file import ModelFile
from sonho.storage.shapes import GATES
from sonho.text import masked_ids


class Networks(nn.Module):
    """K language models of the same shape; `config` is that of all as one. A state is theirs, one after another."""

    def __init__(self, config: ModelConfig, vocab_size: int, masked_ids: Sequence[int], count: int) -> None:
        super().__init__()
        self.config, self.vocab_size = config, vocab_size
        size, embedding_dim = config.hidden_size // count, config.embedding_dim // count
        one = replace(config, hidden_size=size, embedding_dim=embedding_dim)
        self.networks = nn.ModuleList(LanguageModel(one, vocab_size, masked_ids) for _ in range(count))

    def initial_state(self, batch_size: int, condition: Tensor | None = None) -> State:
        return tuple(layer for network in self._all() for layer in network.initial_state(batch_size, condition))

    def forward(self, tokens: Tensor, state: State, *, last_only: bool = False) -> tuple[Tensor, State]:
        """As of a LanguageModel: logits (N, T, V), or (N, 1, V) with `last_only`, and the state."""
        layers = self.config.num_layers
        total, states = None, []
        for number, network in enumerate(self._all()):
            logits, after = network(tokens, state[layers * number : layers * (number + 1)], last_only=last_only)
            total = logits if total is None else total + logits
            states.extend(after)
        assert total is not None
        return total, tuple(states)

    def split(self, arrays: Arrays) -> Arrays:
        """The arrays of all as one, by the names of the parameters here. The first network has all of the bias (V)."""
        gates, count = GATES[self.config.cell], len(self.networks)
        split: Arrays = {}
        for name, array in arrays.items():
            if name == "output.bias":
                parts = [array, *[np.zeros_like(array)] * (count - 1)]
            elif name in ("output.weight", "embedding.weight"):  # (V, K * H), (V, K * D)
                parts = np.split(array, count, axis=1)
            elif name in have_blocks(self.config):
                parts = list(split_blocks(array, gates, count))
            else:  # (G*K*H, ...)
                parts = [part.reshape(-1, *array.shape[1:]) for part in _by_network(array, gates, count)]
            split |= {f"networks.{number}.{name}": part for number, part in enumerate(parts)}
        return split

    def join(self, split: Arrays, fill: int = 0) -> Arrays:
        """The inverse of `split`, with `fill` between different networks."""
        gates, count = GATES[self.config.cell], len(self.networks)
        arrays: Arrays = {}
        for name in [name.removeprefix("networks.0.") for name in split if name.startswith("networks.0.")]:
            parts = [split[f"networks.{number}.{name}"] for number in range(count)]
            if name == "output.bias":
                arrays[name] = parts[0]
            elif name in ("output.weight", "embedding.weight"):
                arrays[name] = np.concatenate(parts, axis=1)
            elif name in have_blocks(self.config):
                arrays[name] = join_blocks(parts, gates, fill)
            else:
                arrays[name] = join_gates(parts, gates)
        return arrays

    def _all(self) -> list[LanguageModel]:
        return list(self.networks)  # type: ignore[arg-type]


def _by_network(array: np.ndarray, gates: int, count: int) -> list[np.ndarray]:
    """The rows (G*K*H, ...) of each network, as (G, H, ...)."""
    return [part.squeeze(1) for part in np.split(array.reshape(gates, count, -1, *array.shape[1:]), count, axis=1)]


def model_of(model_file: ModelFile) -> LanguageModel | Networks:
    """The language model of a file, with its weights."""
    model, tokenizer = model_file.model, model_file.tokenizer
    masked, count = masked_ids(tokenizer, model_file.data_kind), model_file.record.get("networks", 1)
    stored = to_blocks(model_file.arrays, model, count)
    module: LanguageModel | Networks
    if count > 1 and all(stored[name].ndim == 3 for name in have_blocks(model)):
        module = Networks(model, tokenizer.vocab_size, masked, count)
    else:
        module = LanguageModel(model, tokenizer.vocab_size, masked)
    load_weights(module, model_file.arrays)
    return module


def load_weights(module: nn.Module, arrays: Arrays) -> None:
    """Copy the arrays of a model file into a module, which may be several networks."""
    load_arrays(module, module.split(arrays) if isinstance(module, Networks) else arrays)


def weights(module: nn.Module) -> Arrays:
    """The arrays of a module as a model file has them."""
    return module.join(to_arrays(module)) if isinstance(module, Networks) else to_arrays(module)
