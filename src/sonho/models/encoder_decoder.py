"""Many to many: a text read in both directions, and a decoder that writes another while it attends to the first.

Shapes: N batch, S source tokens, T target tokens, V target vocabulary. After Bahdanau et al. 2015, Luong et al. 2015.
The names of the parameters are the names of the arrays in the model file.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sonho.config import ModelConfig
from sonho.models.attentive_decoder import AttentiveDecoder
from sonho.models.encoder import Encoder


class EncoderDecoder(Encoder):
    """`source_size` and `vocab_size` are the ids of the two sides; one table for both where they are `shared`."""

    def __init__(self, config: ModelConfig, source_size: int, vocab_size: int, *, shared: bool = False) -> None:
        super().__init__(config, source_size)
        self.decoder = AttentiveDecoder(config, vocab_size, self.width)
        if shared and config.embedding_dim:
            self.decoder.embedding = self.embedding

    def forward(self, sources: Tensor, lengths: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Sources (N, S), of which `lengths` (N,) count, and target tokens (N, T) to logits (N, T, V) and attention."""
        logits, weights = self.decoder(tokens, self.encode(sources, lengths), lengths)
        return logits, weights

    def loss(
        self,
        sources: Tensor,
        lengths: Tensor,
        tokens: Tensor,
        targets: Tensor,
        *,
        label_smoothing: float = 0.0,
        scheduled_sampling: float = 0.0,
    ) -> Tensor:
        """Mean cross-entropy (nats) of the targets (N, T) after each of `tokens` (N, T); -100 is no target.

        `scheduled_sampling`: so large a share of the tokens read is replaced by what the model would have written there
        (Bengio et al. 2015), which a first pass over the true ones tells (Mihaylova and Martins 2019), so that a layer
        stays one call.
        """
        values = self.encode(sources, lengths)
        if scheduled_sampling:
            with torch.no_grad():
                written = self.decoder(tokens, values, lengths)[0].argmax(dim=-1)  # (N, T): what would follow each
            taken = torch.rand(tokens[:, 1:].shape, device=tokens.device) < scheduled_sampling
            tokens = torch.cat([tokens[:, :1], torch.where(taken, written[:, :-1], tokens[:, 1:])], dim=1)
        return self.decoder.loss(tokens, targets, values, lengths, label_smoothing=label_smoothing)
