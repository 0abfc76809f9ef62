"""Every setting of a run: its name, its default, its help and its bounds, written once.

The command-line flags, the recipes (TOML) and the reference page are read from
these dataclasses. They are plain, so that loading a model stays quick; pydantic
is imported only when a person's settings are checked.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from sonho.errors import DataError, InputNotFoundError, UsageError

if TYPE_CHECKING:
    from annotated_types import Ge, Gt, Le, Lt

Cell = Literal["lstm", "gru", "rnn", "conv", "ngram"]
Level = Literal["char", "byte", "word", "subword"]
DataKind = Literal["stream", "records", "windows"]
UnknownPolicy = Literal["skip", "nearest", "error"]
# The shape of what is learned: text from text, a label a record, a label a token, a text for each text or picture.
TaskName = Literal["generate", "classify", "tag", "translate", "caption"]
OF_LABELS = ("classify", "tag")
Strip = Literal["none", "accents", "case", "both"]
# What a running model multiplies with: the weights as they are, or 8 bits of each.
Weights = Literal["float32", "int8"]
ConditionKind = Literal["none", "label", "vector"]


def _help(default: Any, text: str) -> Any:
    """A dataclass field with a default and the sentence that documents it."""
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"help": text})
    return field(default=default, metadata={"help": text})


@dataclass
class ModelConfig:
    """The network. Stored in the model file; with the vocabulary it fixes every array's shape."""

    task: TaskName = _help(
        "generate", "generate text, classify records, tag each token, translate, or caption pictures"
    )
    cell: Cell = _help("lstm", "the layer: lstm, gru, rnn, conv (dilated causal convolution) or ngram")
    hidden_size: Annotated[int, Ge(1), Le(16384)] = _help(256, "units in each layer (H)")
    num_layers: Annotated[int, Ge(1), Le(64)] = _help(1, "layers on top of each other")
    embedding_dim: Annotated[int, Ge(0), Le(16384)] = _help(0, "size of the symbol vectors; 0 = one-hot input")
    tied: bool = _help(
        False, "the output layer uses the embedding's weights (generate: needs embedding_dim = hidden_size)"
    )
    nonlinearity: Literal["tanh", "relu"] = _help("tanh", "of the plain rnn cell")
    kernel_size: Annotated[int, Ge(1), Le(64)] = _help(3, "of the conv cell: inputs seen by each layer")
    layer_norm: bool = _help(False, "normalise the output of every layer")
    dropout: Annotated[float, Ge(0), Lt(1)] = _help(0.0, "share dropped between layers and before the output")
    dropout_input: Annotated[float, Ge(0), Lt(1)] = _help(0.0, "share dropped of the input vectors")
    dropout_kind: Literal["standard", "locked"] = _help(
        "locked", "locked draws one mask for the whole window, standard a new one at every position"
    )
    weight_drop: Annotated[float, Ge(0), Lt(1)] = _help(0.0, "share of hidden-to-hidden weights dropped a window")
    condition: ConditionKind = _help(
        "none", "what a text is made from, beside its beginning: a label or a vector a record"
    )
    condition_into: Literal["state", "input", "both"] = _help(
        "both", "the condition makes the first state of every layer, or is an input of the first layer at each step"
    )
    bidirectional: bool = _help(
        False, "classify, tag, translate: read forwards and backwards; on unless given, but for --init"
    )
    pooling: Literal["last", "mean", "max", "attention"] = _help(
        "max", "classify: what is made of the outputs at all tokens of a record"
    )
    dropout_tokens: Annotated[float, Ge(0), Lt(1)] = _help(
        0.0, "classify, tag, translate: share of tokens hidden while learning, of a translation those read"
    )
    attention: Literal["multiplicative", "additive", "none"] = _help(
        "multiplicative",
        "translate, caption: how a place is scored, by a product or by a layer of its own; caption, none: the picture "
        "makes the first state and is looked at no more",
    )
    input_feeding: bool = _help(
        False,
        "translate: what was looked at last is an input of the next step; slower, as steps then wait for each other",
    )
    picture_channels: Annotated[int, Ge(1), Le(1024)] = _help(
        32, "caption: features after the first convolution; each block doubles them"
    )
    picture_blocks: Annotated[int, Ge(0), Le(8)] = _help(
        2, "caption: residual blocks of two convolutions; each halves the picture, as the first convolution does"
    )
    order: Annotated[int, Ge(1), Le(16)] = _help(6, "of the ngram cell: symbols looked at, the predicted one included")
    prior: Literal["none", "ngram"] = _help(
        "none", "ngram counts the text as well and lets both predict; the counts stand in the model file"
    )
    prior_order: Annotated[int, Ge(1), Le(16)] = _help(7, "of the prior: symbols looked at, the predicted one included")


