"""Any input as one long text or as separate items, streamed: never a whole file in memory. Knows no tokens."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from sonho.config import DataConfig
from sonho.data.characters import blank, read_characters, read_line_blocks
from sonho.data.files import display_name, expand, format_suffix
from sonho.data.objects import read_jsonl, read_parquet
from sonho.data.tables import read_table
from sonho.errors import DataError, UsageError

__all__ = ["expand", "iter_labelled_blocks", "iter_records", "iter_text"]

CHUNK_CHARS = 1 << 20
ROWS_AT_ONCE = 4096


def iter_text(paths: Sequence[str | Path], config: DataConfig) -> Iterator[str]:
    """The inputs as one long text, in pieces of at most a few million characters.

    Files follow each other, with a newline between where one is missing; the rows of a table
    are lines. Folders, patterns and pipes are allowed wherever a path is.
    """
    last = "\n"
    for file in expand(paths):
        begun = False
        for piece in _text_of(file, config):
            if not begun and last not in "\r\n":
                yield "\n"
            yield piece
            begun, last = True, piece[-1]


def iter_records(paths: Sequence[str | Path], config: DataConfig) -> Iterator[str]:
    """The items of the inputs, a line of text or a row of a table each, without line endings.

    Items that are empty or hold only white space are left out.
    """
    return chain.from_iterable(iter_record_blocks(paths, config))


def iter_record_blocks(paths: Sequence[str | Path], config: DataConfig) -> Iterator[list[str]]:
    """The same items in lists of some thousands: loops over a list are quicker than over a generator."""
    for file in expand(paths):
        rows = _rows_of(file, config)
        if rows is None:
            for lines in read_line_blocks(file, config):
                yield [line.rstrip("\r\n") for line in lines if not line.isspace()]  # each has one ending
        else:
            while block := list(islice(rows, ROWS_AT_ONCE)):
                yield [config.join.join(cells) for cells in block if not blank(cells)]


def iter_labelled_blocks(paths: Sequence[str | Path], config: DataConfig) -> Iterator[tuple[list[str], list[str]]]:
    """The items as in `iter_record_blocks`, and beside them the label of each.

    The label stands in a column of a table; of a plain text it is the file's name without its suffixes.
    Raises DataError for an item without a label.
    """
    names = label_names(config)
    for file in expand(paths):
        rows = _rows_of(file, config, labelled=True)
        if rows is None:
            label = file.name.split(".")[0]
            for lines in read_line_blocks(file, config):
                texts = [line.rstrip("\r\n") for line in lines if not line.isspace()]
                yield texts, [names.get(label, label)] * len(texts)
            continue
        while block := list(islice(rows, ROWS_AT_ONCE)):
            cells = [row for row in block if not blank(row[:-1])]
            texts = [config.join.join(row[:-1]) for row in cells]
            labels = [row[-1].strip() for row in cells]
            if "" in labels:
                shown = texts[labels.index("")][:40]
                raise DataError(f"{display_name(file)}: the row of {shown!r} has no label; give it one or take it out")
            yield texts, [names.get(label, label) for label in labels]


def label_names(config: DataConfig) -> dict[str, str]:
    """What labels are called instead. Raises UsageError for an item that is not OLD=NEW."""
    pairs = [item.partition("=") for item in config.label_names]
    for item, (old, equals, new) in zip(config.label_names, pairs, strict=True):
        if not (old.strip() and equals and new.strip()):
            raise UsageError(f"data.label_names holds {item!r}; write each as OLD=NEW, such as 1=World")
    return {old.strip(): new.strip() for old, _, new in pairs}


def lines_of(text: str) -> list[str]:
    """The items of a text at hand, by the same rules as the lines of a file."""
    return [line.rstrip("\r\n") for line in io.StringIO(text, newline="") if not line.isspace()]


def _text_of(file: Path, config: DataConfig) -> Iterator[str]:
    rows = _rows_of(file, config)
    if rows is None:
        yield from read_characters(file, config)
        return
    lines: list[str] = []
    size = 0
    for cells in rows:
        if not blank(cells):
            lines.append(config.join.join(cells) + "\n")
            size += len(lines[-1])
        if size > CHUNK_CHARS:
            yield "".join(lines)
            lines, size = [], 0
    if lines:
        yield "".join(lines)


def _rows_of(file: Path, config: DataConfig, *, labelled: bool = False) -> Iterator[list[str]] | None:
    """The rows of a table; None for a plain text."""
    suffix = format_suffix(file)
    if suffix in (".csv", ".tsv", ".tab"):
        return read_table(file, config, "," if suffix == ".csv" else "\t", labelled=labelled)
    if suffix in (".jsonl", ".ndjson"):
        return read_jsonl(file, config, labelled=labelled)
    return read_parquet(file, config, labelled=labelled) if suffix == ".parquet" else None
