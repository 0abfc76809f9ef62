"""A small residual network that makes a grid of vectors of a picture: what a decoder attends to, or begins from.

Shapes: N batch, H height and W width in pixels, C channels, S = h * w places of the grid (row by row), D width of a
vector. After He et al. 2016; the coordinates beside the colours are those of Liu et al. 2018 ("CoordConv"), without
which a convolution cannot tell where it is. The twin without torch is decoding/picture_encoder.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sonho.config import ModelConfig

INPUTS = 5  # red, green, blue, x, y, each from -1 to 1
MOMENTUM, EPSILON = 0.1, 1e-5


class PictureEncoder(nn.Module):
    """A convolution and `picture_blocks` residual blocks; each halves the sides, and each block doubles C."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.picture_channels
        self.stem = ConvNorm(INPUTS, channels, kernel=3, stride=2)
        self.blocks = nn.ModuleList(Block(channels << i, channels << (i + 1)) for i in range(config.picture_blocks))
        self.width = channels << config.picture_blocks  # D

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (N, H, W, 3) uint8 to the grid (N, S, D)."""
        hidden = F.relu(self.stem(with_coordinates(pixels)))
        for block in self.blocks:
            hidden = block(hidden)
        return hidden.flatten(2).mT


class Block(nn.Module):
    """Two convolutions beside a shortcut; the sides are halved."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.one = ConvNorm(inputs, outputs, kernel=3, stride=2)
        self.two = ConvNorm(outputs, outputs, kernel=3, stride=1)
        self.shortcut = ConvNorm(inputs, outputs, kernel=1, stride=2)

    def forward(self, inputs: Tensor) -> Tensor:
        return F.relu(self.two(F.relu(self.one(inputs))) + self.shortcut(inputs))


class ConvNorm(nn.Module):
    """A convolution without bias, and batch norm (Ioffe and Szegedy 2015): `weight` (O, I, K, K), the rest (O).

    The running `mean` and `variance` are parameters without a gradient: the average of the weights, checkpoints and
    the model file then treat them as they treat weights.
    """

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(
            nn.init.kaiming_normal_(torch.empty(outputs, inputs, kernel, kernel), mode="fan_out")
        )
        self.scale, self.shift = nn.Parameter(torch.ones(outputs)), nn.Parameter(torch.zeros(outputs))
        self.mean = nn.Parameter(torch.zeros(outputs), requires_grad=False)
        self.variance = nn.Parameter(torch.ones(outputs), requires_grad=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, I, h, w) to (N, O, h / stride, w / stride), rounded up."""
        made = F.conv2d(inputs, self.weight, stride=self.stride, padding=self.weight.shape[-1] // 2)
        return F.batch_norm(
            made, self.mean, self.variance, self.scale, self.shift, self.training, momentum=MOMENTUM, eps=EPSILON
        )


def with_coordinates(pixels: Tensor) -> Tensor:
    """Pixels (N, H, W, 3) uint8 to (N, 5, H, W) from -1 to 1: the colours, then x and y."""
    count, height, width, _ = pixels.shape
    colours = pixels.permute(0, 3, 1, 2).to(torch.get_default_dtype()) / 127.5 - 1.0
    x = torch.linspace(-1, 1, width).expand(count, 1, height, width)
    y = torch.linspace(-1, 1, height)[:, None].expand(count, 1, height, width)
    return torch.cat([colours, x, y], dim=1)