@dataclass
class DataConfig:
    """What is read, how it is cut into tokens and how the tokens are laid out for training."""

    level: Level = _help("char", "what a token is: char, byte, word or subword")
    kind: DataKind = _help(
        "stream", "stream: one long text; records: a line or row is an item; windows: overlapping pieces"
    )
    columns: list[str] = _help([], "of CSV, TSV or Parquet: columns to read, joined in this order")
    join: str = _help(" ", "put between joined columns")
    field: str = _help("text", "of JSONL: the field that holds the text")
    item: Literal["auto", "line", "paragraph"] = _help(
        "auto", "records of a plain text: a line, or a paragraph up to a blank line; auto = paragraph for .abc"
    )
    speakers: list[str] = _help([], "of a table with a column for each of them: rows become lines such as A: Hello")
    labelled: bool = _help(False, "records: each has a label; where there is no label_column, its file's name")
    label_column: str = _help("", "of CSV, TSV, Parquet, JSONL: the column or field of the label (implies labelled)")
    strip: Strip = _help("none", "tag: what is taken from the text, for the model to restore")
    pairs: bool = _help(False, "records: each is a text and its translation; translate implies it")
    source_column: str = _help("", "translate, of a table: the column, field or number of the text to translate")
    target_column: str = _help("", "translate, of a table: the column, field or number of its translation")
    max_words: Annotated[int, Ge(0)] = _help(0, "translate: leave out pairs of which a side has more words; 0 = none")
    shared_vocab: bool = _help(False, "translate: one vocabulary, and one table of vectors, for both languages")
    label_names: list[str] = _help([], "names for labels, each as OLD=NEW, such as 1=World")
    label_separator: str = _help("", "between the labels of one record, such as ; where model.condition=label")
    vectors: str = _help("", "a .npy file with a row of numbers for each record, for model.condition=vector")
    pictures: str = _help("", "caption: the folder or .tar that holds the pictures; default: the table's folder")
    picture_column: str = _help("", "caption: the column of the picture's path; default: image, picture, file, ...")
    picture_size: str = _help("64x64", "caption: pictures are resized to so many pixels, width x height")
    picture_shift: Annotated[float, Ge(0), Lt(0.5)] = _help(
        0.05, "caption: while learning, pictures move by up to this share of their size, another way each time"
    )
    picture_flip: bool = _help(
        False, "caption: while learning, mirror half of the pictures; where captions say nothing of left and right"
    )
    skip_bad: bool = _help(False, "caption: leave out pictures that cannot be read, and say which; else they stop")
    group_column: str = _help("", "records: rows with the same value here stay in the same part of the split")
    errors: Literal["strict", "replace", "skip"] = _help(
        "strict", "bytes that are not UTF-8: strict stops, replace writes U+FFFD, skip leaves them out"
    )
    max_vocab: Annotated[int, Ge(0)] = _help(
        0, "most tokens in the vocabulary; 0 = all (word: 30000, subword: 2000); the rest becomes <unk>"
    )
    min_count: Annotated[int, Ge(1)] = _help(1, "tokens seen fewer times become <unk>")
    normalize: Literal["none", "NFC", "NFKC"] = _help("none", "Unicode normalisation before tokenising")
    lowercase: bool = _help(False, "lower-case the text before tokenising")
    newlines: Literal["keep", "fold"] = _help("fold", "fold turns CRLF and CR into LF")
    validation: Annotated[float, Ge(0), Lt(1)] = _help(
        0.1, "share held out: the tail of a stream, a seeded choice of records"
    )
    validation_files: list[str] = _help([], "files to validate on, in place of a share; read as the others are")
    test: str = _help("", "a file, or a share such as 0.1, that training never reads; scored once at the end")
    batch_size: Annotated[int, Ge(1), Le(65536)] = _help(64, "texts learned from side by side (N)")
    bptt: Annotated[int, Ge(1), Le(65536)] = _help(64, "steps through which gradients flow (T)")
    max_length: Annotated[int, Ge(0)] = _help(0, "records: longer ones are cut to this many tokens; 0 = 1000")
    num_chars: Annotated[int, Ge(0)] = _help(0, "records: cut each into pieces of this many tokens; 0 = whole")
    objective: Literal["all", "last"] = _help(
        "all", "all predicts every position; last only the one after each window (implies kind=windows)"
    )
    window: Annotated[int, Ge(1), Le(65536)] = _help(60, "windows: tokens seen before the predicted one")
    stride: Annotated[int, Ge(1)] = _help(3, "windows: distance between starts")
    sample_megabytes: Annotated[float, Ge(0)] = _help(
        0.0,
        "of a longer input (plain text, JSON lines) learn from pieces spread evenly over it, so many megabytes "
        "together; 0 = all; unless given, by the clock what there is time for",
    )
    prepare_megabytes: Annotated[float, Ge(0)] = _help(
        64.0, "inputs larger than this are tokenised into memory-mapped shards first"
    )


