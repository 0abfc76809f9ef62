"""sonho predict"""

from __future__ import annotations

import csv
import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from sonho.cli.options import flag_settings, setting_flags
from sonho.errors import UsageError

if TYPE_CHECKING:
    from sonho.decoding.predictor import Predictor

TEXTS_AT_ONCE = 1024
SHOWN_CHARS = 60


@click.command("predict")
@click.argument("model")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("-t", "--text", "texts", multiple=True, help="a text to label, in place of a file")
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "jsonl", "csv", "text"]),
    help="default: table; of a tagger text, which is the restored text alone",
)
@click.option("--top", type=click.IntRange(min=1), help="show only so many of the likeliest labels; default: all")
@setting_flags("--columns", "--field", "--errors")
def command(
    model: str, files: tuple[str, ...], texts: tuple[str, ...], style: str | None, top: int | None, **flags: Any
) -> None:
    """Label each line or row of FILE (or of standard input) with MODEL, or restore its text with a tagger.

    \b
    sonho predict runs/topics news.txt
    sonho predict runs/topics titles.csv --columns title --format csv > labelled.csv
    echo "Nao ha coracao que nao va" | sonho predict runs/accents
    """
    from sonho.api import predictor

    loaded = predictor(model)
    tagger = loaded.model_file.model.task == "tag"
    style = style or ("text" if tagger else "table")
    if style == "table" and tagger:
        raise UsageError("a tagger restores texts, which need no table; choose --format text, jsonl or csv")
    if style == "text" and not tagger:
        raise UsageError("a classifier gives labels; choose --format table, jsonl or csv")
    if texts and files:
        raise UsageError("give texts with --text or files, not both")
    wanted: Iterable[str] = texts or _read(loaded, files or ("-",), tagger, flag_settings(flags))
    write = {"table": _table, "jsonl": _jsonl, "csv": _csv, "text": _text}[style]
    write(loaded, _found(loaded, wanted), top or len(loaded.labels))


def _read(
    loaded: Predictor, files: tuple[str, ...], tagger: bool, settings: dict[str, dict[str, Any]]
) -> Iterator[str]:
    """The items of the files, by the rules of the training; of a tagger every line, the empty ones too."""
    from sonho.api import stored_data_settings
    from sonho.config import build_config
    from sonho.data.sources import iter_records, iter_text

    config = build_config({"data": stored_data_settings(loaded.model_file)}, settings).data
    if not tagger:
        return iter_records(files, config)
    return _lines(iter_text(files, config))


def _lines(chunks: Iterable[str]) -> Iterator[str]:
    """The lines of a text, each with its end."""
    rest = ""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split("\n")
        yield from (f"{line}\n" for line in whole)
    if rest:
        yield rest


def _found(loaded: Predictor, texts: Iterable[str]) -> Iterator[Any]:
    rest = iter(texts)
    while group := list(itertools.islice(rest, TEXTS_AT_ONCE)):
        yield from loaded.predict(group)


def _table(loaded: Predictor, found: Iterable[Any], top: int) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None)
    for heading, justify in (("label", "left"), ("", "right"), ("text", "left"), ("next", "left")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for one in found:
        others = list(one.probabilities.items())[1 : min(top, 3)]
        beside = ", ".join(f"{label} {100 * share:.0f} %" for label, share in others)
        short = one.text if len(one.text) <= SHOWN_CHARS else one.text[: SHOWN_CHARS - 1] + "…"
        table.add_row(Text(one.label), f"{100 * one.probability:.1f} %", Text(short), Text(beside))
    Console(highlight=False, soft_wrap=True).print(table)


def _jsonl(loaded: Predictor, found: Iterable[Any], top: int) -> None:
    for one in found:
        record = dict(one.__dict__)
        if "probabilities" in record:
            record["probabilities"] = dict(itertools.islice(record["probabilities"].items(), top))
        click.echo(json.dumps(record, ensure_ascii=False))


def _csv(loaded: Predictor, found: Iterable[Any], top: int) -> None:
    """A column for each label, in the order of the labels, as programs want it; `--top` has no say."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if loaded.model_file.model.task == "tag":
        writer.writerow(["text", "restored", "probability"])
        writer.writerows([one.text, one.restored, f"{one.probability:.6f}"] for one in found)
        return
    writer.writerow(["text", "label", "probability", *loaded.labels])
    for one in found:
        shares = [f"{one.probabilities[label]:.6f}" for label in loaded.labels]
        writer.writerow([one.text, one.label, f"{one.probability:.6f}", *shares])


def _text(loaded: Predictor, found: Iterable[Any], top: int) -> None:
    for one in found:
        # Lines of a file keep their own ends; a text of --text gets one.
        click.echo(one.restored, nl=not one.restored.endswith("\n"))
