"""Any input as one long text or as separate items, streamed: never a whole file in memory. Knows no tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from sonho.config import DataConfig
from sonho.data.characters import blank, read_characters
from sonho.data.dialogue import check_speakers, speaker_lines
from sonho.data.files import JSON_LINES, display_name, expand, format_suffix
from sonho.data.items import read_item_blocks
from sonho.data.labels import is_labelled
from sonho.data.objects import read_jsonl, read_parquet
from sonho.data.sound import SUFFIX as SOUND
from sonho.data.sound import read_sound
from sonho.data.tables import read_table
from sonho.errors import DataError, UsageError

__all__ = ["Block", "expand", "iter_blocks", "iter_records", "iter_text"]

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


class Block(NamedTuple):
    """Some thousands of items, with what stands beside them; a list that nothing stands in is empty.

    Items of one group share a side of the split. `names`: of each item the label or the picture.
    """

    texts: list[str]
    names: list[str]
    groups: list[str]


def iter_blocks(paths: Sequence[str | Path], config: DataConfig) -> Iterator[Block]:
    """The items as in `iter_record_blocks`, with what the settings say that stands beside them.

    A label or a picture stands in a column of a table, and so does the group, which is the picture where no column is
    named; the label of a plain text is its file's name without suffixes. Raises DataError for an item without one.
    """
    check_speakers(config)
    names, labelled = label_names(config), is_labelled(config)
    for file in expand(paths):
        rows = _rows_of(file, config, beside=True)
        if (config.pictures or config.group_column) and (rows is None or format_suffix(file) == SOUND):
            wanted = "pictures" if config.pictures else "groups"
            raise DataError(f"{display_name(file)} is no table, which {wanted} need: give a .csv, .tsv or .jsonl file")
        if rows is not None:
            yield from _blocks_of_rows(rows, file, config, names)
            continue
        label = _label_of(file)
        for texts in read_item_blocks(file, config):
            yield Block(texts, [names.get(label, label)] * len(texts) if labelled else [], [])


def _blocks_of_rows(
    rows: Iterator[list[str]], file: Path, config: DataConfig, renamed: dict[str, str]
) -> Iterator[Block]:
    grouped, kind = bool(config.group_column), "picture" if config.pictures else "label"
    named = bool(config.pictures) or is_labelled(config)
    width = grouped + named
    while block := list(islice(rows, ROWS_AT_ONCE)):
        cells = [row for row in block if not blank(row[: len(row) - width])]
        texts = [config.join.join(row[: len(row) - width]) for row in cells]
        names = [row[-width].strip() for row in cells] if named else []
        groups = [row[-1].strip() or text for row, text in zip(cells, texts, strict=True)] if grouped else []
        if "" in names:
            shown = texts[names.index("")][:40]
            raise DataError(f"{display_name(file)}: the row of {shown!r} has no {kind}; give it one or take it out")
        if config.pictures:
            yield Block(texts, names, groups or names)
        else:
            yield Block(texts, [renamed.get(name, name) for name in names], groups)


def label_names(config: DataConfig) -> dict[str, str]:
    """What labels are called instead. Raises UsageError for an item that is not OLD=NEW."""
    pairs = [item.partition("=") for item in config.label_names]
    for item, (old, equals, new) in zip(config.label_names, pairs, strict=True):
        if not (old.strip() and equals and new.strip()):
            raise UsageError(f"data.label_names holds {item!r}; write each as OLD=NEW, such as 1=World")
    return {old.strip(): new.strip() for old, _, new in pairs}


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


def _label_of(file: Path) -> str:
    """The label of all that is in a file without columns: its name without suffixes."""
    return file.name.split(".")[0]


def _rows_of(file: Path, config: DataConfig, *, beside: bool = False) -> Iterator[list[str]] | None:
    """The rows of a table, of which a sound is one with a single cell; None for a plain text."""
    suffix = format_suffix(file)
    if suffix == SOUND:
        return iter([[read_sound(file), *([_label_of(file)] if beside and is_labelled(config) else [])]])
    if suffix in (".csv", ".tsv", ".tab"):
        return read_table(file, config, "," if suffix == ".csv" else "\t", beside=beside)
    if suffix in JSON_LINES:
        return read_jsonl(file, config, beside=beside)
    return read_parquet(file, config, beside=beside) if suffix == ".parquet" else None
