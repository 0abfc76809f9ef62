"""Letters or pieces of words, for a run by the clock. Knows bytes and seconds, not text.

Few seconds are enough to read a long text in part only. Cut into pieces of words it is read three or four times as
fast, and what the network remembers reaches as much further: docs/log.md, 31.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from sonho.config import Config
from sonho.data.files import expand, format_suffix, input_bytes
from sonho.data.prepare import is_prepared
from sonho.data.sound import SUFFIX as SOUND
from sonho.text.subword import library_is_installed
from sonho.training.budget import make_budget

# Texts of fewer bytes are read often enough as letters, and have too few words of each kind to learn pieces from.
# Between the two it depends on the time: letters where there is a second for so many bytes.
LEAST_BYTES, CERTAIN_BYTES = 1_500_000, 8_000_000
BYTES_A_SECOND = 15_000
# Cutting takes a second for some ten million bytes: of more than so many in each second it would take too much.
MOST_BYTES_A_SECOND = 1_000_000
# Bytes up to which a row holds -> most pieces.
PIECES = ((8_000_000, 4_000), (None, 16_000))
# What is no language has no words: a sound, and tunes, whose notes count one by one.
WITHOUT_WORDS = (SOUND, ".abc")
# Who says one of these has an idea of the tokens.
OF_THE_TOKENS = {"data.level", "data.max_vocab", "data.min_count", "data.num_chars", "data.max_length"}


def choose_level(config: Config, given: Set[str], paths: Sequence[str]) -> str:
    """Set `data.level` and `data.max_vocab` where the text is long for the time; a line that says so, or nothing.

    Raises what `expand` does.
    """
    data, model = config.data, config.model
    seconds = make_budget(config.training, 1).seconds
    language = model.task == "generate" and model.cell != "ngram" and model.condition == "none"
    pieces_fit = data.kind != "windows" and data.objective == "all" and data.strip == "none"
    if not (seconds and language and pieces_fit and library_is_installed()) or given & OF_THE_TOKENS:
        return ""
    files = expand(paths)
    if any(is_prepared(path) for path in paths) or any(format_suffix(file) in WITHOUT_WORDS for file in files):
        return ""
    size = input_bytes(files)
    if not wants_pieces(size, seconds):
        return ""
    data.level, data.max_vocab = "subword", next(most for limit, most in PIECES if limit is None or size <= limit)
    return (
        f"{size:,} bytes are much for {seconds:.0f} seconds: cut into at most {data.max_vocab:,} pieces of words"
        " they are read several times as fast; --level char keeps to letters"
    )


def wants_pieces(num_bytes: int, seconds: float) -> bool:
    """Whether so many bytes are much for so many seconds, and not too many to be cut in time.

    >>> [wants_pieces(size, 60) for size in (1_100_000, 1_600_000, 50_000_000, 10**9)], wants_pieces(3_000_000, 300)
    ([False, True, True, False], False)
    """
    much = num_bytes >= CERTAIN_BYTES or num_bytes > BYTES_A_SECOND * seconds
    return LEAST_BYTES <= num_bytes <= MOST_BYTES_A_SECOND * seconds and much
