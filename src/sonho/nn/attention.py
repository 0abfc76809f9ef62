"""Attention: for each query, how much every place of a memory counts, and the memory's mean by that.

Shapes: N batch, T queries, S places of the memory, Q query, D memory, A attention. Knows vectors, not where they come
from: a memory is what an encoder made of a sentence, or of a picture. The twin without torch is decoding/attentive.py.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

AttentionKind = Literal["multiplicative", "additive"]


class Memory(NamedTuple):
    """What is attended to: made once, looked at from every query."""

    values: Tensor  # (N, S, D)
    keys: Tensor  # (N, S, A)
    inside: Tensor  # (N, S) bool: False behind a row's length


class Attention(nn.Module):
    """`multiplicative`: q . K m / sqrt(A), with A = Q (Luong et al. 2015, "general"; scaled by Vaswani et al. 2017).

    `additive`: v . tanh(U q + K m), with A = Q (Bahdanau et al. 2015). Weights: `key` K (A, D); additive also
    `query` U (A, Q) and `vector` v (A).
    """

    def __init__(self, kind: AttentionKind, query_size: int, memory_size: int) -> None:
        super().__init__()
        self.kind = kind
        self.key = nn.Parameter(nn.init.xavier_uniform_(torch.empty(query_size, memory_size)))
        if kind == "additive":
            self.query = nn.Parameter(nn.init.xavier_uniform_(torch.empty(query_size, query_size)))
            self.vector = nn.Parameter(nn.init.normal_(torch.empty(query_size), std=query_size**-0.5))

    def forward(self, queries: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Queries (N, T, Q) to contexts (N, T, D) and the weights (N, T, S), which are 0 behind a row's length."""
        if self.kind == "additive":
            sums = torch.tanh((queries @ self.query.T)[:, :, None] + memory.keys[:, None])  # (N, T, S, A)
            scores = sums @ self.vector
        else:
            scores = queries @ memory.keys.mT * queries.shape[-1] ** -0.5  # (N, T, S)
        weights = scores.masked_fill(~memory.inside[:, None], -torch.inf).softmax(dim=-1)
        return weights @ memory.values, weights


def make_memory(attention: Attention | None, values: Tensor, lengths: Tensor) -> Memory:
    """Values (N, S, D), of which the first `lengths` (N,) of a row count, at least one; keys for an attention."""
    inside = torch.arange(values.shape[1], device=values.device) < lengths[:, None]
    return Memory(values, values if attention is None else values @ attention.key.T, inside)
