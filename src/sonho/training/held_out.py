"""How much of a text a run by the clock keeps back to validate on. Knows bytes, not text.

The end of a text is what resembles most whatever comes after it: a play goes on, its people and their names with it.
So a validation part takes from the model the text that is worth most (docs/log.md), and it is kept as short as it
can be and still tell which weights are better.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from sonho.config import Config
from sonho.data.files import expand
from sonho.data.prepare import is_prepared
from sonho.data.sample import sampled_bytes
from sonho.training.budget import language_seconds

SHARE = 0.02
LEAST_BYTES, MOST_BYTES = 10_000, 200_000
# Every look takes time: of pieces of words a second for some fifty thousand bytes.
BYTES_A_SECOND = 1_500


def choose_validation(config: Config, given: Set[str], paths: Sequence[str]) -> None:
    """Set `data.validation`, unless it is among `given` or the run is not by the clock. Raises what `expand` does."""
    fixed = "data.validation" in given or (len(paths) == 1 and is_prepared(paths[0]))
    if (seconds := language_seconds(config)) and not fixed:
        num_bytes = sampled_bytes(expand(paths), config.data)
        config.data.validation = validation_share(num_bytes, config.data.validation, seconds)


def validation_share(num_bytes: int, most: float, seconds: float) -> float:
    """The share of so many bytes to hold out in a run of so many seconds, at most `most`.

    >>> [validation_share(size, 0.1, 300.0) for size in (50_000, 200_000, 2_000_000, 100_000_000)]
    [0.1, 0.05, 0.02, 0.002]
    >>> validation_share(100_000_000, 0.1, 20.0)
    0.0003
    """
    wanted = max(min(SHARE * num_bytes, MOST_BYTES, BYTES_A_SECOND * seconds), LEAST_BYTES)
    return round(min(wanted / max(num_bytes, 1), most), 6)
