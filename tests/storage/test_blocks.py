"""The matrices of several networks that are one, stored without the zeros between them."""

import numpy as np
import pytest
import torch

from sonho.config import DataConfig, ModelConfig
from sonho.errors import DataError, ModelFileError
from sonho.models.language_model import LanguageModel, to_arrays
from sonho.storage.blocks import from_blocks, have_blocks, join_blocks, split_blocks, to_blocks
from sonho.storage.container import read_container, write_container
from sonho.storage.model_file import NO_GRADIENT, ModelFile, load_model_file, save_model_file
from sonho.text import fit_tokenizer
from sonho.training.ensemble import merged

SETTINGS = [
    {"cell": "lstm"},
    {"cell": "gru", "num_layers": 2},
    {"cell": "rnn", "embedding_dim": 5},
    {"cell": "gru", "embedding_dim": 6, "tied": True, "num_layers": 2},
]

TOKENIZER = fit_tokenizer(["abcdefg"], DataConfig())


def mean_of_three(settings, size=6, vocab_size=TOKENIZER.vocab_size):
    config = ModelConfig(hidden_size=size, **settings)
    torch.manual_seed(1)
    networks = [to_arrays(LanguageModel(config, vocab_size)) for _ in range(3)]
    return networks, *merged(config, networks)


def test_blocks_stand_on_the_diagonal_gate_by_gate():
    one, two = np.arange(1, 7).reshape(2, 3), np.arange(11, 17).reshape(2, 3)  # two gates of one unit
    whole = join_blocks([one, two], gates=2)
    assert whole.tolist() == [[1, 2, 3, 0, 0, 0], [0, 0, 0, 11, 12, 13], [4, 5, 6, 0, 0, 0], [0, 0, 0, 14, 15, 16]]
    np.testing.assert_array_equal(split_blocks(whole, 2, 2), [one, two])


@pytest.mark.parametrize("settings", SETTINGS)
def test_what_is_stored_in_blocks_is_read_as_it_was(settings):
    networks, model, arrays = mean_of_three(settings)
    stored = to_blocks(arrays, model, 3)
    for name in have_blocks(model):
        assert stored[name].shape == (3, *networks[0][name].shape)
    read = from_blocks(stored, model)
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)


def test_a_matrix_with_something_between_its_networks_is_stored_whole():
    _, model, arrays = mean_of_three({"cell": "gru", "num_layers": 2})
    arrays["layers.1.weight_hh"][0, -1] = 0.5
    stored = to_blocks(arrays, model, 3)
    assert stored["layers.1.weight_hh"].ndim == 2
    assert stored["layers.0.weight_hh"].ndim == 3


def model_file(arrays, model, networks):
    codes = {name: np.full(array.shape, 40, np.uint8) for name, array in arrays.items()}
    for name in have_blocks(model):
        codes[name][arrays[name] == 0] = NO_GRADIENT
    return ModelFile(model, TOKENIZER, "stream", arrays, record={"networks": networks}, gradient_rms=codes)


def test_a_model_file_holds_no_zeros_between_networks(tmp_path):
    _, model, arrays = mean_of_three({"cell": "lstm"}, size=40)
    for networks, name in ((3, "three"), (1, "one")):
        save_model_file(tmp_path / name, model_file(arrays, model, networks))
    assert (tmp_path / "three").stat().st_size < 0.5 * (tmp_path / "one").stat().st_size
    three, one = (load_model_file(tmp_path / name) for name in ("three", "one"))
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(three.arrays[name], array)
        np.testing.assert_array_equal(three.gradient_rms[name], one.gradient_rms[name])


@pytest.mark.parametrize("shape", [(65, 4, 3), (1, 72, 18), (3, 23, 6)], ids=str)
def test_blocks_that_cannot_be_are_refused(tmp_path, shape):
    _, model, arrays = mean_of_three({"cell": "lstm"})
    with pytest.raises(DataError, match=r"array layers\.0.weight_hh has"):
        from_blocks({"layers.0.weight_hh": np.zeros(shape, np.float32)}, model)
    save_model_file(tmp_path / "good", model_file(arrays, model, 3))
    header, stored = read_container(tmp_path / "good", "model")
    write_container(tmp_path / "bad", "model", header, {**stored, "layers.0.weight_hh": np.zeros(shape, np.float32)})
    with pytest.raises(ModelFileError, match=r"does not fit together: array layers\.0.weight_hh has"):
        load_model_file(tmp_path / "bad")


@pytest.mark.parametrize("networks", [0, 65, 1.5, "3", None, True], ids=str)
def test_a_number_of_networks_that_cannot_be_is_refused(tmp_path, networks):
    _, model, arrays = mean_of_three({"cell": "lstm"})
    save_model_file(tmp_path / "good", model_file(arrays, model, 3))
    header, stored = read_container(tmp_path / "good", "model")
    header["record"]["networks"] = networks
    write_container(tmp_path / "bad", "model", header, stored)
    with pytest.raises(ModelFileError, match=f"the mean of {networks!r} networks"):
        load_model_file(tmp_path / "bad")
