"""How much is read of a text that is too long for a run by the clock. Knows bytes and seconds, not text."""

from __future__ import annotations

from collections.abc import Sequence, Set

from sonho.config import Config
from sonho.data.files import expand, input_bytes
from sonho.data.prepare import is_prepared
from sonho.data.sample import can_be_sampled
from sonho.training.budget import language_seconds

# Several times what two cores learn from in a second. Reading and cutting so much takes a twentieth of the time.
BYTES_A_SECOND = 500_000


def choose_sample(config: Config, given: Set[str], paths: Sequence[str]) -> str:
    """Set `data.sample_megabytes` where the inputs are too long for the time; a line that says so, or nothing.

    Left alone are settings in `given`, prepared data, records with rows elsewhere, and inputs that can only be read
    whole. Raises what `expand` does.
    """
    seconds = language_seconds(config)
    fixed = "data.sample_megabytes" in given or config.data.vectors or any(is_prepared(path) for path in paths)
    if not seconds or fixed:
        return ""
    files = expand(paths)
    size, most = input_bytes(files), round(BYTES_A_SECOND * seconds)
    if size <= most or not all(can_be_sampled(file) for file in files):
        return ""
    config.data.sample_megabytes = most / 1e6
    return (
        f"{size:,} bytes are more than {seconds:.0f} seconds can learn from: a sample of them is read; "
        "data.sample_megabytes=0 reads all"
    )
