"""Many to one, and one to one: a label for a record, or one for each token.

Shapes: N batch, T time, C labels, W width of the encoder. The names of the parameters are the names of the arrays in
the model file. The twins without torch are in decoding/encoder.py and decoding/predictor.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sonho.config import ModelConfig
from sonho.errors import UsageError
from sonho.models.encoder import Encoder


class Labels(nn.Module):
    """The output layer: weight (C, W) and bias (C)."""

    def __init__(self, width: int, num_labels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(num_labels, width)))
        self.bias = nn.Parameter(torch.zeros(num_labels))

    def forward(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.weight, self.bias)


class Attention(nn.Module):
    """How much each token counts: the softmax of its product with a vector that is learned (W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))  # to begin with, all tokens alike

    def forward(self, hidden: Tensor, inside: Tensor) -> Tensor:
        """Outputs (N, T, W) and which of them count (N, T) to their weighted mean (N, W)."""
        scores = (hidden @ self.weight).masked_fill(~inside, -torch.inf)
        return (scores.softmax(dim=1)[:, :, None] * hidden).sum(dim=1)


class Classifier(Encoder):
    """Records to logits of their labels, through one vector pooled from the outputs at all tokens."""

    def __init__(self, config: ModelConfig, vocab_size: int, num_labels: int) -> None:
        super().__init__(config, vocab_size)
        if config.pooling == "attention":
            self.attention = Attention(self.width)
        self.output = Labels(self.width, num_labels)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (N, T), of which `lengths` (N,) count, at least one, to logits (N, C)."""
        pooled = self.pool(self.encode(tokens, lengths), lengths)  # (N, W)
        return self.output(pooled)  # type: ignore[no-any-return]

    def pool(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Outputs (N, T, W) to one vector a record (N, W)."""
        size, kind = self.config.hidden_size, self.config.pooling
        inside = torch.arange(hidden.shape[1]) < lengths[:, None]  # (N, T)
        if kind == "last":  # of the reverse direction the last token read is the first of the text
            last = hidden[torch.arange(len(hidden)), lengths - 1]
            return torch.cat([last[:, :size], hidden[:, 0, size:]], dim=1)
        if kind == "mean":
            return hidden.sum(dim=1) / lengths[:, None]
        if kind == "max":
            return hidden.masked_fill(~inside[:, :, None], -torch.inf).amax(dim=1)
        return self.attention(hidden, inside)  # type: ignore[no-any-return]


class Tagger(Encoder):
    """Tokens to logits of their tags."""

    def __init__(self, config: ModelConfig, vocab_size: int, num_labels: int) -> None:
        super().__init__(config, vocab_size)
        self.output = Labels(self.width, num_labels)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (N, T), of which `lengths` (N,) count, to logits (N, T, C)."""
        return self.output(self.encode(tokens, lengths))  # type: ignore[no-any-return]


def make_labeller(config: ModelConfig, vocab_size: int, num_labels: int) -> Classifier | Tagger:
    """The network of a task. Raises UsageError for the language model's."""
    if config.task == "generate":
        raise UsageError("model.task=generate has no labels; choose classify or tag")
    kind = Classifier if config.task == "classify" else Tagger
    return kind(config, vocab_size, num_labels)
