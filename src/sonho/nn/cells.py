"""One time step of each recurrent cell, as one would write it on a board.

Shapes: N batch, H hidden, G gates. `inputs` is what the input contributes to the gates of this step,
x @ weight_ih.T + bias, shape (N, G*H). These are the readable twins of every faster path.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class LSTMState(NamedTuple):
    """Hidden output `h` and memory `c`, each (N, H)."""

    h: Tensor
    c: Tensor


def rnn_cell(inputs: Tensor, h: Tensor, weight_hh: Tensor, nonlinearity: str = "tanh") -> Tensor:
    """h' = tanh(x W + b + h U), or relu (Elman 1990). Returns (N, H)."""
    total = inputs + h @ weight_hh.T
    return torch.tanh(total) if nonlinearity == "tanh" else torch.relu(total)


def lstm_cell(inputs: Tensor, state: LSTMState, weight_hh: Tensor) -> LSTMState:
    """Gates in the order i, f, g, o (Hochreiter and Schmidhuber 1997; forget gate by Gers et al. 2000)."""
    i, f, g, o = (inputs + state.h @ weight_hh.T).chunk(4, dim=-1)
    c = torch.sigmoid(f) * state.c + torch.sigmoid(i) * torch.tanh(g)
    return LSTMState(torch.sigmoid(o) * torch.tanh(c), c)


def gru_cell(inputs: Tensor, h: Tensor, weight_hh: Tensor) -> Tensor:
    """Gates in the order r, z, n; the reset gate acts after the product (Cho et al. 2014, as in cuDNN)."""
    input_r, input_z, input_n = inputs.chunk(3, dim=-1)
    hidden_r, hidden_z, hidden_n = (h @ weight_hh.T).chunk(3, dim=-1)
    r, z = torch.sigmoid(input_r + hidden_r), torch.sigmoid(input_z + hidden_z)
    n = torch.tanh(input_n + r * hidden_n)
    return (1 - z) * n + z * h
