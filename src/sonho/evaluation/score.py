"""How surprising a text is, token by token or line by line.

The state is carried exactly from the zero state: nothing is cut into columns. A stream is one text, its
lines in the context of those before; of records, every line stands alone and its end is predicted too.

Shapes: N rows, T time, V vocabulary.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sonho.config import UnknownPolicy, Weights
from sonho.decoding.state import State
from sonho.decoding.stepper import Stepper, build_stepper
from sonho.evaluation.evaluate import log_softmax
from sonho.evaluation.metrics import NATS_PER_BIT

if TYPE_CHECKING:
    from sonho.storage.model_file import ModelFile

BLOCK_LOGITS = 2**23  # logits asked for at once: 32 MB
LINES_AT_ONCE = 64  # of records, scored side by side


@dataclass(frozen=True)
class Alternative:
    """A token that could have stood there."""

    text: str
    token_id: int
    probability: float


@dataclass(frozen=True)
class TokenScore:
    """A token and its surprise. `bits` and `rank` (1 = likeliest) are None where nothing was predicted."""

    position: int
    token_id: int
    text: str
    bits: float | None
    rank: int | None
    alternatives: tuple[Alternative, ...] = ()
    entropy: float | None = None  # bits: how uncertain the model was before it saw the token

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class LineScore:
    """A line and its surprise, its end included.

    `num_chars` and `bits` count what was predicted, so the very first token of a stream is not in them.
    `unknown` are the line's symbols that the model has no token for.
    """

    number: int  # from 1
    text: str
    bits: float
    num_chars: int
    flagged: bool
    unknown: tuple[str, ...] = ()

    @property
    def bits_per_char(self) -> float | None:
        """None where nothing was predicted."""
        return self.bits / self.num_chars if self.num_chars else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**dataclasses.asdict(self), "bits_per_char": self.bits_per_char}


class Scorer:
    """Scores texts with one model; the arrays are made ready once.

    `stepper` runs it in another way than `build_stepper`.
    """

    def __init__(self, model_file: ModelFile, *, weights: Weights = "float32", stepper: Stepper | None = None) -> None:
        self._tokenizer = model_file.tokenizer
        self._records = model_file.data_kind == "records"
        self._stepper = stepper or build_stepper(model_file, weights=weights)
        self._chars = self._tokenizer.char_counts().astype(np.int64)  # (V,)

    def tokens(self, text: str, *, unknown: UnknownPolicy = "skip", alternatives: int = 0) -> Iterator[TokenScore]:
        """The surprise of every token of `text` (of records: one record) and its likeliest alternatives.

        A stream's first token is not predicted. Raises DataError with unknown="error".
        """
        ids = self._tokenizer.encode(text, unknown).astype(np.int64)
        if self._records:
            ids = np.append(ids, self._tokenizer.eos_id)
            fed = np.append(self._tokenizer.eos_id, ids[:-1])
        else:
            fed = ids[:-1]
            if len(ids):
                yield TokenScore(0, int(ids[0]), self._tokenizer.token_text(int(ids[0])), None, None)
        targets = ids[len(ids) - len(fed) :]
        position = len(ids) - len(fed)
        state = self._stepper.initial_state(1)
        steps = self._steps(1)
        for at in range(0, len(fed), steps):
            logits, state = self._stepper.forward(fed[None, at : at + steps], state)
            log_probs = log_softmax(logits[0])  # (T, V)
            yield from self._scored(position + at, targets[at : at + steps], log_probs, alternatives)

    def lines(
        self, lines: Iterable[str], *, unknown: UnknownPolicy = "skip", threshold: float | None = None
    ) -> Iterator[LineScore]:
        """The surprise of every line, in order, as they come.

        With a `threshold`, a line is flagged where its bits per character exceed it, or where it has a
        symbol that the model has never seen. Line endings are ignored: a
        stream's line ends with a newline, a record with `<eos>`. Empty records are left out.
        """
        numbered = ((number, line.rstrip("\r\n")) for number, line in enumerate(lines, start=1))
        scored = self._record_lines(numbered, unknown) if self._records else self._stream_lines(numbered, unknown)
        for number, line, bits, num_chars in scored:
            unseen = tuple(self._tokenizer.unknown_in(line))
            surprising = num_chars > 0 and threshold is not None and bits / num_chars > threshold
            flagged = threshold is not None and (surprising or bool(unseen))
            yield LineScore(number, line, bits, num_chars, flagged, unseen)

    def _stream_lines(
        self, lines: Iterable[tuple[int, str]], unknown: UnknownPolicy
    ) -> Iterator[tuple[int, str, float, int]]:
        before = np.zeros(0, np.int64)  # the token before the line; at the start there is none
        state = self._stepper.initial_state(1)
        for number, line in lines:
            ids = np.append(before, self._tokenizer.encode(line + "\n", unknown)).astype(np.int64)
            bits, state = self._bits(ids[None, :-1], ids[None, 1:], state)
            yield number, line, float(bits.sum()), int(self._chars[ids[1:]].sum())
            before = ids[-1:]

    def _record_lines(
        self, lines: Iterable[tuple[int, str]], unknown: UnknownPolicy
    ) -> Iterator[tuple[int, str, float, int]]:
        eos = self._tokenizer.eos_id
        full = ((number, line) for number, line in lines if line)
        while group := list(itertools.islice(full, LINES_AT_ONCE)):
            records = [np.append(self._tokenizer.encode(line, unknown), eos).astype(np.int64) for _, line in group]
            targets = np.full((len(records), max(map(len, records))), -1)
            for row, record in zip(targets, records, strict=True):
                row[: len(record)] = record
            fed = np.concatenate([np.full((len(records), 1), eos), np.maximum(targets[:, :-1], 0)], axis=1)
            bits, _ = self._bits(fed, targets, self._stepper.initial_state(len(records)))
            for (number, line), record, row_bits in zip(group, records, bits, strict=True):
                yield number, line, float(row_bits.sum()), int(self._chars[record].sum())

    def _bits(
        self, inputs: NDArray[np.int64], targets: NDArray[np.int64], state: State
    ) -> tuple[NDArray[np.float64], State]:
        """The surprise (N, T) of targets (N, T), 0 where a target is negative, and the state after them."""
        bits = np.zeros(targets.shape)
        steps = self._steps(len(inputs))
        for at in range(0, inputs.shape[1], steps):
            logits, state = self._stepper.forward(inputs[:, at : at + steps], state)  # (N, T, V)
            piece = targets[:, at : at + steps]
            chosen = np.take_along_axis(log_softmax(logits), np.maximum(piece, 0)[..., None], axis=-1)[..., 0]
            bits[:, at : at + steps] = np.where(piece >= 0, -chosen / NATS_PER_BIT, 0.0)
        return bits, state

    def _scored(
        self, position: int, targets: NDArray[np.int64], log_probs: NDArray[np.float64], alternatives: int
    ) -> Iterator[TokenScore]:
        """The scores of `targets` (T,), the first of which stands at `position`, under `log_probs` (T, V)."""
        chosen = log_probs[np.arange(len(targets)), targets]  # (T,)
        ranks = 1 + (log_probs > chosen[:, None]).sum(axis=1)
        possible = np.isfinite(log_probs)
        probabilities = np.exp(log_probs)
        entropies = -np.multiply(probabilities, log_probs, where=possible, out=np.zeros_like(log_probs)).sum(axis=1)
        best = np.argsort(-log_probs, axis=1, kind="stable")[:, :alternatives]
        columns = (targets, -chosen / NATS_PER_BIT, ranks, entropies / NATS_PER_BIT)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        for t, (target, bits, rank, entropy) in enumerate(rows):
            others = tuple(
                Alternative(self._tokenizer.token_text(i), i, float(probabilities[t, i]))
                for i in best[t].tolist()
                if possible[t, i]
            )
            yield TokenScore(position + t, target, self._tokenizer.token_text(target), bits, rank, others, entropy)

    def _steps(self, rows: int) -> int:
        return min(max(BLOCK_LOGITS // (rows * len(self._chars)), 1), 256)


def worst_first(rows: Iterable[LineScore]) -> list[LineScore]:
    """The lines by bits per character, the most surprising first."""
    return sorted(rows, key=lambda row: -(row.bits_per_char or 0.0))
