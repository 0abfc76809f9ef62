"""The captioner: its arrays, what its gradients reach, and that its twin without torch gives the same logits."""

import numpy as np
import pytest
import torch

from sonho.config import ModelConfig, TrainingConfig
from sonho.decoding.attentive import AttentiveDecoder
from sonho.decoding.picture_encoder import PictureEncoder
from sonho.decoding.state import take_rows
from sonho.errors import UsageError
from sonho.models.attentive_decoder import AttentiveDecoder as TorchDecoder
from sonho.models.captioner import Captioner
from sonho.models.language_model import to_arrays
from sonho.storage.shapes import expected_shapes
from sonho.training.optimizers import make_optimizers

N, T, V = 3, 4, 11
SETTINGS = [
    {"attention": "none"},
    {"attention": "none", "input_feeding": True, "num_layers": 2, "cell": "gru"},
    {"attention": "multiplicative", "tied": True},
    {"attention": "additive", "embedding_dim": 0, "picture_blocks": 0},
]


def made(**settings):
    torch.manual_seed(1)
    sizes = {"hidden_size": 7, "embedding_dim": 6, "picture_channels": 4, "picture_blocks": 1}
    return Captioner(ModelConfig(**{"task": "caption", **sizes, **settings}), V)


def given():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (N, 9, 14, 3)).astype(np.uint8)
    return torch.from_numpy(pixels), torch.from_numpy(rng.integers(1, V, (N, T)))


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_twin_without_torch_gives_the_same_logits_and_attention(settings):
    model, (pixels, tokens) = made(**settings).eval(), given()
    with torch.no_grad():
        logits, weights = model(pixels, tokens)
    assert (weights is None) == (settings["attention"] == "none")
    arrays = to_arrays(model)
    config = model.decoder.config
    values = PictureEncoder(config, arrays).encode(pixels.numpy())
    attended = AttentiveDecoder(config, arrays).attend(values, np.full(N, values.shape[1]))
    state = take_rows(attended.initial_state(), np.repeat(np.arange(N), 2))  # two rows a picture, as in a beam
    for t in range(T):
        found, state, looked = attended.step(np.repeat(tokens[:, t].numpy(), 2), state)
        np.testing.assert_allclose(found[1::2], logits[:, t].numpy(), rtol=1e-4, atol=1e-4)
        if weights is not None:
            np.testing.assert_allclose(looked[1::2], weights[:, t].numpy(), atol=1e-5)


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_arrays_are_those_of_a_model_file_and_learning_moves_all_of_them(settings):
    model, (pixels, tokens) = made(**settings), given()
    config = model.decoder.config
    before = to_arrays(model)
    assert {name: array.shape for name, array in before.items()} == expected_shapes(config, V)
    optimizers = make_optimizers(model, TrainingConfig(learning_rate=0.01))
    owned = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    assert len(owned) == len({id(p) for p in owned}) == sum(p.requires_grad for p in model.parameters())
    targets = tokens.clone()
    targets[1, 2:] = -100
    model.loss(pixels, tokens, targets).backward()
    for optimizer in optimizers:
        optimizer.step()
    still = [name for name, array in to_arrays(model).items() if (array == before[name]).all()]
    assert still == []


def test_a_caption_depends_on_the_picture_and_on_earlier_words_alone():
    model, (pixels, tokens) = made(attention="multiplicative").eval(), given()
    later, other = tokens.clone(), pixels.clone()
    later[:, 2:] = 1
    other[0] = 255 - other[0]
    with torch.no_grad():
        logits, again, moved = model(pixels, tokens)[0], model(pixels, later)[0], model(other, tokens)[0]
    torch.testing.assert_close(logits[:, :2], again[:, :2])
    assert not torch.allclose(logits[0], moved[0])
    torch.testing.assert_close(logits[1:], moved[1:])


def test_no_attention_is_for_captions_alone():
    config = ModelConfig(task="translate", hidden_size=7, embedding_dim=6, attention="none")
    with pytest.raises(UsageError, match=r"model.attention=none is for captions"):
        TorchDecoder(config, V, 5)
