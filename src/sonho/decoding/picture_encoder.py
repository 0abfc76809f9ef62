"""A picture as a grid of vectors without torch: the twin of nn/picture_encoder.py, its batch norms folded in.

A convolution is one product: of all patches that the kernel covers with the kernels. Each picture is computed by
itself, so that its numbers do not depend on the others. Shapes as in the twin; K side of a kernel, O its outputs.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from sonho.config import ModelConfig
from sonho.decoding.state import Array
from sonho.storage.container import Arrays

EPSILON = 1e-5


class PictureEncoder:
    """The encoder of a model file's arrays. It never changes, so threads may share one."""

    def __init__(self, config: ModelConfig, arrays: Arrays, *, prefix: str = "pictures.") -> None:
        own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        self.stem = Convolution(own, "stem", stride=2)
        self.blocks = [
            (
                Convolution(own, f"blocks.{i}.one", stride=2),
                Convolution(own, f"blocks.{i}.two", stride=1),
                Convolution(own, f"blocks.{i}.shortcut", stride=2),
            )
            for i in range(config.picture_blocks)
        ]

    def encode(self, pixels: Array) -> Array:
        """Pixels (N, H, W, 3) uint8 to the grid (N, S, D) float32."""
        return np.stack([self._grid(picture) for picture in pixels])

    def _grid(self, pixels: Array) -> Array:
        hidden = np.maximum(self.stem(with_coordinates(pixels)), 0)
        for one, two, shortcut in self.blocks:
            hidden = np.maximum(two(np.maximum(one(hidden), 0)) + shortcut(hidden), 0)
        return hidden.reshape(-1, hidden.shape[-1])


class Convolution:
    """One layer with its norm: y = (w * x - mean) / sqrt(variance + epsilon) * scale + shift is a convolution too."""

    def __init__(self, arrays: Arrays, name: str, *, stride: int) -> None:
        weight, scale, shift, mean, variance = (
            arrays[f"{name}.{part}"] for part in ("weight", "scale", "shift", "mean", "variance")
        )
        factor = scale / np.sqrt(variance + np.float32(EPSILON))  # (O)
        self.stride, self.kernel = stride, weight.shape[-1]
        folded = weight * factor[:, None, None, None]
        self.weight: Array = np.ascontiguousarray(folded.reshape(len(weight), -1).T, np.float32)  # (I * K * K, O)
        self.bias: Array = (shift - mean * factor).astype(np.float32)

    def __call__(self, inputs: Array) -> Array:
        """(h, w, I) to (h / stride, w / stride, O), rounded up."""
        edge = self.kernel // 2
        padded = np.pad(inputs, ((edge, edge), (edge, edge), (0, 0)))
        patches = sliding_window_view(padded, (self.kernel, self.kernel), axis=(0, 1))[:: self.stride, :: self.stride]
        height, width = patches.shape[:2]
        made: Array = patches.reshape(height * width, -1) @ self.weight + self.bias
        return made.reshape(height, width, -1)


def with_coordinates(pixels: Array) -> Array:
    """Pixels (H, W, 3) uint8 to (H, W, 5) float32 from -1 to 1: the colours, then x and y."""
    height, width, _ = pixels.shape
    made = np.empty((height, width, 5), np.float32)
    made[..., :3] = pixels / np.float32(127.5) - np.float32(1)
    made[..., 3] = np.linspace(-1, 1, width, dtype=np.float32)
    made[..., 4] = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    return made


def grid_shape(config: ModelConfig, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width (h, w) of the grid of pictures of `size` (W, H).

    >>> grid_shape(ModelConfig(picture_blocks=2), (100, 25))
    (4, 13)
    """
    width, height = size
    for _ in range(1 + config.picture_blocks):
        width, height = -(-width // 2), -(-height // 2)
    return height, width
