"""Taking accents or capitals from a text, and giving them back: a character stays a character, with a tag of its own.

A tag says what was taken: `keep` (nothing), `upper`, the names of combining marks, or several joined by +.
Knows characters, not models.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable, Sequence

from sonho.config import Strip
from sonho.errors import DataError

KEEP, UPPER = "keep", "upper"
_COMBINING = "COMBINING "


def strip_text(text: str, how: Strip) -> tuple[str, list[str]]:
    """The text without its accents, capitals or both, and the tag of each character.

    Composed to NFC first; what cannot be taken off and put back exactly stays.

    >>> strip_text("Não!", "both")
    ('nao!', ['upper', 'tilde', 'keep', 'keep'])
    """
    pairs = [_stripped(symbol, how) for symbol in unicodedata.normalize("NFC", text)]
    return "".join(base for base, _ in pairs), [tag for _, tag in pairs]


def strip_block(texts: Sequence[str], how: Strip) -> tuple[list[str], list[str]]:
    """Every text stripped, and the tags of all their characters in one row."""
    pairs = [strip_text(text, how) for text in texts]
    return [text for text, _ in pairs], [tag for _, tags in pairs for tag in tags]


def restore_text(text: str, tags: Iterable[str]) -> str:
    """Put back what the tags say, one for each character.

    >>> restore_text("nao!", ["upper", "tilde", "keep", "keep"])
    'Não!'
    """
    return "".join(_restored(symbol, tag) for symbol, tag in zip(text, tags, strict=True))


@functools.lru_cache(maxsize=65536)
def _stripped(symbol: str, how: Strip) -> tuple[str, str]:
    base, parts = symbol, []
    lower = base.lower()
    if how in ("case", "both") and lower != base and len(lower) == 1 and lower.upper() == base:
        base, parts = lower, [UPPER]
    if how in ("accents", "both"):
        decomposed = unicodedata.normalize("NFD", base)
        first, marks = decomposed[0], decomposed[1:]
        names = [unicodedata.name(mark, "") for mark in marks]
        if marks and all(name.startswith(_COMBINING) for name in names):
            base, parts = first, [*parts, *(name.removeprefix(_COMBINING).lower() for name in names)]
    tag = "+".join(parts) or KEEP
    # Letters whose case or composition has no way back keep what they have.
    return (base, tag) if _restored(base, tag) == symbol else (symbol, KEEP)


@functools.lru_cache(maxsize=65536)
def _restored(symbol: str, tag: str) -> str:
    """A mark that the symbol cannot carry as one character is left out."""
    if tag == KEEP:
        return symbol
    for part in tag.split("+"):
        changed = symbol.upper() if part == UPPER else unicodedata.normalize("NFC", symbol + _mark(part))
        symbol = changed if len(changed) == 1 else symbol
    return symbol


def _mark(name: str) -> str:
    try:
        return unicodedata.lookup(_COMBINING + name.upper())
    except KeyError:
        raise DataError(f"the model has the tag {name!r}, which is no combining mark") from None
