"""Known stand-ins for unknown symbols: the same letter in another case, form or without its accent.

Knows Unicode, not ids.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator


def nearest_chars(char: str, known: Collection[str]) -> str:
    """Known characters that stand for an unknown one, or "".

    >>> nearest_chars("É", known="abcde"), nearest_chars("ﬁ", known="fi"), nearest_chars("ж", known="abc")
    ('e', 'fi', '')
    """
    for candidate in equivalents(char):
        if all(c in known for c in candidate):
            return candidate
    return ""


def nearest_word(word: str, known: Collection[str]) -> str:
    """A known word that stands for an unknown one, or ""; the space before it may come or go.

    >>> nearest_word(" HELLO", known=[" Hello", "hello"]), nearest_word("Été", known=[" ete"])
    (' Hello', ' ete')
    """
    other_space = word[1:] if word.startswith(" ") else f" {word}"
    for spelling in (word, other_space):
        for candidate in equivalents(spelling):
            if candidate in known:
                return candidate
    return ""


def equivalents(text: str) -> Iterator[str]:
    """Strings that NFKD or case folding cannot tell from `text`, the most alike first."""
    decomposed = unicodedata.normalize("NFKD", text)
    without_marks = "".join(c for c in decomposed if not unicodedata.combining(c))
    forms = (text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFKC", text))
    for form in dict.fromkeys((*forms, decomposed, without_marks)):
        for variant in (form, form.lower(), form.casefold(), form.title(), form.upper()):
            if variant:
                yield variant
