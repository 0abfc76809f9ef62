"""Several language models whose logits add up: what a model file that is several networks is to PyTorch.

The file describes them as one recurrent network with all of their units (training/ensemble.py); here each is a network
of its own again, so that nothing is multiplied with the zeros between them. Shapes: K networks, N batch, T time, V
vocabulary, D embedding, H hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from sonho.config import ModelConfig
from sonho.models.language_model import LanguageModel, State, load_arrays, to_arrays
from sonho.storage.blocks import have_blocks, join_networks, split_networks, to_blocks
from sonho.storage.container import Arrays
from sonho.storage.model_file import ModelFile
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

    def split(self, arrays: Arrays, fill: int = 0) -> Arrays:
        """The arrays of all as one, by the names here. The output's biases of all networks but the first are `fill`."""
        each = split_networks(arrays, self.config, len(self.networks), fill)
        return {f"networks.{number}.{name}": array for number, own in enumerate(each) for name, array in own.items()}

    def join(self, split: Arrays, fill: int = 0) -> Arrays:
        """The inverse of `split`, with `fill` between different networks."""
        prefixes = [f"networks.{number}." for number in range(len(self.networks))]
        each = [{k.removeprefix(p): v for k, v in split.items() if k.startswith(p)} for p in prefixes]
        return join_networks(each, self.config, fill)

    def share(self, name: str) -> float:
        """How large a parameter here is beside that of a network that predicts alone: the logits are a mean of K."""
        count = float(len(self.networks))
        if name.endswith("embedding.weight" if self.config.tied else "output.weight"):
            return 1.0 / count
        return count if self.config.tied and name.endswith("layers.0.weight_ih") else 1.0

    def _all(self) -> list[Any]:
        return list(self.networks)


def model_of(model_file: ModelFile) -> LanguageModel | Networks:
    """The language model of a file, with its weights."""
    model, tokenizer = model_file.model, model_file.tokenizer
    masked, count = masked_ids(tokenizer, model_file.data_kind), model_file.record.get("networks", 1)
    stored, blocks = to_blocks(model_file.arrays, model, count), have_blocks(model)
    module: LanguageModel | Networks
    if count > 1 and blocks and all(stored[name].ndim == 3 for name in blocks):
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