@dataclass
class TrainingConfig:
    """How the weights are learned and for how long."""

    optimizer: Literal["muon", "adamw", "rmsprop", "sgd"] = _help(
        "muon", "muon for the layers' matrices with adamw for the rest, or one for all"
    )
    learning_rate: Annotated[float, Ge(0)] = _help(0.0, "peak rate; 0 = muon 0.02, adamw 0.004, rmsprop 0.002, sgd 1.0")
    momentum: Annotated[float, Ge(0), Lt(1)] = _help(0.95, "of muon and sgd")
    weight_decay: Annotated[float, Ge(0)] = _help(0.1, "of muon and adamw: decay of the matrices, times the rate")
    schedule: Literal["linear", "cosine", "constant"] = _help("linear", "how the rate falls after the warm-up")
    warmup: Annotated[float, Ge(0), Lt(1)] = _help(0.02, "share of the run in which the rate rises from 0")
    clip_norm: Annotated[float, Ge(0)] = _help(1.0, "gradients are scaled down to this global norm; 0 = never")
    ema: Annotated[float, Ge(0), Lt(1)] = _help(0.995, "decay of the averaged weights that are kept; 0 = none")
    precision: Literal["auto", "float32", "bfloat16"] = _help(
        "auto", "language models: of what the kernels multiply; auto = bfloat16 where the processor has products of it"
    )
    class_weights: Literal["none", "balanced"] = _help(
        "none", "classify: balanced counts each label alike, however rare, and keeps the best macro F1"
    )
    softmax_samples: Annotated[int, Ge(0)] = _help(
        0, "language models: a step's softmax is over its own words and so many others, weighted; 0 = all words"
    )
    label_smoothing: Annotated[float, Ge(0), Lt(1)] = _help(
        0.0, "classify, tag, translate, caption: share of each target spread evenly"
    )
    scheduled_sampling: Annotated[float, Ge(0), Lt(1)] = _help(
        0.0, "translate: share of the tokens read that are the model's own, not the true ones"
    )
    patience: Annotated[int, Ge(0)] = _help(
        0, "stop after this many validations without a better one; 0 = never, the best is kept anyway"
    )
    minutes: Annotated[float, Ge(0)] = _help(0.0, "train this long by the clock; 0 = by epochs or steps")
    epochs: Annotated[float, Ge(0)] = _help(0.0, "passes over the training part; 0 = by minutes or steps")
    steps: Annotated[int, Ge(0)] = _help(0, "optimiser steps; 0 = by minutes or epochs")
    seed: Annotated[int, Ge(0), Lt(2**63)] = _help(0, "of the weights, the dropout, the split and the order")
    validate_every: Annotated[int, Ge(0)] = _help(0, "steps between validations; 0 = chosen from the run")
    sample_every: Annotated[int, Ge(0)] = _help(0, "steps between samples; 0 = each epoch and validation")
    log_every: Annotated[int, Ge(1)] = _help(10, "steps between lines of metrics.jsonl")
    checkpoint_every: Annotated[int, Ge(0)] = _help(0, "steps between checkpoints; 0 = by checkpoint_seconds")
    checkpoint_seconds: Annotated[float, Gt(0)] = _help(30.0, "seconds between checkpoints")
    threads: Annotated[int, Ge(0), Le(1024)] = _help(0, "processor threads; 0 = all")
    networks: Annotated[int, Ge(0), Le(16)] = _help(
        0, "networks that learn one after the other, as long each, and whose mean is the model; 0 = chosen from the run"
    )
    learn_end: bool = _help(
        True,
        "by the clock: at last learn the held-out part too, in further networks where there is time to spare (the mean"
        " of them is the model), else the end of a stream where its first half helps with its second",
    )
    tensorboard: bool = _help(False, "write TensorBoard files beside metrics.jsonl")


