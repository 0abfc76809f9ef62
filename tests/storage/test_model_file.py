import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from sonho.config import DataConfig, ModelConfig
from sonho.errors import InputNotFoundError, ModelFileError, StorageError, UsageError
from sonho.storage.condition import Condition
from sonho.storage.container import read_container, write_container
from sonho.storage.durable import folder_lock, replace_file
from sonho.storage.model_file import ModelFile, load_model_file, save_model_file
from sonho.storage.shapes import expected_shapes
from sonho.text import fit_tokenizer


def make(tmp_path, **settings):
    config = ModelConfig(**{"cell": "gru", "hidden_size": 5, **settings})
    tokenizer = fit_tokenizer(["Hello, sonho! ünï\n"], DataConfig())
    rng = np.random.default_rng(1)
    shapes = expected_shapes(config, tokenizer.vocab_size)
    arrays = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    path = tmp_path / "model.safetensors"
    model_file = ModelFile(config, tokenizer, "stream", arrays, record={"step": 3})
    save_model_file(path, model_file)
    return path, model_file


def test_a_model_file_makes_the_round_trip_also_from_its_run_folder(tmp_path):
    path, written = make(tmp_path)
    for place in (path, tmp_path):
        read = load_model_file(place)
        assert read.model == written.model
        assert read.tokenizer.to_json() == written.tokenizer.to_json()
        assert (read.data_kind, read.window, read.record) == ("stream", 0, {"step": 3})
        for name, array in written.arrays.items():
            np.testing.assert_array_equal(read.arrays[name], array)


def test_the_same_content_gives_the_same_bytes(tmp_path):
    path, _ = make(tmp_path)
    again = tmp_path / "again.safetensors"
    save_model_file(again, load_model_file(path))
    assert again.read_bytes() == path.read_bytes()
    assert not list(tmp_path.glob(".*part"))


def test_a_file_cut_short_anywhere_is_refused(tmp_path):
    path, _ = make(tmp_path)
    whole = path.read_bytes()
    for length in [0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match="take another copy"):
            load_model_file(path)


def test_a_flipped_bit_anywhere_is_refused(tmp_path):
    path, _ = make(tmp_path)
    whole = path.read_bytes()
    places = np.random.default_rng(2).integers(0, len(whole) * 8, 300)
    for place in places:
        broken = bytearray(whole)
        broken[place // 8] ^= 1 << (place % 8)
        path.write_bytes(broken)
        with pytest.raises(ModelFileError):
            load_model_file(path)


def test_a_safetensors_file_of_another_program_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"x": np.zeros(3, np.float32)}, path)
    with pytest.raises(ModelFileError, match="not one of sonho's"):
        load_model_file(path)


def test_a_newer_format_says_so(tmp_path):
    path = tmp_path / "newer.safetensors"
    save_file(
        {"x": np.zeros(1)},
        path,
        metadata={"sonho": json.dumps({"kind": "model", "version": 99, "header": {}, "sha256": ""})},
    )
    with pytest.raises(ModelFileError, match="newer than 1; update sonho"):
        load_model_file(path)


def test_a_checkpoint_is_not_a_model(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    write_container(path, "checkpoint", {}, {"x": np.zeros(1)})
    with pytest.raises(ModelFileError, match="is a checkpoint, not a model"):
        load_model_file(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h, a: a.pop("output.bias"), "output.bias is missing"),
        (lambda h, a: a.update(extra=np.zeros(1, np.float32)), "extra is not expected"),
        (lambda h, a: h["model"].update(hidden_size=10**9), "the settings say"),
        (lambda h, a: h["model"].update(hidden_size="5"), "has the value '5'"),
        (lambda h, a: h["model"].update(hidden_size=True), "has the value True"),
        (lambda h, a: h["model"].update(surprise=1), "unknown setting 'surprise'"),
        (lambda h, a: h["model"].update(cell="transformer"), "does not fit together"),
        (lambda h, a: h.update(tokenizer={}), "does not fit together"),
        (lambda h, a: h.update(data_kind="streams"), "does not fit together"),
        (lambda h, a: h.pop("sampling"), "does not fit together"),
        (lambda h, a: a["output.bias"].fill(np.nan), "NaN or infinity"),
    ],
)
def test_a_well_sealed_file_with_wrong_content_is_refused(tmp_path, change, message):
    path, _ = make(tmp_path)
    header, arrays = read_container(path, "model")
    change(header, arrays)
    write_container(path, "model", header, arrays)
    with pytest.raises(ModelFileError, match=message):
        load_model_file(path)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(InputNotFoundError, match=r"no such model: .*nothing"):
        load_model_file(tmp_path / "nothing")
    with pytest.raises(InputNotFoundError, match="give a model file or a run folder"):
        load_model_file(tmp_path)


def test_a_refused_write_leaves_the_old_file_and_no_rubbish(tmp_path, monkeypatch):
    path = tmp_path / "file"
    replace_file(path, b"old")

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(StorageError, match="No space left"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_is_held_by_one_at_a_time(tmp_path):
    with folder_lock(tmp_path), pytest.raises(UsageError, match="in use by another"), folder_lock(tmp_path):
        pass
    with folder_lock(tmp_path):
        pass


def test_a_model_file_keeps_the_names_of_the_labels(tmp_path):
    path, written = make(tmp_path)
    assert load_model_file(path).labels == ()
    written.labels = ("World", "Sci/Tech", "ü")
    save_model_file(path, written)
    assert load_model_file(path).labels == written.labels
    header, arrays = read_container(path, "model")
    for labels in (["a", "a"], ["a", 1], "ab"):
        write_container(path, "model", {**header, "labels": labels}, arrays)
        with pytest.raises(ModelFileError, match="label"):
            load_model_file(path)


def test_counts_beside_a_conditioned_network_are_refused(tmp_path):
    path, made = make(tmp_path)
    made.condition, made.prior = Condition((0.0,), (1.0,)), {"gate": np.zeros((2, 3), np.float32)}
    save_model_file(path, made)
    with pytest.raises(ModelFileError, match="a prior stands beside a language model"):
        load_model_file(path)
