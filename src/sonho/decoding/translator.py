"""`Translator(model_file)`, the door of models that translate: texts in, texts out, several for each if wanted.

translator = load("runs/de-en")
[found] = translator.translate(["Ein Hund läuft."], beam=5, n_best=3)
print(found.text, [candidate.score for candidate in found.candidates])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn, get_args

import numpy as np

from sonho.data.corpus import encode_items
from sonho.data.parts import Part
from sonho.decoding.beam import BeamSettings, Hypothesis, Normalisation
from sonho.decoding.encoder_decoder import TranslationRunner
from sonho.decoding.labels import check_generates, check_has_labels
from sonho.decoding.state import Array
from sonho.errors import UsageError
from sonho.storage.model_file import ModelFile
from sonho.text import Tokenizer
from sonho.text.word import split_words

# A longer text is cut: attention looks at all of it at every step.
MOST_SOURCE_TOKENS = 10_000


@dataclass(frozen=True, eq=False)
class Candidate:
    """One translation. `attention` (T, S): how much each source token counted for each of `tokens`."""

    text: str
    score: float  # log-probability over the length penalty: what the list is sorted by
    log_probability: float  # nats
    finished: bool  # False: cut off at the most tokens
    tokens: tuple[str, ...]
    attention: Array


@dataclass(frozen=True, eq=False)
class Translation:
    """The translations of a text, the best first; of a text without content one that is empty."""

    source: str
    source_tokens: tuple[str, ...]
    candidates: tuple[Candidate, ...]

    @property
    def text(self) -> str:
        return self.candidates[0].text


class Translator:
    """A model that translates, ready to use. It never changes, so threads may share one."""

    def __init__(self, model_file: ModelFile) -> None:
        self.model_file, self.tokenizer = model_file, model_file.tokenizer
        self.source_tokenizer = model_file.source_tokenizer or model_file.tokenizer
        self.runner = TranslationRunner(model_file)

    def translate(
        self,
        texts: Sequence[str],
        *,
        beam: int = 5,
        n_best: int = 1,
        length_penalty: float = 1.0,
        normalisation: Normalisation = "wu",
        max_tokens: int = 0,
    ) -> list[Translation]:
        """A Translation for each text, in their order; texts of like length run together.

        `beam` of 1 is greedy; of the `n_best` no two read alike, spaces aside, so there may be fewer. `max_tokens` 0
        bounds a translation by the length of its source. A word that the target's vocabulary lacks is copied from the
        source word that was looked at most. Raises UsageError for a setting that cannot be, and for a single string,
        which would be taken for a list of letters.
        """
        if isinstance(texts, str):
            raise UsageError("texts must be a list of strings; for one text give [text]")
        settings = check_settings(BeamSettings(beam, n_best, length_penalty, normalisation))
        if max_tokens < 0:
            raise UsageError(f"max_tokens must be at least 1, or 0 for a bound by the source, got {max_tokens}")
        said = [number for number, text in enumerate(texts) if text.strip()]
        made = [Translation(text, (), (EMPTY,)) for text in texts]
        if said:
            sources = [texts[number].strip() for number in said]
            part = encode_items(sources, self.source_tokenizer, max_length=MOST_SOURCE_TOKENS)
            # The whole beam, as some of its texts may read alike that were cut into other tokens.
            results = self.runner.translate(part, replace(settings, n_best=beam), max_tokens=max_tokens)
            for row, (number, hypotheses) in enumerate(zip(said, results, strict=True)):
                made[number] = self._translation(texts[number], _record(part, row), hypotheses, n_best)
        return made

    def generate(self, *_: object, **__: object) -> NoReturn:
        """Raises UsageError: what translates needs a text to begin with."""
        check_generates(self.model_file)
        raise AssertionError("check_generates refuses every model that a Translator takes")

    stream = generate_batch = chat = generate

    def predict(self, texts: Sequence[str]) -> NoReturn:
        """Raises UsageError: what translates knows no labels."""
        check_has_labels(self.model_file)
        raise AssertionError("check_has_labels refuses every model that a Translator takes")

    def _translation(self, source: str, ids: Array, hypotheses: Sequence[Hypothesis], n_best: int) -> Translation:
        pieces = pieces_of(self.source_tokenizer, source.strip(), ids)
        candidates: dict[str, Candidate] = {}
        for one in hypotheses:
            assert one.attention is not None  # a decoder that attends says where it looked
            tokens = self._tokens(one.ids, one.attention, pieces)
            unknown = self.tokenizer.unk_id is not None and bool((one.ids == self.tokenizer.unk_id).any())
            text = "".join(tokens) if unknown else self.tokenizer.decode(one.ids)
            shown = tokens if unknown else [self.tokenizer.token_text(int(id)) for id in one.ids]
            made = Candidate(text.strip(), one.score, one.log_probability, one.finished, tuple(shown), one.attention)
            candidates.setdefault(" ".join(made.text.split()), made)
        shown_source = (*(self.source_tokenizer.token_text(int(id)) for id in ids), "<eos>")
        return Translation(source, shown_source, tuple(candidates.values())[:n_best])

    def _tokens(self, ids: Array, attention: Array, pieces: Sequence[str]) -> list[str]:
        """The text of each token; of an unknown one the visible piece of the source that it looked at most."""
        made: list[str] = []
        visible = np.array([not piece.isspace() and bool(piece) for piece in pieces], bool)
        for id, look in zip(ids.tolist(), attention[:, : len(pieces)], strict=True):
            if id != self.tokenizer.unk_id or not visible.any():
                made.append(self.tokenizer.decode([id]))
                continue
            taken = pieces[int(np.where(visible, look, -1.0).argmax())]
            space = " " if self.tokenizer.level == "word" and made else ""
            made.append(space + taken.strip())
        return made


EMPTY = Candidate("", 0.0, 0.0, True, (), np.zeros((0, 0), np.float32))


def check_settings(settings: BeamSettings) -> BeamSettings:
    """Raise UsageError for a search that cannot be."""
    for name in ("beam", "n_best"):
        value = getattr(settings, name)
        if type(value) is not int or not 1 <= value <= 1000:
            raise UsageError(f"{name} must be a whole number from 1 to 1000, got {value!r}")
    if settings.n_best > settings.beam:
        raise UsageError(f"n_best={settings.n_best} of a beam of {settings.beam}; widen the beam to as many")
    if not 0 <= settings.length_penalty <= 10:
        raise UsageError(f"length_penalty must lie between 0 and 10, got {settings.length_penalty!r}")
    if settings.normalisation not in get_args(Normalisation):
        known = ", ".join(get_args(Normalisation))
        raise UsageError(f"normalisation must be one of {known}, got {settings.normalisation!r}")
    return settings


def pieces_of(tokenizer: Tokenizer, text: str, ids: Array) -> list[str]:
    """The piece of the text for which each of its ids stands, also where that is <unk>."""
    text = tokenizer.steps.apply(text)
    pieces = split_words(text) if tokenizer.level == "word" else list(text)
    # Of letters that are left out, and of pieces of words, the ids tell what they stand for.
    return pieces if len(pieces) == len(ids) else [tokenizer.decode([id]) for id in ids.tolist()]


def _record(part: Part, row: int) -> Array:
    """The ids of one record, without its <eos>."""
    assert part.offsets is not None
    start, stop = part.offsets[row : row + 2].tolist()
    return part.tokens.read(start, stop - 1)
