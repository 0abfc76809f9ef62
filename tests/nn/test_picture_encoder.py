"""The encoder of pictures: its twin without torch, its running statistics, and what its grid can tell."""

import numpy as np
import pytest
import torch

from sonho.config import ModelConfig
from sonho.decoding.picture_encoder import PictureEncoder as Twin
from sonho.decoding.picture_encoder import grid_shape
from sonho.models.language_model import to_arrays
from sonho.nn.picture_encoder import PictureEncoder

N, H, W = 3, 11, 18


def made(**settings):
    torch.manual_seed(1)
    encoder = PictureEncoder(ModelConfig(task="caption", picture_channels=4, **settings))
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            parameter.add_(
                torch.rand(parameter.shape) if name.endswith("variance") else 0.3 * torch.randn(parameter.shape)
            )
    return encoder


def pictures(seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (N, H, W, 3)).astype(np.uint8))


@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_the_twin_without_torch_gives_the_same_grid(blocks):
    encoder = made(picture_blocks=blocks).eval()
    config = ModelConfig(task="caption", picture_channels=4, picture_blocks=blocks)
    arrays = {f"pictures.{name}": array for name, array in to_arrays(encoder).items()}
    with torch.no_grad():
        expected = encoder(pictures())
    found = Twin(config, arrays).encode(pictures().numpy())
    height, width = grid_shape(config, (W, H))
    assert expected.shape == (N, height * width, encoder.width)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(Twin(config, arrays).encode(pictures().numpy()[1:2])[0], found[1])


def test_learning_moves_the_running_statistics_and_looking_does_not():
    encoder = made(picture_blocks=1)
    before = {name: array for name, array in to_arrays(encoder).items() if name.endswith(("mean", "variance"))}
    encoder.eval()(pictures())
    after = to_arrays(encoder)
    assert all((array == after[name]).all() for name, array in before.items())
    encoder.train()(pictures()).sum().backward()
    after = to_arrays(encoder)
    assert all((array != after[name]).any() for name, array in before.items())
    assert all((p.grad is not None) == p.requires_grad for p in encoder.parameters())
    assert len(before) == 2 * 4


def test_a_place_knows_where_it_is():
    """Of a picture that is the same everywhere, inner places differ by their coordinates alone."""
    encoder = made(picture_blocks=0).eval()
    with torch.no_grad():
        grid = encoder(torch.full((1, 16, 16, 3), 128, dtype=torch.uint8)).reshape(8, 8, -1)
    assert not torch.allclose(grid[2, 2], grid[2, 5])
    assert not torch.allclose(grid[2, 2], grid[5, 2])
