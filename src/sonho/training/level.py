"""Letters or pieces of words, for a run by the clock: by the text's length, the seconds, and whether it has words.

Few seconds are enough to read a long text in part only. Cut into pieces of words it is read three or four times as
fast, and what the network remembers reaches as much further: docs/log.md, 31, 33 and 37.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence, Set
from dataclasses import replace

from sonho.config import Config, DataConfig
from sonho.data.files import expand
from sonho.data.prepare import is_prepared
from sonho.data.sample import sampled_bytes, spread_sample
from sonho.data.sources import iter_text
from sonho.evaluation.kneser_ney import fit_orders
from sonho.text import fit_tokenizer, masked_ids
from sonho.text.subword import library_is_installed
from sonho.training.budget import language_seconds

# Texts of fewer bytes are read often enough as letters, and have too few words of each kind to learn pieces from.
# Between the two it depends on the time: letters where there is a second for so many bytes.
LEAST_BYTES, CERTAIN_BYTES = 500_000, 8_000_000
BYTES_A_SECOND = 3_000
# Up to so many bytes it depends on the text. Pieces are for one whose last part is foretold from counts of pieces about
# as well as from counts of letters, which takes a second: in fewer seconds than so many nothing is counted.
COUNTED_BYTES, SECONDS_FOR_COUNTING = 1_500_000, 30.0
ORDERS_OF_LETTERS, ORDERS_OF_PIECES = (6, 7, 8), (2, 3, 4)
HARDER, SHARE_TO_COUNT = 1.006, 0.9
# Cutting takes a second for some ten million bytes: of more than so many in each second it would take too much.
MOST_BYTES_A_SECOND = 1_000_000
# Bytes up to which a row holds -> most pieces.
PIECES = ((1_500_000, 2_000), (8_000_000, 8_000), (None, 16_000))
# What is no language has no words: of logs, tunes and sounds fewer of the first characters than this share are letters
# and spaces.
SHARE_OF_LETTERS, LOOKED_AT = 0.85, 200_000
# Who says one of these has an idea of the tokens.
OF_THE_TOKENS = {"data.level", "data.max_vocab", "data.min_count", "data.num_chars", "data.max_length"}


def choose_level(config: Config, given: Set[str], paths: Sequence[str]) -> str:
    """Set `data.level` and `data.max_vocab` where the text is long for the time; a line that says so, or nothing.

    Raises what `expand` and `iter_text` do: the beginning of the text is looked at, all of one of `COUNTED_BYTES`.
    """
    data, seconds = config.data, language_seconds(config)
    pieces_fit = data.kind != "windows" and data.objective == "all" and data.strip == "none"
    pieces_fit = pieces_fit and config.model.condition == "none" and library_is_installed()
    if not (seconds and pieces_fit) or given & OF_THE_TOKENS:
        return ""
    if any(is_prepared(path) for path in paths):
        return ""
    files = expand(paths)
    size = sampled_bytes(files, data)
    if not (wants_pieces(size, seconds) and has_words(next(iter_text(files, data), "")[:LOOKED_AT])):
        return ""
    most = next(most for limit, most in PIECES if limit is None or size <= limit)
    pieces = replace(data, level="subword", max_vocab=most)
    if size <= COUNTED_BYTES:
        if data.kind != "stream" or seconds < SECONDS_FOR_COUNTING:
            return ""
        read, _ = spread_sample(files, data)
        if not counts_favour("".join(iter_text(read, data)), pieces, data):
            return ""
    data.level, data.max_vocab = pieces.level, pieces.max_vocab
    return (
        f"{size:,} bytes are much for {seconds:.0f} seconds: cut into at most {data.max_vocab:,} pieces of words"
        " they are read several times as fast; --level char keeps to letters"
    )


def counts_favour(text: str, pieces: DataConfig, letters: DataConfig) -> bool:
    """Whether the end of a text is about as well foretold from counts of its pieces as from counts of its letters."""
    cut = round(SHARE_TO_COUNT * len(text))
    counted, rest = text[:cut], text[cut:]
    most = HARDER * _surprise(counted, rest, letters, ORDERS_OF_LETTERS)
    return _surprise(counted, rest, pieces, ORDERS_OF_PIECES) <= most


def _surprise(counted: str, rest: str, data: DataConfig, orders: Collection[int]) -> float:
    """Nats of the rest of a text by Kneser-Ney's n-grams of the best order, each token a vocabulary's of `data`."""
    tokenizer = fit_tokenizer([counted], data)
    masked = masked_ids(tokenizer, "stream")
    models = fit_orders(tokenizer.encode(counted), orders, tokenizer.vocab_size, masked=masked)
    ids = tokenizer.encode(rest)
    return min(-float(model.log_probs(ids).sum()) for model in models.values())


def has_words(text: str) -> bool:
    """Whether a text is a language's, by its letters, their marks and spaces.

    >>> has_words("It is half past ten, at last."), has_words("10:31:07 GET /cart?id=4711 200 12ms")
    (True, False)
    """
    letters = sum(char.isspace() or unicodedata.category(char)[0] in "LM" for char in text)
    return letters >= SHARE_OF_LETTERS * len(text)


def wants_pieces(num_bytes: int, seconds: float) -> bool:
    """Whether so many bytes are much for so many seconds, and not too many to be cut in time.

    >>> [wants_pieces(size, 60) for size in (400_000, 600_000, 50_000_000, 10**9)], wants_pieces(1_600_000, 600)
    ([False, True, True, False], False)
    """
    much = num_bytes >= CERTAIN_BYTES or num_bytes > BYTES_A_SECOND * seconds
    return LEAST_BYTES <= num_bytes <= MOST_BYTES_A_SECOND * seconds and much
