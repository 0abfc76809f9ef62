"""The language model: symbols in, a distribution over the next symbol out, state carried by the caller.

Shapes: N batch, T time, D input, H hidden, V vocabulary. The names of the parameters are the names
of the arrays in the model file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sonho.config import ModelConfig
from sonho.errors import UsageError
from sonho.models.sampled_softmax import draw_words
from sonho.nn.causal_conv import CausalConv, dilation_of
from sonho.nn.cells import LSTMState
from sonho.nn.dropout import drop
from sonho.nn.first_state import FirstState
from sonho.nn.losses import cross_entropy
from sonho.nn.recurrent import LayerState, Recurrent
from sonho.storage.container import Arrays

# One state a layer; then, where the first layer has the condition as an input, that (N, F).
State = tuple[LayerState, ...]
# Where the biases of the gates begin that keep the state, from the first unit to the last (docs/log.md, 30).
MEMORY = {"lstm": (-1.0, 1.0), "gru": (0.0, 2.0)}


class LanguageModel(nn.Module):
    """Input (one-hot or embedding), a stack of layers of one kind, and an output layer.

    `masked_ids` are never predicted: their logits are -inf. A conditioned network begins from a vector of
    `condition_size` numbers a row. Raises UsageError where the configuration cannot work.
    """

    def __init__(
        self, config: ModelConfig, vocab_size: int, masked_ids: Sequence[int] = (0,), *, condition_size: int = 0
    ) -> None:
        super().__init__()
        check_model_config(config)
        self.config, self.vocab_size, self.condition_size = config, vocab_size, condition_size
        self.embedding = nn.Embedding(vocab_size, config.embedding_dim) if config.embedding_dim else None
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=config.embedding_dim**-0.5)
        sizes = [config.embedding_dim or vocab_size] + [config.hidden_size] * (config.num_layers - 1)
        self.layers = nn.ModuleList(
            _make_layer(config, index, size, condition_size) for index, size in enumerate(sizes)
        )
        self.output = Output(config.hidden_size, vocab_size, tied=config.tied)
        mask = torch.zeros(vocab_size)
        mask[list(masked_ids)] = -torch.inf
        self.register_buffer("mask", mask, persistent=False)
        self.mask: Tensor

    def initial_state(self, batch_size: int, condition: Tensor | None = None) -> State:
        """The state before any token; `condition` (N, F) is that of each row, the mean one where it is left out."""
        if not self.condition_size:
            return tuple(layer.initial_state(batch_size) for layer in self._layers())
        if condition is None:
            condition = self.mask.new_zeros(batch_size, self.condition_size)
        states = tuple(
            layer.first(condition) if hasattr(layer, "first") else layer.initial_state(batch_size)
            for layer in self._layers()
        )
        return states if self.config.condition_into == "state" else (*states, condition)

    def forward(
        self, tokens: Tensor, state: State, lengths: Tensor | None = None, *, last_only: bool = False
    ) -> tuple[Tensor, State]:
        """Logits (N, T, V) for the symbol after each position, or (N, 1, V) with `last_only`, and the state.

        `tokens` is (N, T) integers; `lengths` (N,) are the positions of each row that count.
        """
        hidden, new_state = self._hidden(tokens, state, lengths)
        if last_only:
            hidden = hidden[:, -1:]
        return F.linear(hidden, self.output_weight(), self.output.bias + self.mask), new_state

    def loss(
        self, tokens: Tensor, targets: Tensor, state: State, *, last_only: bool = False, softmax_samples: int = 0
    ) -> tuple[Tensor, State]:
        """Mean cross-entropy (nats) of the targets (N, T), or (N, 1) with `last_only`, and the state. -100: no target.

        The same as from the logits of `forward`, which training does not look at. With `softmax_samples` the softmax is
        over the words of the targets and so many others (sampled_softmax.py).
        """
        hidden, new_state = self._hidden(tokens, state, None)
        if last_only:
            hidden = hidden[:, -1:]
        weight, targets = self.output_weight(), targets.flatten()
        if softmax_samples:
            words = draw_words(targets, self.mask, softmax_samples)
            weight, bias, targets = weight[words.ids], self.output.bias[words.ids] + words.bias, words.targets
        else:
            bias = self.output.bias + self.mask
        return cross_entropy(hidden.flatten(0, 1), weight, bias, targets), new_state

    def _hidden(self, tokens: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
        """What the last layer gives, (N, T, H), and the state."""
        config = self.config
        hidden, further = self._inputs(tokens)
        states, conditions = state[: len(self.layers)], state[len(self.layers) :]
        if conditions:
            further["condition"] = conditions[0]
        new_state = []
        for layer, layer_state in zip(self._layers(), states, strict=True):
            hidden, after = layer(hidden, layer_state, lengths, **further)
            further = {}  # of the first layer alone
            if hasattr(layer, "norm"):
                hidden = layer.norm(hidden)
            hidden = drop(hidden, config.dropout, config.dropout_kind, self.training)
            new_state.append(after)
        return hidden, (*new_state, *conditions)

    def _inputs(self, tokens: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """What the first layer is fed: ids wherever it can look them up itself, beside their embedding if any."""
        config = self.config
        if config.dropout_input and self.training:
            if self.embedding is None:
                vectors = F.one_hot(tokens, self.vocab_size).to(self.mask.dtype)
            else:
                vectors = self.embedding(tokens)
            return drop(vectors, config.dropout_input, config.dropout_kind, self.training), {}
        if self.embedding is None:
            return tokens, {}
        if isinstance(self.layers[0], Recurrent):
            return tokens, {"embedding": self.embedding.weight}
        return self.embedding(tokens), {}

    def output_weight(self) -> Tensor:
        """The (V, H) matrix of the output layer, which may be the embedding's."""
        if self.output.weight is not None:
            return self.output.weight
        assert self.embedding is not None  # check_model_config: tied needs an embedding
        return self.embedding.weight

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """One symbol per row: `tokens` (N,) to logits (N, V) and the state."""
        logits, state = self(tokens[:, None], state)
        return logits[:, 0], state

    def _layers(self) -> list[Any]:
        return list(self.layers)


