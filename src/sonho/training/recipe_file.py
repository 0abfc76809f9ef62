"""Writes a recipe: settings as TOML that `sonho train --recipe` takes. Knows values, not what they mean."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from sonho.config import SECTIONS
from sonho.storage.model_file import ModelFile

# The plan chooses these: what it chose for the best trial must not be chosen anew on another day.
PLANNED = {"batch_size", "bptt", "kind"}
# Of the machine and the day, not of the recipe.
PASSING = {"test", "prepare_megabytes", "threads", "checkpoint_every", "checkpoint_seconds", "tensorboard"}


def recipe_sections(trained: ModelFile, settings: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What made a model file: its whole [model], and what is not as usual or was said in `settings`."""
    sections: dict[str, dict[str, Any]] = {"model": dict(vars(trained.model))}
    for name in ("data", "training"):
        usual, said = vars(SECTIONS[name]()), settings.get(name, {})
        sections[name] = {
            key: value
            for key, value in trained.record[name].items()
            if key not in PASSING and (key in PLANNED or key in said or value != usual[key])
        }
    sections["sampling"] = dict(settings.get("sampling", {}))
    return {name: values for name, values in sections.items() if values}


def to_toml(sections: Mapping[str, Mapping[str, Any]], head: Sequence[str]) -> str:
    """Sections under lines of comment, the settings in the order of the reference.

    >>> print(to_toml({"model": {"dropout": 0.5, "cell": "gru", "tied": False}}, ["Mine."]))
    # Mine.
    <BLANKLINE>
    [model]
    cell = "gru"
    tied = false
    dropout = 0.5
    <BLANKLINE>
    """
    lines = [f"# {line}".rstrip() for line in head]
    for name, values in sections.items():
        order = [field.name for field in fields(SECTIONS[name])]
        lines += ["", f"[{name}]"]
        lines += [f"{key} = {_value(values[key])}" for key in sorted(values, key=order.index)]
    return "\n".join([*lines, ""])


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    # JSON writes strings, numbers, true and false as TOML does; only DEL must be escaped as well.
    return json.dumps(value).replace("\x7f", "\\u007f")
