"""Pieces spread evenly over texts that are too long to be read whole. Knows files and bytes, not characters."""

from __future__ import annotations

import codecs
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from sonho.config import DataConfig
from sonho.data.files import (
    COMPRESSED,
    JSON_LINES,
    display_name,
    format_suffix,
    input_bytes,
    name_copy,
    scratch_folder,
)
from sonho.data.items import item_of
from sonho.data.sound import SUFFIX as SOUND
from sonho.data.splits import data_kind
from sonho.errors import DataError, StorageError

# So many pieces tell what is in a text, and one of so many bytes is long beside what its two ends lose.
MOST_PIECES, LEAST_PIECE_BYTES = 256, 1 << 16
# Formats of which a piece means nothing without the rest, or where a line may be half a row.
WHOLE = (".csv", ".tsv", ".tab", ".parquet", SOUND)
MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
LINE_END, PARAGRAPH_END = re.compile(rb"\r\n|\n|\r"), re.compile(rb"\n[ \t\r]*\n")
LONG_LINE = 1 << 14  # bytes in which the end of a line is looked for


def can_be_sampled(file: Path) -> bool:
    """Whether a file is plain text or JSON lines in UTF-8, so that it can be cut at any line."""
    if format_suffix(file) in WHOLE or file.suffix.lower() in COMPRESSED:
        return False
    try:
        with file.open("rb") as opened:
            return not opened.read(4).startswith(MARKS)
    except OSError as error:
        raise DataError(f"cannot read {display_name(file)}: {error.strerror}") from None


def sampled_bytes(files: Sequence[Path], config: DataConfig) -> int:
    """Size of what is read of the inputs as text: all of it, or the sample of the settings."""
    size, most = input_bytes(files), round(config.sample_megabytes * 1e6)
    return min(size, most) if most else size


def spread_sample(files: Sequence[Path], config: DataConfig) -> tuple[list[Path], str]:
    """Files with `data.sample_megabytes` of the inputs, and a line that says so; the inputs where they are no longer.

    The pieces are of equal length, from the inputs' first byte to their last, but for their ends: each has the lines
    that begin in it, or the paragraphs where these are the items, or, of a text whose lines are long, the words.
    Files that no piece meets are left out. The same files and settings give the same sample.

    Raises DataError for an input that cannot be cut, StorageError if the disk refuses the copies.
    """
    if not config.sample_megabytes:
        return list(files), ""
    total, wanted = input_bytes(files), sampled_bytes(files, config)
    if wanted == total:
        return list(files), ""
    if whole := [file for file in files if not can_be_sampled(file)]:
        raise DataError(
            f"{display_name(whole[0])} can only be read whole: data.sample_megabytes is for plain text and JSON lines "
            "in UTF-8; leave it out"
        )
    spans = spread_spans(total, wanted)
    folder, sample, first = scratch_folder(), list[Path](), 0
    for number, file in enumerate(files):
        size = file.stat().st_size
        # A span may go on into the next file: each has its part of it.
        ended = bisect_right(spans, first, key=lambda span: span[1])
        begun = bisect_left(spans, first + size, key=lambda span: span[0])
        own = [(max(begin - first, 0), min(end - first, size)) for begin, end in spans[ended:begun]]
        first += size
        if own == [(0, size)]:
            sample.append(file)
        elif own:
            sample.append(_copy(file, size, own, folder / str(number), config))
    read = input_bytes(sample)
    return sample, f"sample: {len(spans)} pieces spread over the input, {read / 1e6:,.1f} of {total / 1e6:,.1f} MB"


def spread_spans(total: int, wanted: int) -> list[tuple[int, int]]:
    """Begin and end of pieces of equal length, the first at 0 and the last up to `total`; `wanted` bytes at most.

    >>> spread_spans(1_000_000, 262_144)
    [(0, 65536), (311488, 377024), (622976, 688512), (934464, 1000000)]
    """
    length = min(max(wanted // MOST_PIECES, LEAST_PIECE_BYTES), wanted)
    count = wanted // length
    begins = [(total - length) * number // max(count - 1, 1) for number in range(count)]
    return [(begin, begin + length) for begin in begins]


def _copy(file: Path, size: int, spans: Sequence[tuple[int, int]], folder: Path, config: DataConfig) -> Path:
    """The pieces of a file, one after the other, in a file of the same name: a name can be a label."""
    copy = folder / file.name
    try:
        folder.mkdir()
        with copy.open("wb") as target:
            for piece in _pieces(file, size, spans, config):
                target.write(piece)
    except OSError as error:
        what = f"cannot copy pieces of {display_name(file)}: {error.strerror or error}"
        raise StorageError(f"{what}; set TMPDIR to a larger disk") from None
    name_copy(copy, f"the sample of {display_name(file)}")
    return copy


def _pieces(file: Path, size: int, spans: Sequence[tuple[int, int]], config: DataConfig) -> Iterator[bytes]:
    """Of each span the lines, paragraphs or words that begin in it, the last one to its end."""
    records = data_kind(config) == "records"
    ends = PARAGRAPH_END if records and item_of([file], config) == "paragraph" else LINE_END
    whole = records or format_suffix(file) in JSON_LINES
    try:
        with file.open("rb") as source:
            for span in spans:
                begin, end = (_border(source, place, size, ends, whole=whole) for place in span)
                source.seek(begin)
                yield source.read(max(end - begin, 0))
    except OSError as error:
        raise DataError(f"cannot read {display_name(file)}: {error.strerror}") from None


def _border(source: BinaryIO, place: int, size: int, ends: re.Pattern[bytes], *, whole: bool) -> int:
    """The first place from `place` on where something begins: what `ends` ends, or, of a text whose lines are long
    and need not be `whole`, a word or at least a character.
    """
    if place in (0, size):
        return place
    looked_at = LONG_LINE
    while True:
        source.seek(place - 1)
        seen = source.read(looked_at)
        if found := ends.search(seen):
            return place - 1 + found.end()
        if not whole:
            break
        if len(seen) < looked_at:
            return size
        looked_at *= 4
    if b" " in seen:
        return place + seen.index(b" ")
    # The bytes of UTF-8 that do not begin a character have the bits 10 in front.
    return next((place + number for number, byte in enumerate(seen[1:5]) if byte & 0xC0 != 0x80), place)
