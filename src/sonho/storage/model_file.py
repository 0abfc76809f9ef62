"""The model file: everything needed to use a trained network, in one `name.safetensors`.

Arrays (float32; V vocabulary, D input, H hidden, G gates: 4 lstm i,f,g,o, 3 gru r,z,n, 1 rnn):

    embedding.weight      (V, D)      only where embedding_dim > 0
    layers.i.weight_ih    (G*H, D)    first layer: D = embedding_dim, or V for one-hot input
    layers.i.weight_hh    (G*H, H)
    layers.i.bias         (G*H)
    layers.i.weight       (2H, kernel_size, D)   conv, instead of the three above; its bias is (2H)
    layers.i.norm.weight, layers.i.norm.bias (H) only with layer_norm
    layers.0.weight_condition (G*H, F)           conditioned on F numbers, into the input
    layers.i.first.weight, layers.i.first.bias   conditioned, into the state: (2H, F), (2H) lstm; else H rows
    output.weight         (V, H)      not where tied
    output.bias           (V)
    reverse.i.*                       classify, tag: the layers that read from the end, like layers.i.*; with both
                                      directions upper layers have D = 2H, and of output.weight H becomes 2H
    attention.weight      (2H)        classify with pooling = attention
                                      classify, tag: V of the output is the number of labels
    pictures.*                        caption: the encoder, see nn/picture_encoder.py: convolutions (O, I, K, K) and of
                                      their batch norms scale, shift, mean and variance (O)
    decoder.*                         translate, caption: the decoder, see below; outside it stands the encoder, which
                                      of a translation has the layers of a classifier, V of the source, and no output
    of K networks that are one, the layers' matrices are stored as (K, G*H/K, D/K): see blocks.py
    gradient_rms.NAME     uint8, of the shape of NAME: how large its gradients were in training; or none
    prior.NAME            counts of the text beside the network, see prior.py; or none

A decoder (M = the encoder's H, or 2H in both directions; R = D where tied, else H; V of the target):

    embedding.weight      (V, D)      not where one vocabulary serves both sides
    layers.i.*                        as of a language model; layers.0.weight_condition (G*H, R) with input_feeding
    layers.i.first.weight, layers.i.first.bias   (2H, M), (2H) lstm; else H rows
    attention.key         (H, M)      additive also attention.query (H, H), attention.vector (H)
    combine.weight, combine.bias      (R, H + M), (R)
    output.weight, output.bias        (V, R) not where tied, (V)

An n-gram model has the arrays of `evaluation/kneser_ney.py` instead. No path, date or duration is
in the file: the same run gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, get_args

import numpy as np

from sonho.config import OF_LABELS, DataKind, ModelConfig, SamplingConfig, TaskName, from_stored, to_dict
from sonho.errors import DataError, InputNotFoundError, ModelFileError
from sonho.storage.blocks import MOST_NETWORKS, from_blocks, to_blocks
from sonho.storage.condition import Condition, condition_from_json
from sonho.storage.container import Arrays, read_container, write_container
from sonho.storage.shapes import GATES, expected_shapes
from sonho.text import Tokenizer, tokenizer_from_json

MODEL_FILE_NAME = "model.safetensors"
RMS_PREFIX, PRIOR_PREFIX = "gradient_rms.", "prior."
NO_GRADIENT = 255  # the code of a weight that never had one


@dataclass
class ModelFile:
    """A model as it is stored. `window` > 0: trained on windows, it is fed the last `window` tokens."""

    model: ModelConfig
    tokenizer: Tokenizer
    data_kind: DataKind
    arrays: Arrays
    window: int = 0
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    record: dict[str, Any] = field(default_factory=dict)
    gradient_rms: Arrays = field(
        default_factory=dict
    )  # a code (uint8) a weight, see training/gradient_rms.py; or empty
    labels: tuple[str, ...] = ()  # of labelled data: the name of each number
    source_tokenizer: Tokenizer | None = None  # translate: reads the source; None: `tokenizer` reads both sides
    condition: Condition | None = None  # what the network was told beside the text
    prior: Arrays = field(default_factory=dict)  # the arrays of prior.py, without the prefix; or empty


def save_model_file(path: Path, model_file: ModelFile) -> None:
    """Write a model file durably. Raises StorageError."""
    header: dict[str, Any] = {
        "model": to_dict(model_file.model),
        "tokenizer": model_file.tokenizer.to_json(),
        "data_kind": model_file.data_kind,
        "window": model_file.window,
        "sampling": to_dict(model_file.sampling),
        "record": model_file.record,
    }
    if model_file.labels:
        header["labels"] = list(model_file.labels)
    if model_file.source_tokenizer is not None:
        header["source_tokenizer"] = model_file.source_tokenizer.to_json()
    if model_file.condition is not None:
        header["condition"] = model_file.condition.to_json()
    networks = model_file.record.get("networks", 1)
    rms = to_blocks(model_file.gradient_rms, model_file.model, networks, NO_GRADIENT)
    codes = {f"{RMS_PREFIX}{name}": array for name, array in rms.items()}
    prior = {f"{PRIOR_PREFIX}{name}": array for name, array in model_file.prior.items()}
    write_container(path, "model", header, {**stored_arrays(model_file), **codes, **prior})


def load_model_file(path: str | PathLike[str]) -> ModelFile:
    """Read a model file, or the one in a run folder, and check that its parts fit together.

    Raises InputNotFoundError or ModelFileError.
    """
    path = find_model_file(Path(path))
    header, stored = read_container(path, "model")
    arrays = {name: array for name, array in stored.items() if not name.startswith((RMS_PREFIX, PRIOR_PREFIX))}
    try:
        model = from_stored(ModelConfig, header["model"])
        loaded = ModelFile(
            model=model,
            tokenizer=tokenizer_from_json(header["tokenizer"]),
            data_kind=header["data_kind"],
            arrays=from_blocks(arrays, model),
            window=header["window"],
            sampling=from_stored(SamplingConfig, header["sampling"]),
            record=dict(header["record"]),
            labels=_labels(header.get("labels", [])),
            source_tokenizer=tokenizer_from_json(header["source_tokenizer"]) if "source_tokenizer" in header else None,
            condition=condition_from_json(header.get("condition")),
            gradient_rms=from_blocks(_under(stored, RMS_PREFIX), model, NO_GRADIENT),
            prior=_under(stored, PRIOR_PREFIX),
        )
        networks = loaded.record.get("networks", 1)
        if type(networks) is not int or not 1 <= networks <= MOST_NETWORKS:
            raise DataError(f"the mean of {networks!r} networks")
        if loaded.data_kind not in get_args(DataKind) or type(loaded.window) is not int:
            raise DataError(f"data_kind {loaded.data_kind!r}, window {loaded.window!r}")
        _check_arrays(loaded)
    except (DataError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path} does not fit together: {error}") from None
    return loaded


def _under(stored: Arrays, prefix: str) -> Arrays:
    """The arrays whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in stored.items() if name.startswith(prefix)}


