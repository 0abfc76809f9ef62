"""Where an item of a plain text ends: at its line, or at the next blank line. Knows lines, not tokens."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from sonho.config import DataConfig
from sonho.data.characters import read_line_blocks
from sonho.data.files import format_suffix

Item = Literal["line", "paragraph"]
# Formats whose items span lines.
OF_PARAGRAPHS = (".abc",)


def item_of(files: Sequence[Path], config: DataConfig) -> Item:
    """What an item of these files is, where the settings leave it open: of tunes a paragraph, else a line."""
    if config.item != "auto":
        return config.item
    return "paragraph" if any(format_suffix(file) in OF_PARAGRAPHS for file in files) else "line"


def read_item_blocks(file: Path, config: DataConfig) -> Iterator[list[str]]:
    """The items of a plain text in lists, without their last line ending; blank ones are left out."""
    blocks = read_line_blocks(file, config)
    return paragraph_blocks(blocks) if item_of([file], config) == "paragraph" else line_blocks(blocks)


def items_of(text: str, config: DataConfig) -> list[str]:
    """The items of a text at hand, by the same rules as those of a file."""
    blocks = iter([list(io.StringIO(text, newline=""))])
    cut = paragraph_blocks if config.item == "paragraph" else line_blocks
    return [item for block in cut(blocks) for item in block]


def line_blocks(blocks: Iterable[list[str]]) -> Iterator[list[str]]:
    """Lines with text in them, without their endings."""
    for lines in blocks:
        yield [line.rstrip("\r\n") for line in lines if not line.isspace()]  # each has one ending


def paragraph_blocks(blocks: Iterable[list[str]]) -> Iterator[list[str]]:
    """Runs of lines between blank ones; the endings within a run stay.

    >>> list(paragraph_blocks([["a\\n", "b\\n", "\\n"], [" \\n", "c\\n"]]))
    [['a\\nb'], ['c']]
    """
    run: list[str] = []
    for lines in blocks:
        items: list[str] = []
        for line in lines:
            if not line.isspace():
                run.append(line)
            elif run:
                items.append(_joined(run))
                run = []
        if items:
            yield items
    if run:
        yield [_joined(run)]


def _joined(run: list[str]) -> str:
    return "".join(run).rstrip("\r\n")
