"""A text read into a vector for each token: the body of classifiers and taggers, and what a translation begins with.

Shapes: N batch, T time, D input, H hidden, V vocabulary, W = H, or 2H where the text is read in both directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sonho.config import ModelConfig
from sonho.errors import UsageError
from sonho.nn.direction import turn
from sonho.nn.dropout import drop
from sonho.nn.recurrent import Recurrent
from sonho.storage.container import Arrays


class Encoder(nn.Module):
    """Embedding (or one-hot input) and a stack of recurrent layers, each in one direction or in both.

    Upper layers read the outputs of both directions of the one below. `layers` are the forward ones,
    `reverse` those that read from the end. Raises UsageError where the configuration cannot work.
    """

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        check_encoder_config(config)
        self.config, self.vocab_size = config, vocab_size
        self.embedding = nn.Embedding(vocab_size, config.embedding_dim) if config.embedding_dim else None
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=config.embedding_dim**-0.5)
        self.width = config.hidden_size * (2 if config.bidirectional else 1)  # W
        sizes = [config.embedding_dim or vocab_size] + [self.width] * (config.num_layers - 1)
        self.layers = nn.ModuleList(_layer(config, size) for size in sizes)
        self.reverse = nn.ModuleList(_layer(config, size) for size in sizes if config.bidirectional)

    def encode(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (N, T) to outputs (N, T, W); those past a row's length are zero."""
        config = self.config
        hidden, embedding = self._inputs(tokens)
        reverse: Any = self.reverse if config.bidirectional else repeat(None)
        for layer, other in zip(self.layers, reverse, strict=False):
            outputs = _run(layer, hidden, lengths, embedding)
            if other is not None:
                backwards = _run(other, turn(hidden, lengths), lengths, embedding)
                outputs = torch.cat([outputs, turn(backwards, lengths)], dim=-1)
            hidden, embedding = drop(outputs, config.dropout, config.dropout_kind, self.training), None
        return hidden

    def _inputs(self, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """Ids wherever the first layer can look them up, beside their embedding if any; else vectors (N, T, D)."""
        config = self.config
        if not self.training or not (config.dropout_input or config.dropout_tokens):
            return tokens, None if self.embedding is None else self.embedding.weight
        if self.embedding is None:
            vectors = F.one_hot(tokens, self.vocab_size).to(torch.get_default_dtype())
        else:
            vectors = self.embedding(tokens)
        if config.dropout_tokens:
            # A hidden token has no vector; the others keep theirs, as a text is not louder for missing words.
            vectors = vectors * (torch.rand(*tokens.shape, 1) >= config.dropout_tokens)
        return drop(vectors, config.dropout_input, config.dropout_kind, self.training), None


def _layer(config: ModelConfig, input_size: int) -> Recurrent:
    return Recurrent(
        config.cell,
        input_size,
        config.hidden_size,
        nonlinearity=config.nonlinearity,
        weight_drop=config.weight_drop,
    )


def _run(layer: Any, inputs: Tensor, lengths: Tensor, embedding: Tensor | None) -> Tensor:
    outputs, _ = layer(inputs, layer.initial_state(len(inputs)), lengths, embedding)
    return outputs  # type: ignore[no-any-return]


def check_encoder_config(config: ModelConfig) -> None:
    """Raise UsageError for what only language models can have."""
    if config.cell not in ("lstm", "gru", "rnn"):
        raise UsageError(f"model.task={config.task} needs a recurrent cell, lstm, gru or rnn, not {config.cell}")
    for name in ("layer_norm",) if config.task == "translate" else ("tied", "layer_norm"):
        if getattr(config, name):
            raise UsageError(f"model.{name} is of language models; leave it out with model.task={config.task}")


def start_from(module: Encoder, arrays: Arrays) -> list[str]:
    """Copy what fits of a trained model: the arrays of the same names. Returns the names of those copied.

    An upper layer that now also reads the reverse direction starts as if that said nothing.
    """
    copied = []
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name not in arrays:
                continue
            given = torch.from_numpy(arrays[name])
            if given.shape == parameter.shape:
                parameter.copy_(given)
            elif name.endswith("weight_ih") and _narrower(given.shape, parameter.shape):
                parameter.zero_()
                parameter[:, : given.shape[1]] = given
            else:
                continue
            copied.append(name)
    return copied


def _narrower(given: Sequence[int], wanted: Sequence[int]) -> bool:
    return given[0] == wanted[0] and given[1] < wanted[1]
