"""A captioner on held-out pictures: the loss of the captions that people wrote, and BLEU of its own.

The trainer validates with this too, so that both give the same figure. Shapes: N rows, T tokens, P pictures, V
vocabulary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from sonho.data.parts import Part
from sonho.data.pictures import Pictures
from sonho.decoding.attentive import Attended, AttentiveDecoder
from sonho.decoding.beam import log_softmax
from sonho.decoding.captioner import Captioner
from sonho.evaluation.agreement import Agreement, agreement, bleu
from sonho.storage.model_file import ModelFile
from sonho.text import Tokenizer, masked_ids

PICTURES_AT_ONCE = 64
CONSTANTS = 50  # captions of the training part that are tried as the caption of every picture


@dataclass(frozen=True)
class CaptionReport:
    """How well captions are predicted and written. `captions` has each picture's own text and the references."""

    nats: float  # of all tokens of the references together
    num_tokens: int
    beam: int
    agreement: Agreement  # of the written captions with the references
    captions: Mapping[str, tuple[str, list[str]]] = field(repr=False)

    @property
    def loss(self) -> float:
        """Nats per token."""
        return self.nats / self.num_tokens

    def to_dict(self) -> dict[str, Any]:
        """Figures as plain values, ready for JSON."""
        return {
            "loss": self.loss,
            **asdict(self.agreement),
            "beam": self.beam,
            "pictures": len(self.captions),
            "tokens": self.num_tokens,
        }


def evaluate_captions(
    model_file: ModelFile, part: Part, pictures: Pictures, *, beam: int = 1, limit: int = 0
) -> CaptionReport:
    """Score a part that was made with the model's own tokenizer, whose labels are the numbers of `pictures`.

    Its texts are told first, word by word, for the loss; then the model writes, greedily or with a `beam`.
    `limit` > 0 looks at so many pictures at most, spread evenly.
    """
    captioner, tokenizer = Captioner(model_file), model_file.tokenizer
    scorer = AttentiveDecoder(model_file.model, model_file.arrays, masked_ids(tokenizer, "records"))
    rows = rows_of_pictures(part)
    chosen = sorted(rows)
    if limit and len(chosen) > limit:
        chosen = [chosen[i * len(chosen) // limit] for i in range(limit)]
    nats, count = 0.0, 0
    captions: dict[str, tuple[str, list[str]]] = {}
    for first in range(0, len(chosen), PICTURES_AT_ONCE):
        numbers = chosen[first : first + PICTURES_AT_ONCE]
        values = captioner.encoder.encode(pictures.take(np.array(numbers)))  # (P, S, D)
        records = [(place, row) for place, number in enumerate(numbers) for row in rows[number]]
        told, of_records = values[[place for place, _ in records]], np.array([row for _, row in records])
        attended = scorer.attend(told, np.full(len(told), told.shape[1]))
        lost, seen = _told(attended, part, of_records, tokenizer.eos_id)
        nats, count = nats + lost, count + seen
        for number, [caption] in zip(numbers, captioner.write(values, beam=beam), strict=True):
            captions[pictures.names[number]] = caption.text, [reference(part, row, tokenizer) for row in rows[number]]
    texts, references = zip(*captions.values(), strict=True)
    return CaptionReport(nats, count, beam, agreement(texts, references), captions)


def _told(attended: Attended, part: Part, rows: np.ndarray, eos_id: int) -> tuple[float, int]:
    """The nats of the tokens of these records (N,), one an item of the memory, each told those before it; how many."""
    assert part.offsets is not None
    lengths = part.offsets[rows + 1] - part.offsets[rows]  # <eos> included
    targets = part.tokens.gather(part.offsets[rows], int(lengths.max())).astype(np.int64)  # (N, T)
    tokens, state, nats = np.full(len(rows), eos_id), attended.initial_state(), 0.0
    for t in range(targets.shape[1]):
        logits, state, _ = attended.step(tokens, state)
        tokens = np.where(t < lengths, targets[:, t], eos_id)
        likely = log_softmax(logits)[np.arange(len(rows)), tokens]
        nats -= float(likely[t < lengths].sum(dtype=np.float64))
    return nats, int(lengths.sum())


def rows_of_pictures(part: Part) -> dict[int, list[int]]:
    """The numbers of each picture's records."""
    assert part.labels is not None
    rows: dict[int, list[int]] = {}
    for row, number in enumerate(part.labels.tolist()):
        rows.setdefault(number, []).append(row)
    return rows


def reference(part: Part, row: int, tokenizer: Tokenizer) -> str:
    """The text of a record. An unknown word stays as <unk>, which no caption holds, so that it counts as missed."""
    assert part.offsets is not None
    start, stop = part.offsets[row : row + 2].tolist()
    ids = part.tokens.read(start, stop - 1)
    if tokenizer.unk_id is None:
        return tokenizer.decode(ids)
    return "".join(" <unk>" if i == tokenizer.unk_id else tokenizer.decode([i]) for i in ids.tolist()).strip()


def caption_baselines(train: Part, held_out: Part, tokenizer: Tokenizer, seed: int) -> dict[str, float]:
    """BLEU to beat: the best of the commonest captions for every picture, and for each a training caption by chance."""
    rows = rows_of_pictures(held_out)
    references = [[reference(held_out, row, tokenizer) for row in own] for own in rows.values()]
    known = [reference(train, row, tokenizer) for row in range(train.num_records)]
    common = [text for text, _ in Counter(known).most_common(CONSTANTS)]
    drawn = np.random.default_rng(seed).integers(len(known), size=len(references))
    return {
        "best constant caption": max(bleu([text] * len(references), references)[0] for text in common),
        "random training caption": bleu([known[i] for i in drawn.tolist()], references)[0],
    }
