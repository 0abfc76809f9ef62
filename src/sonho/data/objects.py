"""Fields of JSON lines, and columns of Parquet files. Knows values, not tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sonho.config import DataConfig
from sonho.data.characters import mend, read_lines
from sonho.data.files import display_name
from sonho.data.tables import beside_columns, find_column, named_columns
from sonho.errors import DataError


def read_jsonl(path: Path, config: DataConfig, *, beside: bool = False) -> Iterator[list[str]]:
    """The chosen fields of the object on each line; `a.b` is the field b of the object in the field a.

    `beside` puts the rest of a row behind them.

    null counts as empty text. Raises DataError for a bad line or a missing field.
    """
    texts = config.columns or [config.field]
    for number, line in enumerate(read_lines(path, config), start=1):
        if line.isspace():
            continue
        where = f"{display_name(path)}, line {number}"
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{where}: not JSON: {error.msg} at column {error.colno}") from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: JSON that cannot be read: {error}") from None
        others = beside_columns(config, list(value) if isinstance(value, dict) else [], where) if beside else []
        fields = [*texts, *others]
        yield [mend(_as_text(_lookup(value, field, where), field, where), config, where) for field in fields]


def read_parquet(path: Path, config: DataConfig, *, beside: bool = False) -> Iterator[list[str]]:
    """The chosen columns of each row, a few thousand rows in memory at a time; `beside` adds the rest of a row."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise DataError(f"{display_name(path)} needs the pyarrow package: pip install 'sonho[parquet]'") from None
    where = display_name(path)
    try:
        with parquet.ParquetFile(path, pre_buffer=False) as file:
            known = file.schema_arrow.names
            named = named_columns(config, known, where, beside)
            for name in named:
                find_column(name, known, where)
            row = 0
            for batch in file.iter_batches(batch_size=4096, columns=list(dict.fromkeys(named))):
                columns = [batch.column(name).to_pylist() for name in named]
                for cells in zip(*columns, strict=True):
                    row += 1
                    at = f"{where}, row {row}"
                    yield [mend(_as_text(cell, name, at), config, at) for name, cell in zip(named, cells, strict=True)]
    except (pyarrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{where} cannot be read as Parquet: {reason}") from None


def _lookup(value: Any, field: str, where: str) -> Any:
    """The value of a dotted field; a key that itself holds the dots goes first."""
    if not isinstance(value, dict):
        raise DataError(f"{where}: an object with the field {field!r} is wanted, got {type(value).__name__}")
    if field in value:
        return value[field]
    head, dot, rest = field.partition(".")
    if dot and isinstance(value.get(head), dict):
        return _lookup(value[head], rest, f"{where}, in {head!r}")
    return value[list(value)[find_column(head, list(value), where, setting="field")]]


def _as_text(value: Any, name: str, where: str) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise DataError(f"{where}: {name!r} holds a {type(value).__name__}, not text; read another field or column")