def find_model_file(path: Path) -> Path:
    """The model file at `path`, which may be a run folder. Raises InputNotFoundError."""
    if path.is_dir():
        path = path / MODEL_FILE_NAME
        if not path.exists():
            raise InputNotFoundError(f"{path.parent} holds no {MODEL_FILE_NAME}; give a model file or a run folder")
    if not path.exists():
        raise InputNotFoundError(f"no such model: {path}")
    return path


def stored_arrays(model_file: ModelFile) -> Arrays:
    """The network's arrays as they are stored: of several networks that are one, without the zeros between them."""
    return to_blocks(model_file.arrays, model_file.model, model_file.record.get("networks", 1))


def count_parameters(model_file: ModelFile) -> int:
    return sum(array.size for array in stored_arrays(model_file).values())


def _check_arrays(loaded: ModelFile) -> None:
    predicts = loaded.model.task == "generate" and loaded.model.cell != "ngram" and not loaded.window
    if loaded.prior and (not predicts or loaded.condition is not None):
        raise DataError("a prior stands beside a language model that predicts every position and is told nothing else")
    if loaded.model.task not in get_args(TaskName) or (loaded.model.task in OF_LABELS and not loaded.labels):
        raise DataError(f"task {loaded.model.task!r} with {len(loaded.labels)} labels")
    if loaded.model.task != "generate" and loaded.model.cell not in GATES:
        raise DataError(f"a {loaded.model.cell} cell cannot {loaded.model.task}")
    if loaded.model.cell == "ngram":
        return _check_ngram(loaded.arrays, loaded.model.order)
    translates = loaded.model.task == "translate"
    attends = loaded.model.task in ("translate", "caption")
    if loaded.source_tokenizer is not None and not translates:
        raise DataError(f"a second vocabulary, but the task {loaded.model.task!r}")
    wanted = (loaded.model.embedding_dim or 1) if attends else loaded.model.hidden_size
    if loaded.model.tied and loaded.model.embedding_dim != wanted:
        raise DataError(f"tied weights need {'an embedding' if attends else 'embedding_dim = hidden_size'}")
    known = ("multiplicative", "additive", "none")[: 3 if loaded.model.task == "caption" else 2]
    if loaded.model.attention not in known:
        raise DataError(f"attention {loaded.model.attention!r}")
    if loaded.model.num_layers > len(loaded.arrays):
        raise DataError(f"{loaded.model.num_layers} layers, but only {len(loaded.arrays)} arrays")
    size, is_told = 0 if loaded.condition is None else loaded.condition.size, loaded.model.condition != "none"
    if is_told != (size > 0) or (is_told and (loaded.model.cell == "conv" or loaded.model.task != "generate")):
        raise DataError(f"condition {loaded.model.condition!r} of {size} numbers for cell {loaded.model.cell!r}")
    source_size = 0 if loaded.source_tokenizer is None else loaded.source_tokenizer.vocab_size
    expected = expected_shapes(loaded.model, loaded.tokenizer.vocab_size, len(loaded.labels), size, source_size)
    for name in sorted(expected.keys() | loaded.arrays.keys()):
        found = loaded.arrays.get(name)
        if found is None or name not in expected:
            raise DataError(f"array {name} is {'missing' if found is None else 'not expected'}")
        if found.shape != expected[name] or found.dtype != np.float32:
            raise DataError(f"array {name} is {found.dtype} {found.shape}, the settings say float32 {expected[name]}")
        if not np.isfinite(found).all():
            raise DataError(f"array {name} holds NaN or infinity")
    for name, codes in loaded.gradient_rms.items():
        if codes.shape != expected.get(name) or codes.dtype != np.uint8:
            raise DataError(f"array {RMS_PREFIX}{name} is {codes.dtype} {codes.shape}")
    if loaded.gradient_rms and loaded.gradient_rms.keys() != expected.keys():
        raise DataError("gradient statistics are there for some arrays only")
    return None


def _labels(names: Any) -> tuple[str, ...]:
    """Raises DataError unless they are distinct strings."""
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise DataError("the labels must be a list of names")
    if len(set(names)) != len(names):
        raise DataError("two labels have the same name")
    return tuple(names)


def _check_ngram(arrays: Arrays, order: int) -> None:
    sizes = [1] + [arrays[f"ngram.{n}.parent_token"].size for n in range(1, order + 1)]
    for n in range(order + 1):
        if n:
            keys, suffix = arrays[f"ngram.{n}.parent_token"], arrays[f"ngram.{n}.suffix"]
            sound = keys.dtype == np.int64 and keys.ndim == 1 and bool((np.diff(keys) > 0).all())
            sound = sound and suffix.dtype == np.int64 and suffix.shape == keys.shape
            sound = sound and (not suffix.size or (suffix.min() >= 0 and suffix.max() < sizes[n - 1]))
            sound = sound and arrays[f"ngram.{n}.prob"].shape == keys.shape
            if not sound:
                raise DataError(f"the n-gram table of order {n} is not well formed")
        if n < order and arrays[f"ngram.{n}.gamma"].shape != (sizes[n],):
            raise DataError(f"the n-gram weights of order {n} are not well formed")
