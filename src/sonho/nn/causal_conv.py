"""Dilated causal convolution with a gate, and the little memory that lets it run step by step.

Shapes: N batch, T time, D input, H hidden, K kernel size. After van den Oord et al. 2016 (WaveNet).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DILATION_CYCLE = 5


class CausalConv(nn.Module):
    """One layer: y = tanh(a) * sigmoid(b), a and b convolutions; plus the input where sizes agree.

    Input (N, T, D) float, or (N, T) integer ids, which stand for one-hot vectors. `weight` is
    (2H, K, D): its last tap meets the present input, tap j the input (K-1-j)*dilation steps ago.
    """

    def __init__(self, input_size: int, hidden_size: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.kernel_size, self.dilation = kernel_size, dilation
        self.weight = nn.Parameter(torch.empty(2 * hidden_size, kernel_size, input_size))
        self.bias = nn.Parameter(torch.zeros(2 * hidden_size))
        bound = math.sqrt(3.0 / (kernel_size * min(input_size, hidden_size)))
        nn.init.uniform_(self.weight, -bound, bound)

    def initial_state(self, batch_size: int) -> Tensor:
        """The inputs still in sight: zeros, (N, (K-1)*dilation, D)."""
        return self.weight.new_zeros(batch_size, (self.kernel_size - 1) * self.dilation, self.input_size)

    def forward(self, inputs: Tensor, state: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns outputs (N, T, H) and the new state. Rows shorter than T keep the state of their end."""
        if not inputs.is_floating_point():
            inputs = F.one_hot(inputs, self.input_size).to(self.bias.dtype)
        seen = torch.cat([state, inputs], dim=1)  # (N, P + T, D)
        gates = F.conv1d(
            seen.transpose(1, 2), self.weight.transpose(1, 2), self.bias, dilation=self.dilation
        ).transpose(1, 2)  # (N, T, 2H)
        a, b = gates.chunk(2, dim=-1)
        outputs = torch.tanh(a) * torch.sigmoid(b)
        if self.input_size == self.hidden_size:
            outputs = outputs + inputs
        past = state.shape[1]
        if lengths is None:
            return outputs, seen[:, seen.shape[1] - past :]
        kept = lengths[:, None] + torch.arange(past, device=seen.device)  # (N, P)
        running = torch.arange(inputs.shape[1], device=seen.device) < lengths[:, None]  # (N, T)
        return outputs * running[..., None], seen.gather(1, kept[..., None].expand(-1, -1, seen.shape[2]))


def dilation_of(layer: int, kernel_size: int) -> int:
    """Dilations grow by the kernel size and start again after five layers: 1, 3, 9, 27, 81, 1, ...

    >>> [dilation_of(layer, 2) for layer in range(6)]
    [1, 2, 4, 8, 16, 1]
    """
    return int(kernel_size ** (layer % DILATION_CYCLE))
