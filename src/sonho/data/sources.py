"""Any input as one long text or as separate items, streamed: never a whole file in memory. Knows no tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sonho.config import DataConfig
from sonho.data.characters import blank, read_characters, read_lines, strip_ending
from sonho.data.files import expand, format_suffix
from sonho.data.objects import read_jsonl, read_parquet
from sonho.data.tables import read_table

__all__ = ["expand", "iter_records", "iter_text"]

CHUNK_CHARS = 1 << 20


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
    for file in expand(paths):
        rows = _rows_of(file, config)
        if rows is None:
            for line in read_lines(file, config):
                if not line.isspace():
                    yield strip_ending(line)
        else:
            for cells in rows:
                if not blank(cells):
                    yield config.join.join(cells)


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


def _rows_of(file: Path, config: DataConfig) -> Iterator[list[str]] | None:
    """The rows of a table; None for a plain text."""
    suffix = format_suffix(file)
    if suffix in (".csv", ".tsv", ".tab"):
        return read_table(file, config, "," if suffix == ".csv" else "\t")
    if suffix in (".jsonl", ".ndjson"):
        return read_jsonl(file, config)
    return read_parquet(file, config) if suffix == ".parquet" else None
