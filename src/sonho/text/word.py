"""Words as tokens, without loss: the tokens of a text, joined, are the text again.

Knows where words begin and end in most scripts by simple rules, not by a dictionary.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sonho.config import Level, UnknownPolicy
from sonho.errors import DataError
from sonho.text.incremental import IncrementalDecoder, WholeDecoder, as_ids
from sonho.text.nearest import nearest_word
from sonho.text.steps import Steps
from sonho.text.strict import require_keys
from sonho.text.tokenizer import Tokenizer, check_policy
from sonho.text.vocabulary import Vocabulary

MOST_CHARS = 64
"""A longer run of letters or of white space is cut into tokens of this length."""

LONGEST_TOKEN = 1 + 4 * (MOST_CHARS + 1)

_MOST_COUNTED = 2_000_000

# Historic scripts and styled letters, block by block: `re` would search hundreds of exact ranges one by one.
_LETTERS_BEYOND = "\U00010000-\U0001cfff\U0001d400-\U0001d7ff\U0001df00-\U0001efff"


class WordTokenizer(Tokenizer):
    """Words with the space before them; everything outside the vocabulary is `<unk>`.

    >>> vocabulary = Vocabulary(("the", " the", " cat", "."), has_unk=True)
    >>> tokenizer = WordTokenizer(vocabulary, Steps())
    >>> tokenizer.encode("the cat bit the cat.").tolist()
    [1, 3, 5, 2, 3, 4]
    """

    level: Level = "word"

    def __init__(self, vocabulary: Vocabulary, steps: Steps) -> None:
        self.vocabulary = vocabulary
        self.steps = steps
        self.vocab_size = vocabulary.size
        self._decoder = WholeDecoder(self.decode)
        self.unk_id = vocabulary.unk_id
        self._texts = ["", *vocabulary.names[1:-1], ""]

    def encode(self, text: str, unknown: UnknownPolicy = "skip") -> np.ndarray:
        check_policy(unknown)
        tokens = split_words(self.steps.apply(text))
        if unknown == "nearest":
            known = self.vocabulary.ids
            tokens = [t if t in known else nearest_word(t, known) or t for t in tokens]
        return self._ids_of(tokens)

    def encode_chunks(self, chunks: Iterable[str]) -> Iterator[np.ndarray]:
        return map(self._ids_of, split_chunks(self.steps.apply_chunks(chunks)))

    def unknown_in(self, text: str) -> list[str]:
        tokens = dict.fromkeys(split_words(self.steps.apply(text)))
        return [token for token in tokens if token not in self.vocabulary.ids]

    def decode(self, ids: ArrayLike) -> str:
        return "".join(map(self._texts.__getitem__, as_ids(ids, self.vocab_size).tolist()))

    def decoder(self) -> IncrementalDecoder:
        return self._decoder

    def token_text(self, id: int) -> str:
        return self.vocabulary.token_text(id)

    def char_counts(self) -> np.ndarray:
        return self.vocabulary.char_counts()

    def byte_counts(self) -> np.ndarray:
        return self.vocabulary.byte_counts()

    def to_json(self) -> dict[str, Any]:
        return {"level": self.level, "steps": self.steps.to_json(), **self.vocabulary.to_json()}

    @classmethod
    def from_json(cls, values: Any) -> WordTokenizer:
        """Rebuild from `to_json`. Raises DataError unless everything is as it should be."""
        values = require_keys(values, ("level", "steps", "symbols", "unk"), "the word tokenizer")
        vocabulary = Vocabulary.from_json(values["symbols"], values["unk"], longest=LONGEST_TOKEN)
        if not vocabulary.has_unk:
            raise DataError("the word tokenizer has no <unk>, which every word vocabulary has; the file is damaged")
        return cls(vocabulary, Steps.from_json(values["steps"]))

    def _ids_of(self, tokens: list[str]) -> np.ndarray:
        known, unk = self.vocabulary.ids, self.unk_id
        return np.fromiter(map(known.get, tokens, repeat(unk)), self.dtype, count=len(tokens))


def split_words(text: str) -> list[str]:
    """Cut a text into tokens that, joined, are the text.

    A word is a run of letters, digits, marks and the apostrophes inside them; an ideograph or a hiragana is
    a word by itself, as those scripts write no spaces; any other visible character is a token with its marks.
    One space belongs to what follows it; all other white space makes tokens of its own.

    >>> split_words("Don't  stop, now!\\n")
    ["Don't", ' ', ' stop', ',', ' now', '!', '\\n']
    >>> split_words("हिन्दी 中文。")
    ['हिन्दी', ' 中', '文', '。']
    """
    return _token_pattern().findall(text)


def split_chunks(chunks: Iterable[str]) -> Iterator[list[str]]:
    """The same for a text that arrives in chunks; joined, the lists equal `split_words` of the whole."""
    held = ""
    for chunk in chunks:
        tokens = split_words(held + chunk)
        # A token is certain when what ended it has been seen: two characters behind its greatest length.
        margin = LONGEST_TOKEN + 2
        last = len(tokens)
        while last and margin > 0:
            last -= 1
            margin -= len(tokens[last])
        held = "".join(tokens[last:])
        if last:
            yield tokens[:last]
    if held:
        yield split_words(held)


def count_words(texts: Iterable[list[str]]) -> dict[str, int]:
    """How often each token occurs, in order of first appearance.

    Of more than two million distinct tokens the rarer half is forgotten as it goes, which bounds the memory;
    a token that comes back is counted anew, so that only rare ones are counted too low.
    """
    counts: Counter[str] = Counter()
    for tokens in texts:
        counts.update(tokens)
        if len(counts) > _MOST_COUNTED:
            floor = sorted(counts.values())[len(counts) // 2]
            counts = Counter({token: count for token, count in counts.items() if count > floor})
    return dict(counts)


@cache
def _token_pattern() -> re.Pattern[str]:
    """Built when first needed (30 ms): `re` has no class for combining marks."""
    marks, letters = _ranges(_is_mark), _ranges(_is_letter) + _LETTERS_BEYOND
    word = rf"[{letters}]{{1,{MOST_CHARS}}}(?:['’][{letters}]{{1,{MOST_CHARS}}}){{0,3}}"
    alone = rf"\S[{marks}]{{0,{MOST_CHARS}}}"
    # Of a run of white space that ends in a space, that space belongs to the visible character behind it.
    space = rf"\s{{1,{MOST_CHARS}}}(?= \S)|\s{{1,{MOST_CHARS}}}"
    return re.compile(f" ?{word}| ?{alone}|{space}")


def _ranges(belongs: Callable[[str], bool]) -> str:
    """The characters up to U+FFFF that belong to a class, as ranges of a regular expression."""
    parts, start = [], None
    for code in range(0x10001):
        inside = code < 0x10000 and belongs(chr(code))
        if inside and start is None:
            start = code
        elif not inside and start is not None:
            parts.append(f"\\u{start:04x}-\\u{code - 1:04x}")
            start = None
    return "".join(parts)


def _is_mark(char: str) -> bool:
    # The joiners hold emoji and Indic conjuncts together.
    return unicodedata.category(char)[0] == "M" or char in "\u200c\u200d"


def _is_letter(char: str) -> bool:
    return (char.isalnum() or char == "_" or _is_mark(char)) and not _stands_alone(char)


def _stands_alone(char: str) -> bool:
    # Hiragana and ideographs; katakana spells whole foreign words.
    return "\u3041" <= char <= "\u309f" or "\u3400" <= char <= "\u9fff" or "\uf900" <= char <= "\ufaff"
