"""What a translation model gets where the person left it open; the experiments behind it are in docs/log.md."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence, Set
from typing import Any

from sonho.config import Config
from sonho.data.corpus import Corpus
from sonho.data.files import expand, input_bytes
from sonho.data.prepare import is_prepared
from sonho.errors import UsageError
from sonho.training.plan import Plan, fill

# Pieces of words: so many times the square root of the text's bytes, within bounds.
VOCAB_A_ROOT, LEAST_VOCAB, MOST_VOCAB = 2.0, 400, 8000
# Held out is a tenth, but not more than about so many pairs of so many bytes.
VALIDATION_SHARE, VALIDATION_PAIRS, BYTES_A_PAIR = 0.1, 1000, 150
# Training pairs up to which a row holds -> most units, pairs in a batch. More units would learn the pairs by heart.
TABLE = ((2_000, 128, 16), (10_000, 256, 32), (100_000, 512, 64), (None, 512, 128))
SIZES = (512, 384, 256, 192, 128)
UNITS_WITHOUT_A_CLOCK = 256
MOST_EMBEDDING = 256
# By the clock a network is as large as lets it see every pair so many times.
PASSES = 12.0
MEASURED_STEPS = 3
# Dropout, up to so many passes; it grows with every doubling behind them.
DROPOUT, FEW_PASSES, DROPOUT_A_DOUBLING, MOST_DROPOUT = 0.3, 15.0, 0.1, 0.5
CHOSEN = {
    "model.cell": "gru",
    "model.bidirectional": True,
    "model.tied": True,
    "model.dropout_input": 0.3,
    "training.learning_rate": 0.006,
    "training.label_smoothing": 0.1,
}


def prepare_pairs(config: Config, given: Set[str], paths: Sequence[str]) -> Config:
    """The data settings that the task implies. Raises UsageError where others were given."""
    if "data.kind" in given and config.data.kind != "records":
        raise UsageError(f"--task translate reads pairs, not data.kind={config.data.kind}; leave it out")
    if config.model.cell not in ("lstm", "gru", "rnn"):
        raise UsageError(f"--task translate needs a recurrent cell, lstm, gru or rnn, not {config.model.cell}")
    implied: dict[str, Any] = {"data.kind": "records", "data.pairs": True, "data.level": "subword"}
    made = fill(config, given, implied)
    if len(paths) == 1 and is_prepared(paths[0]):
        return made
    size = input_bytes(expand(paths))
    chosen: dict[str, Any] = {"data.validation": validation_share(size)}
    if made.data.level == "subword":
        chosen["data.max_vocab"] = vocab_size(size)
    return fill(made, given, chosen)


def vocab_size(num_bytes: int) -> int:
    """Ids of a subword vocabulary of each side, for pairs of so many bytes.

    >>> [vocab_size(size) for size in (10_000, 400_000, 5_000_000, 1_000_000_000)]
    [400, 1300, 4500, 8000]
    """
    wanted = 100 * round(VOCAB_A_ROOT * math.sqrt(num_bytes) / 100)
    return min(max(wanted, LEAST_VOCAB), MOST_VOCAB)


def validation_share(num_bytes: int) -> float:
    """The share of pairs that is held out.

    >>> [validation_share(size) for size in (400_000, 5_000_000)]
    [0.1, 0.03]
    """
    return round(min(VALIDATION_SHARE, VALIDATION_PAIRS * BYTES_A_PAIR / max(num_bytes, 1)), 4)


def dropout_for(passes: float) -> float:
    """Dropout for so many passes over the pairs.

    >>> [dropout_for(passes) for passes in (0, 10, 30, 1000)]
    [0.3, 0.3, 0.4, 0.5]
    """
    doublings = max(math.log2(max(passes, 1.0) / FEW_PASSES), 0.0)
    return round(min(DROPOUT + DROPOUT_A_DOUBLING * doublings, MOST_DROPOUT), 2)


def plan_pairs(
    config: Config, given: Set[str], corpus: Corpus, start: Callable[[Config], Callable[[], None]], seconds: float
) -> Plan:
    """Fill in what is not among `given` ("section.key"); `seconds` of learning, 0 where it is not by the clock.

    `start(config)` sets a training up and gives what makes one step of it.
    """
    pairs = corpus.train.num_records
    most, batch = next((units, batch) for limit, units, batch in TABLE if limit is None or pairs <= limit)
    most = most if seconds else min(most, UNITS_WITHOUT_A_CLOCK)
    passes = config.training.epochs or config.training.steps * config.data.batch_size / pairs
    for size in [size for size in SIZES if size <= most]:
        units = config.model.hidden_size if "model.hidden_size" in given else size
        sizes = {"model.hidden_size": size, "model.embedding_dim": min(units, MOST_EMBEDDING)}
        made = fill(config, given, {**CHOSEN, **sizes, "data.batch_size": batch})
        if not made.model.embedding_dim:  # letters as they are: there is no table to share
            made = fill(made, given, {"model.tied": False})
        if not seconds:
            break
        learn = start(made)
        learn()  # the first step makes what the others find
        began = time.perf_counter()
        for _ in range(MEASURED_STEPS):
            learn()
        passes = seconds / (time.perf_counter() - began) * MEASURED_STEPS * made.data.batch_size / pairs
        if passes >= PASSES or "model.hidden_size" in given:
            break
    made = fill(made, given, {"model.dropout": dropout_for(passes)})
    model = made.model
    read = "both directions" if model.bidirectional else "one direction"
    line = (
        f"Plan for {pairs:,} pairs: {model.cell} {model.num_layers} x {model.hidden_size}, read in {read}, "
        f"{model.attention} attention{', input feeding' if model.input_feeding else ''}, dropout {model.dropout:g}, "
        f"batch {made.data.batch_size} pairs"
    )
    why = [f"Why: {seconds:.0f} seconds of learning here are about {passes:.2g} passes at that size"] if seconds else []
    return Plan(made, (line, *why))