@dataclass
class SamplingConfig:
    """How text is drawn: the samples shown while learning, and the defaults kept for `generate`."""

    prompts: list[str] = _help([""], "what samples start with")
    temperatures: list[Annotated[float, Ge(0)]] = _help([0.8], "a sample of each prompt at each")
    max_tokens: Annotated[int, Ge(1)] = _help(200, "longest sample")
    top_k: Annotated[int, Ge(0)] = _help(0, "draw from the k most likely; 0 = all")
    top_p: Annotated[float, Gt(0), Le(1)] = _help(1.0, "draw from the likeliest that hold this share")
    min_p: Annotated[float, Ge(0), Lt(1)] = _help(0.0, "leave out those below this share of the likeliest")
    repetition_penalty: Annotated[float, Gt(0)] = _help(1.0, "above 1 discourages symbols already there")
    gallery_prompts: list[str] = _help([], "after training, texts from each of these at each gallery temperature")
    gallery_temperatures: list[Annotated[float, Ge(0)]] = _help([0.5, 0.8, 1.0], "of the gallery")
    gallery_tokens: Annotated[int, Ge(1)] = _help(300, "longest text of the gallery")


@dataclass
class Config:
    """A whole run: four sections, as in a recipe."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)


SECTIONS: dict[str, type] = {
    "model": ModelConfig,
    "data": DataConfig,
    "training": TrainingConfig,
    "sampling": SamplingConfig,
}


def build_config(*layers: Mapping[str, Mapping[str, Any]]) -> Config:
    """Lay settings over the defaults, later layers winning, and check them.

    >>> build_config({"model": {"cell": "gru"}}, {"model": {"hidden_size": 64}}).model.hidden_size
    64

    Raises UsageError for an unknown section or key (naming the nearest) or a value out of bounds.
    """
    merged: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for layer in layers:
        for section, values in layer.items():
            _check_section(section, values)
            for key, value in values.items():
                check_key(section, key)
                merged[section][key] = value
    return Config(**{name: _validated(name, merged[name]) for name in SECTIONS})


def _check_section(name: str, values: Any) -> None:
    if name not in SECTIONS:
        raise UsageError(f"unknown section {name!r}{_nearest(name, SECTIONS)}")
    if not isinstance(values, Mapping):
        raise UsageError(f"{name!r} must be a table of settings, got {values!r}")


def check_key(section: str, key: str) -> None:
    """Raise UsageError, naming the nearest setting, unless `section.key` exists."""
    known = [f.name for f in dataclasses.fields(SECTIONS[section])]
    if key not in known:
        everywhere = [f"{s}.{f.name}" for s, cls in SECTIONS.items() for f in dataclasses.fields(cls)]
        elsewhere = [name for name in everywhere if name.split(".")[1] == key]
        hint = f"; did you mean {elsewhere[0]!r}?" if elsewhere else _nearest(f"{section}.{key}", everywhere)
        raise UsageError(f"unknown setting '{section}.{key}'{hint}")


def _validated(section: str, values: Mapping[str, Any]) -> Any:
    # pydantic looks the names of the bounds up here, where it is called.
    from annotated_types import Ge, Gt, Le, Lt  # noqa: F401
    from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

    cls = with_config(ConfigDict(extra="forbid", allow_inf_nan=False))(SECTIONS[section])
    try:
        return TypeAdapter(cls).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in (section, *first["loc"]))
        message = f"{first['msg'][:1].lower()}{first['msg'][1:]}"
        raise UsageError(f"{name} = {first['input']!r}: {message}") from None


def parse_override(text: str) -> tuple[str, str, Any]:
    """Split `section.key=value`; the value is read as TOML where it is TOML, else as a string.

    >>> parse_override("model.hidden_size=128")
    ('model', 'hidden_size', 128)
    >>> parse_override("sampling.prompts=Today ")
    ('sampling', 'prompts', ['Today '])
    """
    name, equals, raw = text.partition("=")
    section, dot, key = name.partition(".")
    if not (equals and dot) or section not in SECTIONS:
        raise UsageError(f"{text!r} is not section.key=value; sections are {', '.join(SECTIONS)}")
    check_key(section, key)
    import tomllib  # here, because generating starts without it

    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw
    kind = next(str(f.type) for f in dataclasses.fields(SECTIONS[section]) if f.name == key)
    if kind == "str" and not isinstance(value, str):
        value = raw  # data.test=0.1 is a share written as text
    if kind.startswith("list") and not isinstance(value, list):
        value = [value]
    return section, key, value


def read_toml(path: Path) -> dict[str, dict[str, Any]]:
    """Read a recipe. Raises InputNotFoundError, DataError or, for what is not a section, UsageError."""
    import tomllib

    try:
        sections = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputNotFoundError(f"no such recipe: {path}") from None
    except OSError as error:
        raise InputNotFoundError(f"cannot read the recipe {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not valid TOML: {error}") from None
    for name, values in sections.items():
        _check_section(name, values)
    return sections


def to_dict(config: Any) -> dict[str, Any]:
    """A config dataclass as plain values, ready for JSON."""
    return dataclasses.asdict(config)


def from_stored(cls: type, values: Mapping[str, Any]) -> Any:
    """Rebuild a section from a model file: unknown keys are refused, types are checked, no pydantic.

    Raises DataError. Bounds need no second look: the shapes of the stored arrays are compared.
    """
    if not isinstance(values, Mapping):
        raise DataError(f"{cls.__name__} must be a table of settings, got {type(values).__name__}")
    known = {f.name: f for f in dataclasses.fields(cls)}
    for key, value in values.items():
        if key not in known:
            raise DataError(f"unknown setting {key!r}; the file was made by another version of sonho")
        default = cls().__dict__[key]
        fits = isinstance(value, int | float) if isinstance(default, float) else type(value) is type(default)
        if not fits or (isinstance(value, bool) and not isinstance(default, bool)):
            raise DataError(f"setting {key!r} has the value {value!r}, expected {type(default).__name__}")
    return cls(**values)


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}" if len(names) < 20 else ""
