"""A model that is ready to serve: its stepper, what its tokens read, what the list of models says of it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from sonho.config import Weights
from sonho.decoding.network import NetworkStepper
from sonho.decoding.stepper import build_stepper
from sonho.errors import UsageError
from sonho.serving.problems import bad_request
from sonho.serving.schemas import ConditionRequest
from sonho.storage.condition import Rows, told_row
from sonho.storage.model_file import MODEL_FILE_NAME, ModelFile, count_parameters, find_model_file, load_model_file
from sonho.text import masked_ids

REPLACEMENT = "\ufffd"


class ServedModel:
    """Nothing in it changes once it is made, so threads may share it."""

    def __init__(self, name: str, model_file: ModelFile, *, weights: Weights = "float32") -> None:
        self.name, self.file, self.tokenizer = name, model_file, model_file.tokenizer
        self.stepper = build_stepper(model_file, weights=weights)
        self.created = int(time.time())
        self._units: dict[int, NetworkStepper] = {}

    @cached_property
    def token_strings(self) -> list[str]:
        """What each token reads; one that is no whole character is written `bytes:` and its bytes in escapes."""
        tokenizer = self.tokenizer
        special = {tokenizer.pad_id, tokenizer.eos_id, tokenizer.unk_id}
        strings = []
        for id in range(tokenizer.vocab_size):
            text = tokenizer.token_text(id) if id in special else tokenizer.decode([id])
            strings.append(f"bytes:{tokenizer.token_text(id)}" if REPLACEMENT in text and id not in special else text)
        return strings

    def card(self) -> dict[str, Any]:
        """The entry in the list of models."""
        config, record = self.file.model, self.file.record
        is_ngram = config.cell == "ngram"
        bits = record.get("test_bits_per_char", record.get("validation_bits_per_char"))
        return {
            "id": self.name,
            "object": "model",
            "created": self.created,
            "owned_by": "sonho",
            "sonho": {
                "cell": config.cell,
                "hidden_size": 0 if is_ngram else config.hidden_size,
                "num_layers": 0 if is_ngram else config.num_layers,
                "vocab_size": self.tokenizer.vocab_size,
                "parameters": count_parameters(self.file),
                "data_kind": self.file.data_kind,
                "tokenizer": self.tokenizer.level,
                "bits_per_char": float(bits) if isinstance(bits, int | float) else None,
                "condition": config.condition,
                "labels": [] if self.file.condition is None else list(self.file.condition.labels),
            },
        }

    def told(self, request: ConditionRequest) -> Rows | None:
        """The row (1, F) of the label or vector of a request, None where there is none. Raises Problem."""
        try:
            strength = 1.0 if request.strength is None else request.strength
            return told_row(self.file.condition, request.label, request.vector, strength)
        except UsageError as error:
            raise bad_request(str(error), "label" if request.label is not None else "vector") from None

    def units_of(self, layer: int) -> NetworkStepper:
        """A network whose `hidden` is what `layer` gives out. Raises UsageError for an n-gram model."""
        if self.file.model.cell == "ngram":
            raise UsageError("an n-gram model has no hidden units to show")
        if layer not in self._units:
            below = dataclasses.replace(self.file.model, num_layers=layer + 1)
            masked = masked_ids(self.tokenizer, self.file.data_kind)
            self._units[layer] = NetworkStepper(below, self.file.arrays, masked)
        return self._units[layer]


def named_paths(models: Sequence[str], named: Sequence[str]) -> dict[str, Path]:
    """Name -> model file, in the order given. Raises UsageError or InputNotFoundError.

    `models` are paths, named after their file or run folder; `named` are NAME=PATH.
    """
    pairs = [(_name_of(Path(path)), Path(path)) for path in models]
    for given in models:
        if "=" in given and not Path(given).exists():
            raise UsageError(f"no such model: {given}; a name is given with --model {given}")
    for item in named:
        name, _, place = item.partition("=")
        if not (name and place):
            raise UsageError(f"--model {item!r} is not NAME=PATH")
        pairs.append((name, Path(place)))
    if not pairs:
        raise UsageError("no model to serve; give a run folder or a model file")
    paths: dict[str, Path] = {}
    for name, path in pairs:
        if not name.isprintable() or "/" in name:
            raise UsageError(f"{name!r} cannot be the name of a model; give another with --model NAME={path}")
        if name in paths:
            raise UsageError(f"two models are called {name!r}; name one of them with --model NAME={path}")
        paths[name] = find_model_file(path)
    return paths


def load_models(paths: dict[str, Path], weights: Weights) -> dict[str, ServedModel]:
    """Name -> model. Raises what `load_model_file` raises."""
    return {name: ServedModel(name, load_model_file(path), weights=weights) for name, path in paths.items()}


def _name_of(path: Path) -> str:
    resolved = path.resolve()
    return resolved.parent.name if resolved.name == MODEL_FILE_NAME else resolved.name.removesuffix(".safetensors")
