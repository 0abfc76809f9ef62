"""What is done to a text before it is cut into tokens: newlines, Unicode normalisation, case.

Works on whole texts and on streams, with the same result. Knows strings, not ids.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

from sonho.config import DataConfig
from sonho.text.cutting import REACH_CHARS, in_blocks, recut, slices
from sonho.text.strict import require_bool, require_choice, require_keys

Normalize = Literal["none", "NFC", "NFKC"]
Newlines = Literal["keep", "fold"]


@dataclass(frozen=True)
class Steps:
    """The steps of one tokenizer, stored with it. They run in the order of the methods below.

    >>> Steps(lowercase=True).apply("One\\r\\nTWO")
    'one\\ntwo'

    Half a surrogate pair, which is no character, always becomes U+FFFD: it could be neither
    written as UTF-8 nor shown.
    """

    normalize: Normalize = "none"
    lowercase: bool = False
    newlines: Newlines = "fold"
    raw_bytes: bool = False  # of the byte level: U+DC80..U+DCFF stand for bytes that are not UTF-8, and stay

    @classmethod
    def of(cls, config: DataConfig) -> Steps:
        """The steps that the settings ask for."""
        return cls(config.normalize, config.lowercase, config.newlines, raw_bytes=config.level == "byte")

    def apply(self, text: str) -> str:
        """The text after every step. Applying the steps again changes nothing."""
        text = replace_surrogates(text, raw_bytes=self.raw_bytes)
        if self.newlines == "fold":
            text = fold_newlines(text)
        text = self._normalized(text)
        if self.lowercase:
            # Lower-casing takes a letter apart: the dotted capital I becomes i and a mark.
            text = self._normalized(text.lower())
        return text

    def apply_chunks(self, chunks: Iterable[str]) -> Iterator[str]:
        """The same for a text that arrives in chunks; gives pieces of about a million characters.

        The pieces joined equal `apply` of the chunks joined, unless they hold a run of more than 4096
        combining marks, which no writing system makes and which is normalised in parts.
        """
        pieces: Iterator[str] = map(partial(replace_surrogates, raw_bytes=self.raw_bytes), in_blocks(chunks))
        if self.newlines == "fold":
            pieces = map(fold_newlines, recut(pieces, _newline_is_whole))
        pieces = self._normalized_chunks(pieces)
        if self.lowercase:
            pieces = self._normalized_chunks(map(str.lower, recut(pieces, _case_is_settled)))
        return in_blocks(pieces)  # normalisation works on small parts

    def _normalized(self, text: str) -> str:
        return text if text.isascii() else "".join(self._normalized_chunks(iter([text])))

    def _normalized_chunks(self, pieces: Iterator[str]) -> Iterator[str]:
        if self.normalize == "none":
            return pieces
        # In small parts, as sorting a run of marks takes Python time that grows with its square.
        parts = recut(slices(pieces, REACH_CHARS), _starts_afresh)
        return map(partial(unicodedata.normalize, self.normalize), parts)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a model file."""
        return {"normalize": self.normalize, "lowercase": self.lowercase, "newlines": self.newlines}

    @classmethod
    def from_json(cls, values: Any) -> Steps:
        """Rebuild from plain values. Raises DataError unless they are exactly right."""
        values = require_keys(values, ("normalize", "lowercase", "newlines"), "the tokenizer's steps")
        return cls(
            cast(Normalize, require_choice(values["normalize"], ("none", "NFC", "NFKC"), "steps.normalize")),
            require_bool(values["lowercase"], "steps.lowercase"),
            cast(Newlines, require_choice(values["newlines"], ("keep", "fold"), "steps.newlines")),
        )


def replace_surrogates(text: str, *, raw_bytes: bool = False) -> str:
    """Put U+FFFD for every lone surrogate.

    >>> replace_surrogates("a\\ud83d!") == "a\\ufffd!"
    True
    """
    if text.isascii():
        return text
    try:
        text.encode("utf-8", "surrogateescape" if raw_bytes else "strict")  # far quicker than looking for them
    except UnicodeEncodeError:
        return re.sub("[\ud800-\udc7f\udd00-\udfff]" if raw_bytes else "[\ud800-\udfff]", "\ufffd", text)
    return text


def fold_newlines(text: str) -> str:
    """Turn CR LF and single CR into LF."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _newline_is_whole(before: str, after: str) -> bool:
    return before != "\r" or after != "\n"


def _starts_afresh(before: str, after: str) -> bool:
    """Whether what precedes `after` cannot join or reorder with it under normalisation."""
    if after < "\u0300":
        return True
    head = unicodedata.normalize("NFKD", after)[0]
    joins_as_jamo = "\u1160" <= head <= "\u11ff"  # vowel and final parts of a Hangul syllable
    return not joins_as_jamo and not unicodedata.category(head).startswith("M")


def _case_is_settled(before: str, after: str) -> bool:
    """Whether a cut here leaves the case mapping of both sides as it was.

    Only the capital sigma depends on its neighbours (it ends a word as another letter). The search for
    the neighbours stops at the first character that is no mark, modifier or punctuation.
    """
    return _stops_sigma_search(before) and _stops_sigma_search(after)


def _stops_sigma_search(char: str) -> bool:
    return char != "Σ" and unicodedata.category(char) in _NEVER_CASE_IGNORABLE


_NEVER_CASE_IGNORABLE = {"Lu", "Ll", "Lt", "Lo", "Nd", "Nl", "No", "Zs", "Zl", "Zp", "Cc", "Sm", "Sc", "So"}
