"""One to many: a picture made into a grid of vectors, and a decoder that writes a text while it attends to them.

Shapes: N batch, H and W pixels, T tokens, V vocabulary. After Vinyals et al. 2015 (`attention = "none"`: the picture is
the first state alone) and Xu et al. 2015 (soft attention). The names of the parameters are the names of the arrays in
the model file; the twins without torch are decoding/picture_encoder.py and decoding/attentive.py.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sonho.config import ModelConfig
from sonho.models.attentive_decoder import AttentiveDecoder
from sonho.nn.dropout import drop
from sonho.nn.picture_encoder import PictureEncoder


class Captioner(nn.Module):
    """`vocab_size` is that of the texts."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.config, self.pictures = config, PictureEncoder(config)
        self.decoder = AttentiveDecoder(config, vocab_size, self.pictures.width)

    def forward(self, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """Pixels (N, H, W, 3) uint8 and tokens (N, T) to logits (N, T, V) and the attention (N, T, S), if any."""
        values, lengths = self._memory(pixels)
        logits, weights = self.decoder(tokens, values, lengths)
        return logits, weights

    def loss(self, pixels: Tensor, tokens: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy (nats) of the targets (N, T) after each of `tokens` (N, T); -100 is no target."""
        values, lengths = self._memory(pixels)
        return self.decoder.loss(tokens, targets, values, lengths, label_smoothing=label_smoothing)

    def _memory(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        config = self.config
        values = drop(self.pictures(pixels), config.dropout, config.dropout_kind, self.training)  # (N, S, D)
        return values, torch.full((len(values),), values.shape[1])
