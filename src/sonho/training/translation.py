"""Translation as a task: a text for each text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from sonho.config import Config, DataKind
from sonho.data.batches import Batch, Batches, make_batches
from sonho.data.corpus import Corpus, Part
from sonho.data.records import take_records
from sonho.decoding.beam import BeamSettings
from sonho.decoding.encoder_decoder import TranslationRunner
from sonho.errors import UsageError
from sonho.evaluation.agreement import agreement, has_sacrebleu
from sonho.evaluation.translation import TranslationReport, translation_report
from sonho.models.encoder_decoder import EncoderDecoder
from sonho.models.language_model import State, load_arrays, to_arrays
from sonho.storage.condition import Condition
from sonho.storage.model_file import ModelFile
from sonho.text import Tokenizer
from sonho.training.language import Say, seconds_of
from sonho.training.task import Measured, differentiate

SAMPLES = 3  # held-out texts that are shown with their translations
# While it learns, so many held-out pairs are translated greedily; at the end, all of them with a beam.
VALIDATION_PAIRS, MOST_PAIRS = 400, 5000
BEAM = 5
# Tokens that a translation may have more than the longest reference.
BEHIND_THE_LONGEST = 10
# How long measuring takes is found out with so many pairs; a beam takes so many times as long as scoring.
TRIAL_PAIRS, BEAM_A_SCORE = 32, 8.0
# Of two models with the same BLEU, as beginnings have it, the one with the lower loss is the better.
SHARE_OF_LOSS = 1e-3


class TranslationTask:
    """An encoder and a decoder that attends. Kept is the best BLEU of held-out pairs; without sacrebleu, loss."""

    data_kind: DataKind = "records"
    window = 0
    unit = "of what BLEU / 100 lacks to 1"
    condition: Condition | None = None
    told_digest = ""
    precision = "float32"

    def __init__(self, config: Config, corpus: Corpus, say: Say, start: ModelFile | None = None) -> None:
        self.config, self.corpus = config, corpus
        if corpus.train.source is None:
            raise UsageError("--task translate needs pairs, a text and its translation; this data has none")
        self.batches: Batches = make_batches(corpus.train, corpus.tokenizer, config.data, config.training.seed)
        torch.manual_seed(config.training.seed)
        source = corpus.source_tokenizer or corpus.tokenizer
        shared = corpus.source_tokenizer is None
        self.model = EncoderDecoder(config.model, source.vocab_size, corpus.tokenizer.vocab_size, shared=shared)
        if start is not None:
            load_arrays(self.model, start.arrays)
        self._counts_bleu = has_sacrebleu()
        if not self._counts_bleu:
            self.unit = "nats"
            say("Without sacrebleu the lowest loss is kept, not the best BLEU: pip install 'sonho[translate]'")

    def initial_state(self, batch_size: int) -> State:
        return ()

    def gradients(self, batch: Batch, state: State) -> tuple[float, State]:
        assert batch.sources is not None
        assert batch.source_lengths is not None
        arrays = (batch.sources, batch.source_lengths, batch.inputs, batch.targets)
        training = self.config.training
        loss = self.model.loss(
            *map(torch.from_numpy, arrays),
            label_smoothing=training.label_smoothing,
            scheduled_sampling=training.scheduled_sampling,
        )
        return differentiate(self.model, loss), ()

    def validate(self) -> Measured:
        assert self.corpus.validation is not None
        report = self._report(_some(self.corpus.validation, VALIDATION_PAIRS), beam=1)
        metrics = {f"validation_{name}": value for name, value in report.figures().items()}
        if report.agreement is None:
            return Measured(metrics)
        return Measured(metrics, score=1.0 - report.agreement.bleu / 100 + SHARE_OF_LOSS * report.loss)

    def baselines(self) -> dict[str, float]:
        """BLEU of the source left as it is: what languages have in common, names and numbers."""
        if self.corpus.validation is None or not self._counts_bleu:
            return {}
        part = _some(self.corpus.validation, MOST_PAIRS)
        assert part.source is not None
        texts = self._texts(part.source, self.corpus.source_tokenizer or self.corpus.tokenizer)
        references = [[text] for text in self._texts(part, self.corpus.tokenizer)]
        return {"source as it is": round(agreement(texts, references).bleu, 4)}

    def samples(self, made: ModelFile, number: int, *, gallery: bool = False) -> Iterator[dict[str, Any]]:
        """Held-out texts, others each time, with their translations and what these should be."""
        part = self.corpus.validation or self.corpus.train
        if gallery:
            return
        chosen = take_records(part, (number * SAMPLES + np.arange(SAMPLES)) % part.num_records)
        assert chosen.source is not None
        sources = self._texts(chosen.source, self.corpus.source_tokenizer or self.corpus.tokenizer)
        texts, references = self._translated(made, chosen, beam=1), self._texts(chosen, self.corpus.tokenizer)
        for source, text, reference in zip(sources, texts, references, strict=True):
            yield {"prompt": source, "temperature": 0.0, "text": f"{source} -> {text} (it is: {reference})"}

    def closing_seconds(self) -> float:
        parts = [part for part in (self.corpus.validation, self.corpus.test) if part is not None]
        if not parts:
            return 0.0
        some = _some(parts[0], TRIAL_PAIRS)
        a_pair = seconds_of(lambda: TranslationRunner(self._model_file()).score(some)) / some.num_records
        last_look = 2.0 * min(parts[0].num_records, VALIDATION_PAIRS)  # the trainer's own
        return a_pair * (last_look + sum(BEAM_A_SCORE * min(part.num_records, MOST_PAIRS) for part in parts))

    def finishing_seconds(self) -> float:
        return 0.0

    def ending_tokens(self, seconds: float) -> tuple[int, float]:
        return 0, 0.0

    def finish(self, kept: ModelFile) -> None:
        """Nothing is left to tell."""

    def report(self, part: Part) -> tuple[TranslationReport, dict[str, float]]:
        report = self._report(_some(part, MOST_PAIRS), beam=BEAM)
        return report, report.figures()

    def _report(self, part: Part, *, beam: int) -> TranslationReport:
        made = self._model_file()
        score = TranslationRunner(made).score(part)
        if not self._counts_bleu:
            return translation_report(score, [], [""] * part.num_records, beam=beam, agree=False)
        texts, references = self._translated(made, part, beam=beam), self._texts(part, self.corpus.tokenizer)
        return translation_report(score, texts, references, beam=beam)

    def _translated(self, made: ModelFile, part: Part, *, beam: int) -> list[str]:
        """What the decoder that users get makes of the sources; at first it would not find an end by itself."""
        assert part.source is not None
        assert part.offsets is not None
        most = int(np.diff(part.offsets).max()) + BEHIND_THE_LONGEST
        found = TranslationRunner(made).translate(part.source, BeamSettings(beam), max_tokens=most)
        return [self.corpus.tokenizer.decode(hypotheses[0].ids).strip() for hypotheses in found]

    def _texts(self, part: Part, tokenizer: Tokenizer) -> list[str]:
        assert part.offsets is not None
        pieces = np.split(part.tokens.read(0, part.num_tokens), part.offsets[1:-1])
        return [tokenizer.decode(piece) for piece in pieces]

    def _model_file(self) -> ModelFile:
        """The weights now in the model, for the decoder that users get."""
        arrays, corpus = to_arrays(self.model), self.corpus
        return ModelFile(
            self.config.model, corpus.tokenizer, "records", arrays, source_tokenizer=corpus.source_tokenizer
        )


def _some(part: Part, most: int) -> Part:
    """At most so many records, spread evenly."""
    if part.num_records <= most:
        return part
    return take_records(part, np.arange(most) * part.num_records // most)
