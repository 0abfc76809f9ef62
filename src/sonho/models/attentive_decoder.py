"""A decoder that attends: tokens in, the next token's logits out, with a look at a memory at every step.

Shapes: N batch, T tokens, S places of the memory, D memory, H hidden, E embedding, R readout, V vocabulary. It knows
neither what made the memory nor its meaning: translation and captions share it. The names of the parameters are the
names of the arrays in the model file, behind `decoder.`. The twin without torch is decoding/attentive.py.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sonho.config import ModelConfig
from sonho.errors import UsageError
from sonho.models.language_model import Output
from sonho.nn.attention import Attention, Memory, make_memory
from sonho.nn.dropout import drop
from sonho.nn.first_state import FirstState
from sonho.nn.losses import IGNORED, cross_entropy
from sonho.nn.recurrent import LayerState, Recurrent


class AttentiveDecoder(nn.Module):
    """Recurrent layers, attention, and r = tanh(W [h; context] + b), from which the output layer predicts.

    The first state of each layer is made from the mean of the memory; with `config.attention = "none"` that is all that
    is known of it, and r = tanh(W h + b). By default a layer is one call for all steps; with `config.input_feeding`
    (Luong et al. 2015) the readout of a step is an input of the next, so that the steps are made one after the other.
    The readout has the size of the embedding where the output layer is tied
    to it, else H. `masked_ids` are never predicted.
    """

    def __init__(self, config: ModelConfig, vocab_size: int, memory_size: int, *, masked_ids: tuple[int, ...] = (0,)):
        super().__init__()
        check_decoder_config(config)
        self.config, self.vocab_size = config, vocab_size
        size, readout = config.hidden_size, readout_size(config)
        self.embedding: nn.Embedding | None = None
        if config.embedding_dim:
            self.embedding = nn.Embedding(vocab_size, config.embedding_dim)
            nn.init.normal_(self.embedding.weight, std=config.embedding_dim**-0.5)
        self.layers = nn.ModuleList()
        for index in range(config.num_layers):
            layer: Any = Recurrent(
                config.cell,
                size if index else config.embedding_dim or vocab_size,
                size,
                nonlinearity=config.nonlinearity,
                weight_drop=config.weight_drop,
                condition_size=readout if config.input_feeding and index == 0 else 0,
            )
            layer.first = FirstState(config.cell, size, memory_size)
            self.layers.append(layer)
        self.attention: Attention | None = None
        if config.attention != "none":
            self.attention = Attention(config.attention, size, memory_size)
        self.combine = nn.Linear(size + (memory_size if self.attention else 0), readout)
        nn.init.xavier_uniform_(self.combine.weight)
        nn.init.zeros_(self.combine.bias)
        self.output = Output(readout, vocab_size, tied=config.tied)
        mask = torch.zeros(vocab_size)
        mask[list(masked_ids)] = -torch.inf
        self.register_buffer("mask", mask, persistent=False)
        self.mask: Tensor

    def forward(self, tokens: Tensor, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits (N, T, V) after each of `tokens` (N, T), and the attention (N, T, S), if there is any.

        `values` (N, S, D) is the memory, of which the first `lengths` (N,) of a row count, at least one.
        """
        readout, weights = self._readout(tokens, values, lengths)
        return F.linear(readout, self.output_weight(), self.output.bias + self.mask), weights

    def loss(
        self, tokens: Tensor, targets: Tensor, values: Tensor, lengths: Tensor, *, label_smoothing: float = 0.0
    ) -> Tensor:
        """Mean cross-entropy (nats) of the targets (N, T) after each of `tokens` (N, T); -100 is no target."""
        readout, _ = self._readout(tokens, values, lengths)
        counted = targets != IGNORED
        # Only what has a target goes through the output layer, the largest of all.
        bias = self.output.bias + self.mask
        return cross_entropy(readout[counted], self.output_weight(), bias, targets[counted], label_smoothing)

    def output_weight(self) -> Tensor:
        """The (V, R) matrix of the output layer, which may be the embedding's."""
        if self.output.weight is not None:
            return self.output.weight
        assert self.embedding is not None  # check_decoder_config: tied needs an embedding
        return self.embedding.weight

    def _readout(self, tokens: Tensor, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the output layer is given, (N, T, R), and the attention (N, T, S)."""
        memory = make_memory(self.attention, values, lengths)
        states = self._first_states(memory)
        inputs, embedding = self._inputs(tokens)
        if not self.config.input_feeding:
            hidden, _ = self._run(inputs, states, embedding)
            return self._combine(hidden, memory)
        fed = values.new_zeros(len(tokens), self.combine.out_features)
        made = []
        for t in range(tokens.shape[1]):
            hidden, states = self._run(inputs[:, t : t + 1], states, embedding, fed)
            readout, weights = self._combine(hidden, memory)
            fed = readout[:, 0]
            made.append((readout, weights))
        looked = [weights for _, weights in made if weights is not None]
        return torch.cat([readout for readout, _ in made], dim=1), torch.cat(looked, dim=1) if looked else None

    def _first_states(self, memory: Memory) -> list[LayerState]:
        counted = memory.inside[:, :, None]
        mean = (memory.values * counted).sum(dim=1) / counted.sum(dim=1)  # (N, D)
        layers: list[Any] = list(self.layers)
        return [layer.first(mean) for layer in layers]

    def _inputs(self, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """Ids, beside their embedding if any; vectors (N, T, E) where some of their numbers are dropped."""
        config = self.config
        if self.embedding is None:
            return tokens, None
        if not (self.training and config.dropout_input):
            return tokens, self.embedding.weight
        return drop(self.embedding(tokens), config.dropout_input, config.dropout_kind, self.training), None

    def _run(
        self, inputs: Tensor, states: list[LayerState], embedding: Tensor | None, fed: Tensor | None = None
    ) -> tuple[Tensor, list[LayerState]]:
        """All layers: outputs (N, T, H) of the last, and the new states."""
        config, hidden, after = self.config, inputs, []
        for index, (layer, state) in enumerate(zip(self.layers, states, strict=True)):
            further = {"embedding": embedding, "condition": fed} if index == 0 else {}
            hidden, new = layer(hidden, state, **further)
            hidden = drop(hidden, config.dropout, config.dropout_kind, self.training)
            after.append(new)
        return hidden, after

    def _combine(self, hidden: Tensor, memory: Memory) -> tuple[Tensor, Tensor | None]:
        weights = None
        if self.attention is not None:
            context, weights = self.attention(hidden, memory)
            hidden = torch.cat([hidden, context], dim=-1)
        readout = torch.tanh(self.combine(hidden))  # (N, T, R)
        return drop(readout, self.config.dropout, self.config.dropout_kind, self.training), weights


def readout_size(config: ModelConfig) -> int:
    """R: that of the embedding where the output layer shares its weights, else H."""
    return config.embedding_dim if config.tied else config.hidden_size


def check_decoder_config(config: ModelConfig) -> None:
    """Raise UsageError for what an attentive decoder cannot be built of."""
    if config.cell not in ("lstm", "gru", "rnn"):
        raise UsageError(f"model.task={config.task} needs a recurrent cell, lstm, gru or rnn, not {config.cell}")
    if config.attention == "none" and config.task != "caption":
        raise UsageError(f"model.attention=none is for captions; leave it out with model.task={config.task}")
    if config.layer_norm:
        raise UsageError(f"model.layer_norm is of language models; leave it out with model.task={config.task}")
    if config.tied and not config.embedding_dim:
        raise UsageError("model.tied shares the embedding's weights with the output layer; give model.embedding_dim")
