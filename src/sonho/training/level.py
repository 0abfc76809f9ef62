"""Letters or pieces of words, for a run by the clock: by the text's length, the seconds, and whether it has words.

Few seconds are enough to read a long text in part only. Cut into pieces of words it is read three or four times as
fast, and what the network remembers reaches as much further: docs/log.md, 31 and 33.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence, Set

from sonho.config import Config
from sonho.data.files import expand, input_bytes
from sonho.data.prepare import is_prepared
from sonho.data.sources import iter_text
from sonho.text.subword import library_is_installed
from sonho.training.budget import make_budget

# Texts of fewer bytes are read often enough as letters, and have too few words of each kind to learn pieces from.
# Between the two it depends on the time: letters where there is a second for so many bytes.
LEAST_BYTES, CERTAIN_BYTES = 1_500_000, 8_000_000
BYTES_A_SECOND = 3_000
# Cutting takes a second for some ten million bytes: of more than so many in each second it would take too much.
MOST_BYTES_A_SECOND = 1_000_000
# Bytes up to which a row holds -> most pieces.
PIECES = ((8_000_000, 8_000), (None, 16_000))
# What is no language has no words: of logs, tunes and sounds fewer of the first characters than this share are letters
# and spaces.
SHARE_OF_LETTERS, LOOKED_AT = 0.85, 200_000
# Who says one of these has an idea of the tokens.
OF_THE_TOKENS = {"data.level", "data.max_vocab", "data.min_count", "data.num_chars", "data.max_length"}


def choose_level(config: Config, given: Set[str], paths: Sequence[str]) -> str:
    """Set `data.level` and `data.max_vocab` where the text is long for the time; a line that says so, or nothing.

    Raises what `expand` and `iter_text` do: the beginning of the text is looked at.
    """
    data, model = config.data, config.model
    seconds = make_budget(config.training, 1).seconds
    language = model.task == "generate" and model.cell != "ngram" and model.condition == "none"
    pieces_fit = data.kind != "windows" and data.objective == "all" and data.strip == "none"
    if not (seconds and language and pieces_fit and library_is_installed()) or given & OF_THE_TOKENS:
        return ""
    if any(is_prepared(path) for path in paths):
        return ""
    size = input_bytes(expand(paths))
    if not (wants_pieces(size, seconds) and has_words(next(iter_text(paths, data), "")[:LOOKED_AT])):
        return ""
    data.level, data.max_vocab = "subword", next(most for limit, most in PIECES if limit is None or size <= limit)
    return (
        f"{size:,} bytes are much for {seconds:.0f} seconds: cut into at most {data.max_vocab:,} pieces of words"
        " they are read several times as fast; --level char keeps to letters"
    )


def has_words(text: str) -> bool:
    """Whether a text is a language's, by its letters, their marks and spaces.

    >>> has_words("It is half past ten, at last."), has_words("10:31:07 GET /cart?id=4711 200 12ms")
    (True, False)
    """
    letters = sum(char.isspace() or unicodedata.category(char)[0] in "LM" for char in text)
    return letters >= SHARE_OF_LETTERS * len(text)


def wants_pieces(num_bytes: int, seconds: float) -> bool:
    """Whether so many bytes are much for so many seconds, and not too many to be cut in time.

    >>> [wants_pieces(size, 60) for size in (1_100_000, 1_600_000, 50_000_000, 10**9)], wants_pieces(1_600_000, 600)
    ([False, True, True, False], False)
    """
    much = num_bytes >= CERTAIN_BYTES or num_bytes > BYTES_A_SECOND * seconds
    return LEAST_BYTES <= num_bytes <= MOST_BYTES_A_SECOND * seconds and much
