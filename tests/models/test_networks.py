"""Several language models whose logits add up, beside the one network that a model file says they are."""

import numpy as np
import pytest
import torch

from sonho.config import DataConfig, ModelConfig
from sonho.models.language_model import LanguageModel, flatten, load_arrays, to_arrays
from sonho.models.networks import Networks, load_weights, model_of, weights
from sonho.storage.model_file import ModelFile
from sonho.text import fit_tokenizer
from sonho.training.ensemble import merged

TOKENIZER = fit_tokenizer(["abcdefg"], DataConfig())
V = TOKENIZER.vocab_size
SETTINGS = [
    {"cell": "lstm"},
    {"cell": "gru", "num_layers": 2},
    {"cell": "rnn", "embedding_dim": 5},
    {"cell": "gru", "embedding_dim": 6, "tied": True, "num_layers": 2},
]


def mean_of_three(settings):
    config = ModelConfig(hidden_size=6, **settings)
    torch.manual_seed(1)
    model, arrays = merged(config, [to_arrays(LanguageModel(config, V)) for _ in range(3)])
    return ModelFile(model, TOKENIZER, "stream", arrays, record={"networks": 3})


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_logits_are_those_of_the_one_network(settings):
    file = mean_of_three(settings)
    networks, whole = model_of(file).eval(), LanguageModel(file.model, V, ()).eval()
    assert isinstance(networks, Networks)
    load_arrays(whole, file.arrays)
    ids = torch.randint(1, V - 1, (4, 20))
    with torch.no_grad():
        logits, state = networks(ids, networks.initial_state(4))
        expected, after = whole(ids, whole.initial_state(4))
        last, _ = networks(ids, networks.initial_state(4), last_only=True)
        piece, half = networks(ids[:, :7], networks.initial_state(4))
        rest, _ = networks(ids[:, 7:], half)
    seen = logits.isfinite()
    torch.testing.assert_close(logits[seen], expected[seen], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(last, logits[:, -1:])
    torch.testing.assert_close(torch.cat([piece, rest], dim=1), logits)
    assert sum(t.numel() for t in flatten(state)) == sum(t.numel() for t in flatten(after))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_weights_come_out_as_they_went_in(settings):
    file = mean_of_three(settings)
    module = model_of(file)
    found = weights(module)
    assert found.keys() == file.arrays.keys()
    for name, array in file.arrays.items():
        np.testing.assert_array_equal(found[name], array)
    load_weights(module, {name: 2 * array for name, array in file.arrays.items()})
    np.testing.assert_array_equal(weights(module)["layers.0.weight_hh"], 2 * file.arrays["layers.0.weight_hh"])


def test_what_has_weights_between_its_networks_is_one():
    file = mean_of_three({"cell": "lstm"})
    file.arrays["layers.0.weight_hh"][0, -1] = 0.1
    assert isinstance(model_of(file), LanguageModel)