class Output(nn.Module):
    """The output layer's weights (V, H) and bias (V); `weight` is None where tied to the embedding."""

    def __init__(self, hidden_size: int, vocab_size: int, *, tied: bool) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self.weight: nn.Parameter | None = None
        if not tied:
            self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(vocab_size, hidden_size)))


def _make_layer(config: ModelConfig, index: int, input_size: int, condition_size: int) -> nn.Module:
    layer: Any
    if config.cell == "conv":
        dilation = dilation_of(index, config.kernel_size)
        layer = CausalConv(input_size, config.hidden_size, config.kernel_size, dilation)
    else:
        layer = Recurrent(
            config.cell,
            input_size,
            config.hidden_size,
            nonlinearity=config.nonlinearity,
            weight_drop=config.weight_drop,
            condition_size=condition_size if index == 0 and config.condition_into != "state" else 0,
        )
        if config.cell in MEMORY:
            layer.spread_memory(*MEMORY[config.cell])
        if condition_size and config.condition_into != "input":
            layer.first = FirstState(config.cell, config.hidden_size, condition_size)
    if config.layer_norm:
        layer.norm = nn.LayerNorm(config.hidden_size)
    return layer  # type: ignore[no-any-return]


def check_model_config(config: ModelConfig) -> None:
    """Raise UsageError for a combination of settings that cannot be built."""
    if config.cell == "ngram":
        raise UsageError("model.cell=ngram counts instead of training; it has no layers")
    if config.task != "generate" or config.bidirectional or config.dropout_tokens:
        raise UsageError("model.bidirectional and model.dropout_tokens need --task classify or tag")
    if config.tied and config.embedding_dim != config.hidden_size:
        raise UsageError(
            f"model.tied needs model.embedding_dim = model.hidden_size,"
            f" got {config.embedding_dim} and {config.hidden_size}"
        )
    if config.weight_drop and config.cell == "conv":
        raise UsageError("model.weight_drop works on hidden-to-hidden weights; a conv layer has none")


def detach(state: State) -> State:
    """The same state, cut from the graph that made it: gradients stop here (truncated BPTT)."""
    return tuple(
        LSTMState(layer.h.detach(), layer.c.detach()) if isinstance(layer, LSTMState) else layer.detach()
        for layer in state
    )


def flatten(state: State) -> list[Tensor]:
    """The tensors of a state, in a fixed order; `unflatten` turns them back."""
    return [tensor for layer in state for tensor in (layer if isinstance(layer, LSTMState) else (layer,))]


def unflatten(tensors: Sequence[Tensor], like: State) -> State:
    """A state shaped as `like`, made of `tensors`."""
    rest = iter(tensors)
    return tuple(LSTMState(next(rest), next(rest)) if isinstance(layer, LSTMState) else next(rest) for layer in like)


def to_arrays(module: nn.Module) -> Arrays:
    """The parameters as NumPy copies, under their names."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in module.named_parameters()}


def load_arrays(module: nn.Module, arrays: Arrays) -> None:
    """Copy arrays into the parameters of the same names. Shapes were checked when the file was read."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.from_numpy(arrays[name]))
