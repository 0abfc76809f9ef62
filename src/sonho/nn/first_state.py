"""The first state of a recurrent layer, made from a condition instead of zeros.

Shapes: N batch, F condition, H hidden.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sonho.nn.cells import LSTMState


class FirstState(nn.Module):
    """h = tanh(W x + b), and for the LSTM c = W' x + b' (as the image starts the text in Karpathy and Fei-Fei 2015).

    `weight` (H, F) or (2H, F): the rows of h, then those of c.
    """

    def __init__(self, cell: str, hidden_size: int, condition_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        rows = hidden_size * (2 if cell == "lstm" else 1)
        self.weight = nn.Parameter(nn.init.normal_(torch.empty(rows, condition_size), std=condition_size**-0.5))
        self.bias = nn.Parameter(torch.zeros(rows))

    def forward(self, condition: Tensor) -> LSTMState | Tensor:
        """`condition` (N, F) to the state of N rows."""
        total = nn.functional.linear(condition, self.weight, self.bias)
        h = torch.tanh(total[:, : self.hidden_size])
        return LSTMState(h, total[:, self.hidden_size :]) if total.shape[1] > self.hidden_size else h
