"""From the ids of a text to those of its translation, without torch: the twin of models/encoder_decoder.py.

Shapes: N rows, S source tokens, T target tokens, V vocabulary, R records. Knows ids, not text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sonho.data.parts import Part
from sonho.data.records import padded
from sonho.decoding.attentive import AttentiveDecoder
from sonho.decoding.beam import BeamSettings, Hypothesis, search
from sonho.decoding.encoder import EncoderRunner
from sonho.decoding.labels import check_translates
from sonho.decoding.state import Array
from sonho.storage.model_file import ModelFile

ROWS_AT_ONCE = 64
TOKENS_AT_ONCE = 2**14  # of the sources
# A translation ends at the latest after so many tokens for each of the source, and so many more.
MOST_A_TOKEN, MOST_MORE = 5, 30


@dataclass(frozen=True)
class Score:
    """How well given translations were predicted: summed nats, and tokens with <eos>, of which so many came first."""

    nats: float
    tokens: int
    correct: int


class TranslationRunner:
    """Encoder and decoder of a model file. It never changes, so threads may share one."""

    def __init__(self, model_file: ModelFile) -> None:
        check_translates(model_file)
        self.eos_id = model_file.tokenizer.eos_id
        self._encoder = EncoderRunner(model_file.model, model_file.arrays)
        self._decoder = AttentiveDecoder(model_file.model, model_file.arrays)

    def translate(self, sources: Part, settings: BeamSettings, *, max_tokens: int = 0) -> list[list[Hypothesis]]:
        """The best translations of each record, in their order; `max_tokens` 0 is a bound by the source's length."""
        found: list[list[Hypothesis]] = [[] for _ in range(sources.num_records)]
        for rows, tokens, lengths in source_batches(sources):
            attended = self._decoder.attend(self._encoder.encode(tokens, lengths), lengths)
            most = np.full(len(rows), max_tokens) if max_tokens else MOST_A_TOKEN * lengths + MOST_MORE
            own = search(
                attended.step,
                attended.initial_state(),
                most,
                start_id=self.eos_id,
                eos_id=self.eos_id,
                settings=settings,
            )
            for row, length, hypotheses in zip(rows.tolist(), lengths.tolist(), own, strict=True):
                found[row] = [replace(one, attention=_cut(one.attention, length)) for one in hypotheses]
        return found

    def score(self, part: Part) -> Score:
        """How well the targets of a part of pairs are predicted, each token after the true ones before it."""
        assert part.source is not None
        assert part.offsets is not None
        nats, count, correct = 0.0, 0, 0
        for rows, tokens, lengths in source_batches(part.source):
            targets, target_lengths = padded(part, np.column_stack([part.offsets[rows], part.offsets[rows + 1]]))
            attended = self._decoder.attend(self._encoder.encode(tokens, lengths), lengths)
            state, read = attended.initial_state(), np.full(len(rows), self.eos_id)
            for t in range(targets.shape[1]):
                logits, state, _ = attended.step(read, state)
                counted, read = t < target_lengths, targets[:, t]
                wanted, own = read[counted], logits[counted]
                top = own.max(axis=1)
                log_sum = top + np.log(np.exp(own - top[:, None]).sum(axis=1))
                nats += float((log_sum - own[np.arange(len(own)), wanted]).sum(dtype=np.float64))
                correct += int((own.argmax(axis=1) == wanted).sum())
            count += int(target_lengths.sum())
        return Score(nats, count, correct)


def _cut(attention: Array | None, length: int) -> Array | None:
    """Without the places behind a source's length, which only its neighbours have."""
    return None if attention is None else attention[:, :length]


def source_batches(sources: Part) -> Iterator[tuple[Array, Array, Array]]:
    """Records of like length together: their numbers (N,), tokens with <eos> (N, S) and lengths (N,)."""
    assert sources.offsets is not None
    lengths = np.diff(sources.offsets)
    order = np.argsort(lengths, kind="stable")
    first = 0
    while first < len(order):
        longest = int(lengths[order[min(first + ROWS_AT_ONCE, len(order)) - 1]])
        rows = order[first : first + max(1, min(ROWS_AT_ONCE, TOKENS_AT_ONCE // longest))]
        yield rows, *padded(sources, np.column_stack([sources.offsets[rows], sources.offsets[rows + 1]]))
        first += len(rows)
