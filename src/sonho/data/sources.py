"""Any input as one long text or as separate items, streamed: never a whole file in memory. Knows no tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from sonho.config import DataConfig
from sonho.data.characters import blank, read_characters
from sonho.data.dialogue import check_speakers, speaker_lines
from sonho.data.files import display_name, expand, format_suffix
from sonho.data.items import read_item_blocks
from sonho.data.objects import read_jsonl, read_parquet
from sonho.data.sound import SUFFIX as SOUND
from sonho.data.sound import read_sound
from sonho.data.tables import read_table

__all__ = ["expand", "iter_records", "iter_text"]

CHUNK_CHARS = 1 << 20
ROWS_AT_ONCE = 4096


def iter_text(paths: Sequence[str | Path], config: DataConfig) -> Iterator[str]:
    """The inputs as one long text, in pieces of at most a few million characters.

    Files follow each other, with a newline between where one is missing; the rows of a table
    are lines, or one for each of `data.speakers`. Folders, patterns and pipes are allowed wherever a path is.
    """
    check_speakers(config)
    last = "\n"
    for file in expand(paths):
        begun = False
        for piece in _text_of(file, config):
            if not begun and last not in "\r\n":
                yield "\n"
            yield piece
            begun, last = True, piece[-1]


def iter_records(paths: Sequence[str | Path], config: DataConfig) -> Iterator[str]:
    """The items of the inputs without line endings: a line or paragraph of text, a row of a table, a sound each.

    Items that are empty or hold only white space are left out.
    """
    return chain.from_iterable(iter_record_blocks(paths, config))


def iter_record_blocks(paths: Sequence[str | Path], config: DataConfig) -> Iterator[list[str]]:
    """The same items in lists of some thousands: loops over a list are quicker than over a generator."""
    check_speakers(config)
    for file in expand(paths):
        rows = _rows_of(file, config)
        if rows is None:
            yield from read_item_blocks(file, config)
        else:
            while block := list(islice(rows, ROWS_AT_ONCE)):
                yield [config.join.join(cells) for cells in block if not blank(cells)]


def _text_of(file: Path, config: DataConfig) -> Iterator[str]:
    if format_suffix(file) == SOUND:
        yield read_sound(file)
        return
    rows = _rows_of(file, config)
    if rows is None:
        yield from read_characters(file, config)
        return
    lines: list[str] = []
    size = 0
    for cells in rows:
        if not blank(cells):
            lines.append(_text_of_row(cells, file, config))
            size += len(lines[-1])
        if size > CHUNK_CHARS:
            yield "".join(lines)
            lines, size = [], 0
    if lines:
        yield "".join(lines)


def _text_of_row(cells: Sequence[str], file: Path, config: DataConfig) -> str:
    return speaker_lines(cells, config, display_name(file)) if config.speakers else config.join.join(cells) + "\n"


def _rows_of(file: Path, config: DataConfig) -> Iterator[list[str]] | None:
    """The rows of a table, of which a sound is one with a single cell; None for a plain text."""
    suffix = format_suffix(file)
    if suffix == SOUND:
        return iter([[read_sound(file)]])
    if suffix in (".csv", ".tsv", ".tab"):
        return read_table(file, config, "," if suffix == ".csv" else "\t")
    if suffix in (".jsonl", ".ndjson"):
        return read_jsonl(file, config)
    return read_parquet(file, config) if suffix == ".parquet" else None
