"""The board's small transformer, with the recipe that is known for it: windows from random places, AdamW, cosine.

Decoder only: learned positions, layer norm before each part, attention and a GELU network of four times the width,
the output layer tied to the embedding. A step of 100 warms up, the rate falls to a tenth at the deadline.
Shapes: N rows, T time, D width, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from board.peer import Characters, Job, Trained, serve, write_text
from board.scoring import cold_bounds, sliding, stream_bounds
from peers.clocked_learning import Learning, learn, parameters_of, set_rate

WARM_UP_STEPS, LEAST_RATE = 100, 0.1
WEIGHT_DECAY, CLIP_NORM = 0.1, 1.0
LOOK_CHARACTERS = 4096  # of the validation part that are read at once


class Block(nn.Module):
    """Attention, then a network at each position: (N, T, D) to (N, T, D)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norms = nn.ModuleList([nn.LayerNorm(width, bias=False) for _ in range(2)])
        self.attention = nn.Linear(width, 3 * width, bias=False)
        self.gather = nn.Linear(width, width, bias=False)
        self.rise = nn.Linear(width, 4 * width, bias=False)
        self.fall = nn.Linear(4 * width, width, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = hidden + self._dropped(self.gather(self._attended(self.norms[0](hidden))))
        return hidden + self._dropped(self.fall(F.gelu(self.rise(self.norms[1](hidden)))))

    def _attended(self, hidden: Tensor) -> Tensor:
        rows, steps, width = hidden.shape
        split = self.attention(hidden).view(rows, steps, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)  # (N, heads, T, D / heads) each
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True, dropout_p=dropout)
        return mixed.transpose(1, 2).reshape(rows, steps, width)

    def _dropped(self, hidden: Tensor) -> Tensor:
        return F.dropout(hidden, self.dropout, self.training)


class Transformer(nn.Module):
    """Tokens (N, T), at most `context` of them in a row, to logits (N, T, V)."""

    def __init__(self, layers: int, heads: int, width: int, context: int, dropout: float, vocab_size: int) -> None:
        super().__init__()
        self.context, self.dropout = context, dropout
        self.embedding = nn.Embedding(vocab_size, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                # What is added to the sum of all layers starts smaller, the more there are.
                onto_sum = name.endswith(("gather.weight", "fall.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers) if onto_sum else 0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.embedding(tokens) + self.positions.weight[: tokens.shape[1]]
        hidden = F.dropout(hidden, self.dropout, self.training)
        for block in self.blocks:
            hidden = block(hidden)
        return F.linear(self.norm(hidden), self.embedding.weight)


class SmallTransformer:
    """A transformer that has learned."""

    def __init__(self, network: Transformer, symbols: Characters) -> None:
        self.network, self.symbols = network, symbols
        self.parameters = parameters_of(network)

    def score(self, test: str, kind: str) -> dict[str, float | None]:
        ids = self.symbols.read(test, kind)
        bounds = {"stream": stream_bounds(ids), "cold": cold_bounds(ids)}
        context = self.network.context
        rows = LOOK_CHARACTERS // context
        return {protocol: sliding(self.look, ids, each, context, rows=rows) for protocol, each in bounds.items()}

    def write(self, prompt: str, length: int, seed: int) -> str:
        seen: list[int] = []

        def step(new: list[int]) -> np.ndarray:
            seen.extend(new)
            return np.asarray(self.look(np.array([seen[-self.network.context :]]))[0, -1])

        return write_text(step, self.symbols, prompt, length, seed)

    def look(self, inputs: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(self.network(torch.from_numpy(inputs)).numpy())


def train(job: Job) -> Trained:
    torch.manual_seed(job.seed)
    symbols, ids, validation = job.characters()
    settings: dict[str, Any] = dict(job.settings)
    rate, rows = settings.pop("rate"), settings.pop("batch_size")
    network = Transformer(**settings, vocab_size=len(symbols))
    optimizer = make_optimizer(network, rate)
    rng, steps, context = np.random.default_rng(job.seed), 0, network.context

    def step(progress: float) -> None:
        nonlocal steps
        steps += 1
        cosine = LEAST_RATE + (1 - LEAST_RATE) * 0.5 * (1 + math.cos(math.pi * progress))
        set_rate(optimizer, rate * min(cosine, steps / WARM_UP_STEPS))
        starts = rng.integers(len(ids) - context, size=rows)
        windows = torch.from_numpy(ids[starts[:, None] + np.arange(context + 1)])  # (N, T + 1)
        loss = F.cross_entropy(network(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), CLIP_NORM)
        optimizer.step()

    def look(limit: int) -> float:
        """Over windows side by side, as the known recipe validates."""
        windows, total = validation[: max(limit // context, 1) * context + 1], 0.0
        count = (len(windows) - 1) // context
        for first in range(0, count, LOOK_CHARACTERS // context):
            starts = np.arange(first, min(first + LOOK_CHARACTERS // context, count)) * context
            piece = torch.from_numpy(windows[starts[:, None] + np.arange(context + 1)])
            logits = network(piece[:, :-1])
            total += float(F.cross_entropy(logits.flatten(0, 1), piece[:, 1:].flatten(), reduction="sum"))
        return total / (count * context)

    learn(job, Learning(network, step, look, len(validation)))
    return SmallTransformer(network, symbols)


def make_optimizer(network: nn.Module, rate: float) -> torch.optim.Optimizer:
    """AdamW; only matrices decay."""
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.99), fused=True)


if __name__ == "__main__":
    serve(train)
