"""Rows of CSV and TSV files, and the choice of columns for every table. Knows cells, not tokens."""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from sonho.config import DataConfig
from sonho.data.characters import MAX_LINE_CHARS, read_lines
from sonho.data.files import display_name
from sonho.data.labels import is_labelled
from sonho.errors import DataError

# Read when no column is named: the first of these that the table has.
USUAL_COLUMNS = ("text", "title", "sentence", "content", "name", "headline", "caption", "lyrics", "message", "smiles")
# The same for labels.
USUAL_LABELS = ("label", "class", "category", "topic", "language", "sentiment", "intent")
# And for pictures.
USUAL_PICTURES = ("image", "picture", "photo", "file", "filename", "file_name", "path", "image_path")

_END = "\ue000 end of the table \ue001"


def read_table(path: Path, config: DataConfig, delimiter: str, *, beside: bool = False) -> Iterator[list[str]]:
    """The chosen cells of each row, in the order of `config.columns`; `beside` puts the rest of a row behind them.

    The first row is the header, unless the columns are given as numbers, counted from 1.
    Raises DataError for an unknown column, a row that is too short, or a quote that never closes.
    """
    rows = _rows(path, config, delimiter)
    line, first = next(rows, (0, None))
    if first is None:
        return
    where = display_name(path)
    named = named_columns(config, first, where, beside, ", or its number (2) if the first row is no header")
    wanted, has_header = find_columns(named, first, where)
    if not has_header:
        rows = chain([(line, first)], rows)
    for line, row in rows:
        if len(row) <= max(wanted):
            raise DataError(
                f"{where}, line {line}: the row has {len(row)} column{'s' * (len(row) != 1)}, "
                f"but column {max(wanted) + 1} is wanted; mend the row or read other columns"
            )
        yield [row[index] for index in wanted]


def find_columns(named: Sequence[str], first: Sequence[str], where: str) -> tuple[list[int], bool]:
    """Positions of the columns, and whether the first row is a header that names them.

    A column is a name, or a number counted from 1 where there is no header; `title|2` is the name where the
    first row has it, in any case, else the number.

    >>> find_columns(["title|2"], ["Class", "Title"], "a.csv"), find_columns(["title|2"], ["4", "Oil falls"], "a.csv")
    (([1], True), ([1], False))
    """
    pairs = [(name, "") if not re.fullmatch(r".+\|\d+", name) else name.rsplit("|", 1) for name in named]
    lowered = [cell.strip().lower() for cell in first]
    if all(number and name.lower() not in lowered for name, number in pairs):
        pairs = [(number, "") for _, number in pairs]
    if all(name.isdecimal() for name, _ in pairs):
        wanted = [int(name) - 1 for name, _ in pairs]
        if min(wanted) < 0:
            raise DataError(f"{where} has no column 0; columns are counted from 1")
        return wanted, False
    spelled = [first[lowered.index(n.lower())] if number and n.lower() in lowered else n for n, number in pairs]
    return [find_column(name, first, where) for name in spelled], True


def find_column(name: str, known: Sequence[str], where: str, setting: str = "column") -> int:
    """Position of a column; DataError names the nearest and all that are known."""
    if name in known:
        return list(known).index(name)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise DataError(f"{where} has no {setting} {name!r}{hint}; it has: {_listed(known)}")


def named_columns(
    config: DataConfig, known: Sequence[str], where: str, beside: bool, advice: str = ""
) -> Sequence[str]:
    """The columns that are read: those of the text, and behind them, where it is wanted, what stands beside it."""
    others = beside_columns(config, known, where) if beside else []
    texts = config.columns or [default_column([name for name in known if name not in others], where, advice)]
    return [*texts, *others]


def beside_columns(config: DataConfig, known: Sequence[str], where: str) -> list[str]:
    """The columns of the label or picture, and of the group, as far as there are any, in this order.

    Where none is named it is the first that is usual. Raises DataError where no column is called so.
    """
    found = []
    if config.pictures:
        found.append(config.picture_column or _usual_column(USUAL_PICTURES, "pictures", "picture_column", known, where))
    elif is_labelled(config):
        found.append(config.label_column or _usual_column(USUAL_LABELS, "labels", "label_column", known, where))
    return found + ([config.group_column] if config.group_column else [])


def _usual_column(usual: Sequence[str], what: str, setting: str, known: Sequence[str], where: str) -> str:
    found = next((name for name in known if name.strip().lower() in usual), None)
    if found is None:
        raise DataError(f"{where} needs a column of {what}; name it with data.{setting}; it has: {_listed(known)}")
    return found


def default_column(known: Sequence[str], where: str, advice: str = "") -> str:
    """The column read when none is named."""
    lowered = [name.strip().lower() for name in known]
    for usual in USUAL_COLUMNS:
        if usual in lowered:
            return known[lowered.index(usual)]
    if len(known) == 1:
        return known[0]
    raise DataError(f"{where} has several columns; name one with data.columns{advice}; it has: {_listed(known)}")


def _rows(path: Path, config: DataConfig, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not empty, each with the number of its last line."""
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_CHARS))
    quoted = delimiter == "," or _uses_quotes(path, config, delimiter)
    ended = False

    def lines() -> Iterator[str]:
        nonlocal ended
        yield from read_lines(path, config)
        ended = True
        yield _END  # swallowed by the last cell if its quote was never closed

    reader = csv.reader(
        lines(), delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, doublequote=True
    )
    start = 1
    try:
        for row in reader:
            if ended:
                if row != [_END]:
                    raise DataError(f"{display_name(path)}: the quote opened at line {start} never closes; close it")
                return
            if row:
                yield reader.line_num, row
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{display_name(path)}, line {start}: {error}; is a quote left open there?") from None


def _uses_quotes(path: Path, config: DataConfig, delimiter: str) -> bool:
    """Whether quotes wrap cells, as spreadsheets export them, or are plain letters, as in most TSV files."""
    budget = 1 << 20  # characters looked at

    def sample() -> Iterator[str]:
        nonlocal budget
        for line in read_lines(path, config):
            yield line
            budget -= len(line)
            if budget < 0:
                return

    try:
        for _ in csv.reader(sample(), delimiter=delimiter, strict=True):
            pass
    except csv.Error as error:
        # A quote still open says something at the end of the file, nothing at the end of the sample.
        return budget < 0 and "end of data" in str(error)
    return True


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name if len(name) <= 40 else name[:39] + "…") for name in names[:12])
    return shown + (f" and {len(names) - 12} more" if len(names) > 12 else "")
