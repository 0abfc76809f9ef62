"""`Captioner(model_file)`: pictures in, captions out, with what was looked at for each word. No torch.

Shapes: N pictures, H and W pixels, S = h * w places of the grid, D width of a place, L tokens of a caption.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from sonho.data.pictures import decode, picture_size, read_picture, resize
from sonho.decoding.attentive import Attended, AttentiveDecoder
from sonho.decoding.beam import BeamSettings, log_softmax, search
from sonho.decoding.labels import check_generates, check_has_labels
from sonho.decoding.picture_encoder import PictureEncoder, grid_shape
from sonho.decoding.sampler import Sampler, Source
from sonho.decoding.settings import Settings, check_whole, make_settings
from sonho.decoding.state import Array, State, take_rows
from sonho.decoding.symbols import logit_biases
from sonho.errors import ModelFileError, UsageError
from sonho.storage.model_file import ModelFile

PICTURES_AT_ONCE = 64
Picture = str | PathLike[str] | bytes | Array
NOTHING_SAID = Settings()
ONLY_DRAWN = (
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
    "no_repeat_ngram",
    "forced",
    "uniform",
)


@dataclass(frozen=True, eq=False)
class Caption:
    """A caption of one picture. `score` is what a beam ranks by; of one that was drawn it is the log-probability."""

    text: str
    tokens: tuple[str, ...]
    score: float
    log_probability: float  # nats, the end included
    finished: bool  # False: cut off at `max_tokens`
    attention: Array | None = field(
        default=None, repr=False
    )  # (L, h, w), each token's sums to 1; None: looks at nothing

    def __str__(self) -> str:
        return self.text


class Captioner:
    """A model that captions, ready to use. It never changes, so threads may share one."""

    def __init__(self, model_file: ModelFile) -> None:
        check_captions(model_file)
        self.model_file, self.tokenizer = model_file, model_file.tokenizer
        try:
            self.size = picture_size(model_file.record["data"]["picture_size"])  # W, H
        except (KeyError, TypeError, UsageError):
            raise ModelFileError(
                "the model does not say to what size its pictures were resized; train it again"
            ) from None
        self.grid = grid_shape(model_file.model, self.size)  # h, w
        self.encoder = PictureEncoder(model_file.model, model_file.arrays)
        self.decoder = AttentiveDecoder(model_file.model, model_file.arrays)

    def caption(self, pictures: Sequence[Picture], *, first: int = 0, **options: Any) -> list[list[Caption]]:
        """The best captions of each picture: a path, the bytes of a PNG or JPEG, or pixels (H, W, 3) uint8 of any size.

        `beam` and `n_best`: the likeliest that a beam of so many finds, of which one is the greedy choice, ranked
        with a `length_penalty` (see decoding/beam.py). With a `temperature` above 0 `n_best` are drawn instead. The
        others are those of `Model.generate`: max_tokens, banned, and those of drawing, seed, top_k, top_p, ... What is
        drawn for a picture depends on the seed and its number, which begins with `first`.
        Raises UsageError, InputNotFoundError, or DataError for a picture that cannot be read.
        """
        if isinstance(pictures, str | bytes | PathLike):
            raise UsageError("pictures must be a list; for one picture give [picture]")
        if options.get("seed") is None:
            options["seed"] = secrets.randbits(63)
        captions: list[list[Caption]] = []
        for at in range(0, len(pictures), PICTURES_AT_ONCE):
            pixels = np.stack([self.pixels(picture) for picture in pictures[at : at + PICTURES_AT_ONCE]])
            captions += self.write(self.encoder.encode(pixels), first=first + at, **options)
        return captions

    def write(
        self,
        values: Array,
        *,
        first: int = 0,
        beam: int = 1,
        n_best: int = 1,
        length_penalty: float = 1.0,
        **options: Any,
    ) -> list[list[Caption]]:
        """The same for what the encoder made of pictures, (N, S, D), which have the numbers `first` and on."""
        defaults = {"max_tokens": self.model_file.sampling.max_tokens, "temperature": 0.0, "seed": 0}
        settings = make_settings({**defaults, **options})
        check_whole("beam", beam, least=1)
        check_whole("n_best", n_best, least=1)
        attended = self.decoder.attend(values, np.full(len(values), values.shape[1]))
        if settings.temperature == 0.0:
            _check_nothing_is_drawn(settings)
            return self._searched(attended, settings, BeamSettings(beam, n_best, length_penalty))
        if beam > 1:
            raise UsageError(
                "a beam looks for the likeliest caption and a temperature draws one; leave out one of them"
            )
        assert settings.seed is not None
        return self._drawn(attended, settings, settings.seed, first, n_best)

    def pixels(self, picture: Picture) -> Array:
        """A picture as the network sees it, (H, W, 3) uint8."""
        if isinstance(picture, np.ndarray):
            if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
                raise UsageError(f"pixels must be (H, W, 3) uint8, got {picture.shape} {picture.dtype}")
            return resize(picture, self.size)
        return decode(picture, self.size) if isinstance(picture, bytes) else read_picture(Path(picture), self.size)

    def _searched(self, attended: Attended, settings: Settings, beam: BeamSettings) -> list[list[Caption]]:
        bias = self._bias(settings)

        def step(tokens: Array, state: State) -> tuple[Array, State, Array | None]:
            logits, after, weights = attended.step(tokens, state)
            return logits + bias, after, weights

        eos_id = self.tokenizer.eos_id
        most = np.full(len(attended.values), settings.max_tokens)
        found = search(step, attended.initial_state(), most, start_id=eos_id, eos_id=eos_id, settings=beam)
        return [
            [self._caption(one.ids, one.score, one.log_probability, one.finished, one.attention) for one in own]
            for own in found
        ]

    def _drawn(self, attended: Attended, settings: Settings, seed: int, first: int, copies: int) -> list[list[Caption]]:
        """`copies` captions of each picture, drawn side by side; the pictures are number `first` and on."""
        eos_id, count = self.tokenizer.eos_id, len(attended.values)
        rows = np.arange(count * copies)
        sources = [Source(seed, first * copies + row) for row in rows.tolist()]
        sampler, bias = Sampler(settings, sources, bias=None, forced={}), self._bias(settings)
        tokens, state = np.full(len(rows), eos_id), take_rows(attended.initial_state(), rows // copies)
        steps: list[
            tuple[Array, Array, Array | None]
        ] = []  # tokens (B,), their log-probabilities (B,), attention (B, S)
        running = np.ones(len(rows), bool)
        while running.any() and len(steps) < settings.max_tokens:
            logits, state, weights = attended.step(tokens, state)
            logits += bias
            tokens = sampler.draw(logits, len(steps))
            sampler.record(tokens.tolist())
            steps.append((tokens, log_softmax(logits)[rows, tokens], weights))
            running &= tokens != eos_id
        drawn = [self._of_row(steps, row) for row in rows.tolist()]
        return [drawn[at : at + copies] for at in range(0, len(drawn), copies)]

    def _bias(self, settings: Settings) -> Array:
        """What is added to the logits (V,): -inf for <unk> and what else may not be written."""
        bias = logit_biases(settings, self.tokenizer, "records")
        return np.zeros(self.tokenizer.vocab_size, np.float32) if bias is None else bias.astype(np.float32)

    def _of_row(self, steps: Sequence[tuple[Array, Array, Array | None]], row: int) -> Caption:
        ids = [int(tokens[row]) for tokens, _, _ in steps]
        finished = self.tokenizer.eos_id in ids
        length = ids.index(self.tokenizer.eos_id) if finished else len(ids)
        nats = float(sum(likely[row] for _, likely, _ in steps[: length + finished]))
        looks = [weights[row] for _, _, weights in steps[:length] if weights is not None]
        attention = np.array(looks) if len(looks) == length else None
        return self._caption(np.array(ids[:length], np.int64), nats, nats, finished, attention)

    def _caption(
        self, ids: Array, score: float, log_probability: float, finished: bool, attention: Array | None
    ) -> Caption:
        tokens = tuple(self.tokenizer.decode([token]) for token in ids.tolist())
        looked = None if attention is None else attention.reshape(len(ids), *self.grid)
        return Caption(self.tokenizer.decode(ids), tokens, score, log_probability, finished, looked)

    def generate(self, *_: Any, **__: Any) -> NoReturn:
        """Raises UsageError: a caption is written for a picture."""
        check_generates(self.model_file)
        raise AssertionError("check_generates refuses every model that a Captioner takes")

    stream = generate_batch = generate

    def predict(self, *_: Any) -> NoReturn:
        """Raises UsageError: a captioner knows no labels."""
        check_has_labels(self.model_file)
        raise AssertionError("check_has_labels refuses every model that a Captioner takes")


def _check_nothing_is_drawn(settings: Settings) -> None:
    """Raise UsageError for what has no meaning where the likeliest is looked for."""
    for name in ONLY_DRAWN:
        if getattr(settings, name) != getattr(NOTHING_SAID, name):
            raise UsageError(f"{name} is for captions that are drawn; set a temperature above 0, or leave out {name}")


def check_captions(model_file: ModelFile) -> None:
    """Raise UsageError for a model of another task."""
    if model_file.model.task != "caption":
        raise UsageError(f"this model was trained with --task {model_file.model.task}, not to caption pictures")
