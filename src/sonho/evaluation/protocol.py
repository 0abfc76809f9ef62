"""How held-out tokens are cut into blocks for scoring. Knows ids and places, neither models nor text.

The trainer and `evaluate` read the same blocks, so that both give the same figure. A stream of L tokens
predicts tokens 1..L-1 in columns side by side; a column begins a little early to warm its state up.
Records begin with `<eos>` from the zero state and predict every token. Windows predict their next token only.

Shapes: N rows, T time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sonho.config import DataKind
from sonho.errors import DataError

if TYPE_CHECKING:
    from sonho.data.parts import Part

IGNORED = -100
COLUMN_TOKENS = 2048  # a column is about this long, up to MOST_COLUMNS of them
MOST_COLUMNS = 64
WARM_UP = 256  # inputs read before a column's first target, so that it is predicted in context
BLOCK_STEPS = 256
MOST_TOKENS = 1_000_000  # of a longer text this many are scored, spread evenly, unless more are asked for
RECORD_ROWS = 64
WINDOW_ROWS = 512
BLOCK_LOGITS = 2**22  # logits that a block may ask for: 16 MB

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """Inputs (N, T) and targets (N, T), -100 where nothing is scored.

    `fresh`: the state starts at zero here; otherwise it is carried, row by row, from the block before.
    `last_only`: only the last position of each row is scored, so no other logits are needed.
    """

    inputs: Ints
    targets: Ints
    fresh: bool
    last_only: bool = False
    labels: Ints | None = None  # (N,): of labelled records, see Part.labels


def scoring_blocks(
    part: Part, data_kind: DataKind, window: int, stride: int, eos_id: int, *, limit: int = 0
) -> Iterator[Block]:
    """Cut `part` into blocks, the same ones at every call.

    `window` > 0 with data_kind "windows" scores the token after each window, every `stride` tokens; with 0
    windows are scored as a stream. `limit` > 0 scores about so many tokens at most, spread evenly. `<eos>`
    is the last id, so eos_id + 1 is V.
    """
    if data_kind == "records":
        return _record_blocks(part, eos_id, limit)
    if data_kind == "windows" and window > 0:
        return _window_blocks(part, window, stride, eos_id + 1, limit)
    return _stream_blocks(part, eos_id + 1, limit)


def stream_spans(length: int, limit: int = 0) -> list[tuple[int, int]]:
    """The targets [start, stop) of every column of a stream of `length` tokens.

    >>> stream_spans(5000)
    [(1, 2500), (2500, 5000)]
    >>> stream_spans(1_000_001, limit=4096)
    [(1, 2049), (500001, 502049)]
    """
    scored = max(length - 1, 0)
    if not scored:
        return []
    wanted = min(limit, scored) if limit else scored
    columns = min(max((wanted + 1) // COLUMN_TOKENS, 1), MOST_COLUMNS)
    starts = [1 + scored * column // columns for column in range(columns + 1)]
    if wanted == scored:
        return list(pairwise(starts))
    return [(start, start + wanted // columns) for start in starts[:-1]]


def chosen_records(offsets: np.ndarray, limit: int = 0) -> Ints:
    """The records that are scored: all, or evenly spaced ones with about `limit` tokens together."""
    count = len(offsets) - 1
    total = int(offsets[-1] - offsets[0])
    if not limit or total <= limit:
        return np.arange(count)
    chosen = max(1, count * limit // total)
    return np.arange(chosen) * count // chosen


def record_offsets(part: Part) -> Ints:
    """The bounds of a part's records, (R + 1,). Raises DataError where the part is one long text."""
    if part.offsets is None:
        raise DataError("the model knows records but the text was read as a stream; read it as records")
    return part.offsets


def _stream_blocks(part: Part, vocab_size: int, limit: int) -> Iterator[Block]:
    spans = stream_spans(len(part.tokens), limit)
    if not spans:
        return
    # (start of the inputs, start of the targets, end of the targets)
    columns = [(max(start - WARM_UP, 0), start, stop) for start, stop in spans]
    longest = max(stop - 1 - first for first, _, stop in columns)
    steps = _steps(len(columns), vocab_size)
    for at in range(0, longest, steps):
        inputs, targets = _empty(len(columns), min(steps, longest - at))
        for row, (first, start, stop) in enumerate(columns):
            begin = first + at
            piece = part.tokens.read(begin, max(begin, min(begin + inputs.shape[1] + 1, stop)))
            _fill(inputs[row], targets[row], piece)
            targets[row, : max(start - 1 - begin, 0)] = IGNORED
        yield Block(inputs, targets, fresh=at == 0)


def _record_blocks(part: Part, eos_id: int, limit: int) -> Iterator[Block]:
    offsets = record_offsets(part)
    chosen = chosen_records(offsets, limit)
    lengths = offsets[chosen + 1] - offsets[chosen]
    order = np.argsort(lengths, kind="stable")  # alike lengths together: little padding
    chosen, lengths = chosen[order], lengths[order]
    rows = min(RECORD_ROWS, max(BLOCK_LOGITS // (eos_id + 1), 1))
    for first in range(0, len(chosen), rows):
        batch = chosen[first : first + rows]
        longest = int(lengths[first : first + rows].max())
        steps = _steps(len(batch), eos_id + 1)
        for at in range(0, longest, steps):
            size = min(steps, longest - at)
            starts = offsets[batch] + at
            if at == 0:
                before = np.full((len(batch), 1), eos_id, np.int64)
            else:
                before = part.tokens.gather(starts - 1, 1).astype(np.int64)
            tokens = part.tokens.gather(starts, size).astype(np.int64)  # what follows a record is masked below
            inside = at + np.arange(size) < lengths[first : first + rows, None]  # (N, T)
            inputs = np.append(before, tokens, axis=1)[:, :-1]
            labels = None if part.labels is None else part.labels[batch]
            yield Block(np.where(inside, inputs, 0), np.where(inside, tokens, IGNORED), fresh=at == 0, labels=labels)


def _window_blocks(part: Part, window: int, stride: int, vocab_size: int, limit: int) -> Iterator[Block]:
    starts = range(0, len(part.tokens) - window, stride)
    if limit and len(starts) > limit:
        starts = starts[:: -(-len(starts) // limit)]
    rows = min(WINDOW_ROWS, max(BLOCK_LOGITS // (vocab_size * window), 1))
    for first in range(0, len(starts), rows):
        batch = starts[first : first + rows]
        windows = part.tokens.gather(np.arange(batch.start, batch.stop, batch.step), window + 1).astype(np.int64)
        targets = np.full((len(batch), window), IGNORED, np.int64)
        targets[:, -1] = windows[:, -1]
        yield Block(windows[:, :-1], targets, fresh=True, last_only=True)


def _empty(rows: int, steps: int) -> tuple[Ints, Ints]:
    """Inputs of `<pad>` and targets that are not scored, (N, T) each."""
    return np.zeros((rows, steps), np.int64), np.full((rows, steps), IGNORED, np.int64)


def _fill(inputs: Ints, targets: Ints, tokens: np.ndarray) -> None:
    """Put a run of tokens into the beginning of a row: each is the target of the one before it."""
    if len(tokens) > 1:
        inputs[: len(tokens) - 1] = tokens[:-1]
        targets[: len(tokens) - 1] = tokens[1:]


def _steps(rows: int, vocab_size: int) -> int:
    """T of a block. It changes the memory that is used, not the numbers, since the state is carried."""
    return min(max(BLOCK_LOGITS // (rows * vocab_size), 1), BLOCK_STEPS)
