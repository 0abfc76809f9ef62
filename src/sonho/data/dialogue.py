"""Two-column tables as one stream of a conversation: a line for each speaker. Knows cells, not tokens."""

from __future__ import annotations

from collections.abc import Sequence

from sonho.config import DataConfig
from sonho.errors import DataError, UsageError

BETWEEN = ": "  # what stands between a speaker and the words


def check_speakers(config: DataConfig) -> None:
    """Raise UsageError for speakers that a reader could not tell apart, or that are read as records."""
    names = config.speakers
    if not names:
        return
    if len(set(names)) != len(names) or len(names) < 2:
        raise UsageError(f"data.speakers = {names}: give at least two different names, such as A,B")
    if any(not name.strip() or "\n" in name or BETWEEN in name for name in names):
        raise UsageError(f"data.speakers = {names}: a name has no line break, no {BETWEEN!r} and is not empty")
    if config.kind != "stream":
        raise UsageError("data.speakers makes one conversation of all rows; leave out data.kind=records")


def speaker_lines(cells: Sequence[str], config: DataConfig, where: str) -> str:
    """The lines of one row, one for each speaker; a line break within a cell becomes a space.

    >>> speaker_lines(["Hello!", "Hi\\nyou."], DataConfig(speakers=["A", "B"]), "chat.csv")
    'A: Hello!\\nB: Hi you.\\n'
    """
    if len(cells) != len(config.speakers):
        raise DataError(
            f"{where} gives {len(cells)} columns for {len(config.speakers)} speakers ({', '.join(config.speakers)}); "
            "name one column for each with data.columns"
        )
    return "".join(line_of(name, cell) + "\n" for name, cell in zip(config.speakers, cells, strict=True))


def line_of(speaker: str, words: str) -> str:
    """One line of a conversation, without its end."""
    return f"{speaker}{BETWEEN}{' '.join(words.split())}"
