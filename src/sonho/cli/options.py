"""What several commands share: settings as flags, and the recipe that they lay themselves over."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args

import click

from sonho.config import SECTIONS, Weights, parse_override, read_toml
from sonho.errors import InputNotFoundError, UsageError

F = TypeVar("F", bound=Callable[..., Any])
Layer = dict[str, dict[str, Any]]

# Flags that are short for a setting; help and default come from the setting itself.
FLAGS = {
    "--task": "model.task",
    "--strip": "data.strip",
    "--pooling": "model.pooling",
    "--class-weights": "training.class_weights",
    "--level": "data.level",
    "--kind": "data.kind",
    "--columns": "data.columns",
    "--field": "data.field",
    "--label-column": "data.label_column",
    "--source-column": "data.source_column",
    "--target-column": "data.target_column",
    "--shared-vocab": "data.shared_vocab",
    "--max-words": "data.max_words",
    "--validation-files": "data.validation_files",
    "--attention": "model.attention",
    "--input-feeding": "model.input_feeding",
    "--label-smoothing": "training.label_smoothing",
    "--condition": "model.condition",
    "--vectors": "data.vectors",
    "--errors": "data.errors",
    "--pictures": "data.pictures",
    "--picture-column": "data.picture_column",
    "--picture-size": "data.picture_size",
    "--skip-bad": "data.skip_bad",
    "--group-column": "data.group_column",
    "--speakers": "data.speakers",
    "--max-vocab": "data.max_vocab",
    "--min-count": "data.min_count",
    "--max-length": "data.max_length",
    "--validation": "data.validation",
    "--prior": "model.prior",
    "--test": "data.test",
    "--minutes": "training.minutes",
    "--epochs": "training.epochs",
    "--steps": "training.steps",
    "--seed": "training.seed",
    "--threads": "training.threads",
}


# Those that are given without a value.
SWITCHES = ("--skip-bad",)


def weights_flag(command: F) -> F:
    """--weights, of the commands that run a model."""
    return click.option(
        "--weights",
        type=click.Choice(get_args(Weights)),
        default="float32",
        show_default=True,
        help="int8 is faster for large models, and nearly as good",
    )(command)


def prior_flag(command: F) -> F:
    """--no-prior, of the commands that run a model that may have one."""
    return click.option("--no-prior", is_flag=True, help="the network alone, without its n-gram prior")(command)


SETTING_NAMES = {f"{name}.{f.name}" for name, section in SECTIONS.items() for f in dataclasses.fields(section)}


class GroupedCommand(click.Command):
    """A command whose options stand in the help under headings: `headings` says which begins at which option."""

    headings: ClassVar[dict[str, str]] = {}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        heading = "Options"
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is None:
                continue
            named = {self.headings[name] for name in parameter.opts if name in self.headings}
            heading = "Options" if parameter.opts[-1] == "--help" else (named.pop() if named else heading)
            groups.setdefault(heading, []).append(record)
        for name, records in groups.items():
            with formatter.section(name):
                formatter.write_dl(records)


def setting_flags(*names: str) -> Callable[[F], F]:
    """Add the given flags of FLAGS to a command, as keyword arguments named after the flag."""

    def decorate(function: F) -> F:
        for name in reversed(names):
            section, key = FLAGS[name].split(".")
            described = next(f for f in dataclasses.fields(SECTIONS[section]) if f.name == key)
            help_text = f"{described.metadata['help']} [{FLAGS[name]}]"
            shape: dict[str, Any] = {"metavar": _metavar(str(described.type))}
            if name in SWITCHES:
                shape = {"is_flag": True, "default": None}
            function = click.option(name, help=help_text, **shape)(function)
        return function

    return decorate


def flag_settings(flags: dict[str, Any]) -> Layer:
    """Settings from the flags that were given; commas separate the items of a list."""
    layer: Layer = {}
    for flag, name in FLAGS.items():
        value = flags.get(flag[2:].replace("-", "_"))
        if value is None:
            continue
        section, key, parsed = parse_override(f"{name}={'true' if value is True else value}")
        if isinstance(parsed, list):
            parsed = [part for item in parsed for part in str(item).split(",")]
        layer.setdefault(section, {})[key] = parsed
    return layer


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], Layer]:
    """Tell `section.key=value` from paths. A file that is really called so wins.

    >>> split_arguments(["a.txt", "model.cell=gru"])
    (['a.txt'], {'model': {'cell': 'gru'}})
    """
    paths: list[str] = []
    layer: Layer = {}
    for argument in arguments:
        if re.match(r"[a-z_]+\.[a-z_]+=", argument) and not Path(argument).exists():
            section, key, value = parse_override(argument)
            layer.setdefault(section, {})[key] = value
        elif argument in SETTING_NAMES and not Path(argument).exists():
            raise UsageError(f"{argument!r} has no value; a setting is section.key=value")
        else:
            paths.append(argument)
    return paths, layer


def side_by_side(sources: Sequence[str], targets: Sequence[str]) -> list[str]:
    """Each source and then its target, as pairs are read. Raises UsageError where one is missing.

    >>> side_by_side(["a.de", "b.de"], ["a.en", "b.en"])
    ['a.de', 'a.en', 'b.de', 'b.en']
    """
    if len(sources) != len(targets):
        raise UsageError(f"--source is given {len(sources)} times and --target {len(targets)}; each needs the other")
    return [path for pair in zip(sources, targets, strict=True) for path in pair]


def merge_settings(layers: Sequence[Layer]) -> Layer:
    """Later layers win; a new limit of time replaces the recipe's, whatever its unit."""
    limits = {"minutes", "epochs", "steps"}
    settings: Layer = {}
    for layer in layers:
        for section, values in layer.items():
            old = settings.setdefault(section, {})
            if section == "training" and limits & values.keys():
                for name in limits:
                    old.pop(name, None)
            old.update(values)
    return settings


def recipe_names() -> list[str]:
    from importlib import resources  # here, because `generate` starts without it

    folder = resources.files("sonho") / "recipes"
    return sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".toml"))


def read_recipe(name: str) -> Layer:
    """A recipe that comes with sonho, by name, or a TOML file by path. Raises InputNotFoundError."""
    if name in recipe_names():
        from importlib import resources

        with resources.as_file(resources.files("sonho") / "recipes" / f"{name}.toml") as path:
            return read_toml(path)
    if name.endswith(".toml") or "/" in name:
        return read_toml(Path(name))
    raise InputNotFoundError(f"no recipe {name!r}; known: {', '.join(recipe_names())}, or a .toml file")


def _metavar(kind: str) -> str:
    choices = {
        "ConditionKind": "none|label|vector",
        "Level": "char|byte|word|subword",
        "DataKind": "stream|records|windows",
        "TaskName": "generate|classify|tag|translate|caption",
        "Strip": "accents|case|both",
        "bool": "true|false",
    }
    if kind in choices:
        return choices[kind]
    if kind.startswith("Literal"):
        return "|".join(re.findall(r"['\"]([^'\"]+)['\"]", kind))
    return "NUMBER" if "int" in kind or "float" in kind else "TEXT"
