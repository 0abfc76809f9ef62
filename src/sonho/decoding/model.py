"""`load(path)` gives a `Model`: text in, text out. The door to everything else in this folder.

    model = load("run/")
    print(model.generate("Today ", temperature=0.5, seed=1))
    for piece in model.stream("Today "):
        print(piece, end="", flush=True)

Knows how the parts fit together; each part knows its own work.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from typing import Any, NoReturn, Unpack, overload

import numpy as np

from sonho.config import Weights
from sonho.decoding.chat import Chat
from sonho.decoding.drawing import start_rows
from sonho.decoding.generate import Generation, Piece, RowWriter, draw_rows, feed_rows
from sonho.decoding.labels import check_generates, check_has_labels
from sonho.decoding.prompt import encode_prompt, ids_to_feed
from sonho.decoding.sampler import Source
from sonho.decoding.settings import (
    ConditionOptions,
    Options,
    Settings,
    SharedOptions,
    Temperature,
    check_whole,
    make_settings,
)
from sonho.decoding.stepper import build_stepper
from sonho.decoding.symbols import forced_ids, logit_biases
from sonho.errors import UsageError
from sonho.storage.condition import Label, Rows, told_row
from sonho.storage.model_file import ModelFile, load_model_file

DEFAULT_TEMPERATURE = 0.8
# The person's line, seen from `encode_prompt`, which `_encode` and one of the doors stand between.
CALLS_TO_THE_PERSON = 3


def load(path: str | PathLike[str], *, weights: Weights = "float32", prior: bool = True) -> Model:
    """Load a model file, or the one in a run folder.

    `weights="int8"` rounds them to 8 bits: faster from some 200 units on, nearly the same texts.
    `prior=False` lets the network of a model with an n-gram prior write alone.

    Raises InputNotFoundError, ModelFileError (damaged, altered or foreign) or StorageError.
    """
    return Model(load_model_file(fspath(path)), weights=weights, prior=prior)


class Model:
    """A model ready to generate. It never changes, so threads may share one.

    `Settings` lists the options of the three methods; the model file holds some of their defaults.
    They raise UsageError for an option that cannot be, and warn once (SonhoWarning) of symbols in
    the prompt that the model does not know; the text shows them all the same.
    """

    def __init__(self, model_file: ModelFile, *, weights: Weights = "float32", prior: bool = True) -> None:
        check_generates(model_file)
        self.model_file = model_file
        self.tokenizer = model_file.tokenizer
        self.stepper = build_stepper(model_file, weights=weights, prior=prior)

    @overload
    def generate(
        self, prompt: str = "", *, n: int, temperature: Temperature | Sequence[float] | None = None,
        **options: Unpack[SharedOptions],
    ) -> list[Generation]: ...  # fmt: skip
    @overload
    def generate(
        self, prompt: str = "", *, n: None = None, temperature: Sequence[float], **options: Unpack[SharedOptions]
    ) -> list[Generation]: ...
    @overload
    def generate(
        self, prompt: str = "", *, n: None = None, temperature: Temperature | None = None,
        **options: Unpack[SharedOptions],
    ) -> Generation: ...  # fmt: skip
    def generate(
        self,
        prompt: str = "",
        *,
        n: int | None = None,
        temperature: Temperature | Sequence[float] | None = None,
        **options: Unpack[SharedOptions],
    ) -> Generation | list[Generation]:
        """A text that begins with `prompt`.

        A list comes back for `n` texts, all different, and for a list of temperatures (a gallery):
        `n` at each, in that order. The first of `n` is the text that the seed gives without `n`.
        """
        gallery = _as_list(temperature)
        settings = [
            self._settings({**options, "temperature": value})
            for value in ([temperature] if gallery is None else gallery)
        ]
        check_whole("n", 1 if n is None else n, least=1)
        if not settings:
            raise UsageError("temperature is an empty list; give at least one")
        ids = self._encode(prompt, settings[0])
        seed, condition = _choose_seed(settings[0].seed), self._condition(options)
        texts: list[Generation] = []
        for one in settings:
            sources = [Source(seed, stream, ids) for stream in range(n or 1)]
            texts += self._finish([prompt] * len(sources), sources, [condition] * len(sources), one)
        return texts[0] if n is None and gallery is None else texts

    def generate_batch(
        self,
        prompts: Sequence[str],
        *,
        seeds: Sequence[int] | None = None,
        labels: Sequence[Label] | None = None,
        vectors: Sequence[Any] | np.ndarray | None = None,
        **options: Unpack[Options],
    ) -> list[Generation]:
        """A text for each prompt, drawn side by side.

        Each is the text that `generate` gives for its prompt alone with the same seed: `seed` for
        all, or `seeds`, one each; without either every row draws its own. `label` and `vector` are
        for all too, `labels` and `vectors` one each.
        """
        settings = self._settings(options)
        if isinstance(prompts, str):
            raise UsageError("prompts must be a list of strings; use generate for one")
        if seeds is not None and (settings.seed is not None or len(seeds) != len(prompts)):
            raise UsageError(f"give seed for all or {len(prompts)} seeds, one for each prompt")
        row_seeds = [settings.seed] * len(prompts) if seeds is None else seeds
        sources = []
        for prompt, seed in zip(prompts, row_seeds, strict=True):
            chosen = _choose_seed(replace(settings, seed=seed).seed)
            sources.append(Source(chosen, 0, self._encode(prompt, settings)))
        conditions = self._conditions(options, labels, vectors, len(prompts))
        return self._finish(prompts, sources, conditions, settings) if sources else []

    def stream(self, prompt: str = "", **options: Unpack[Options]) -> Iterator[Piece]:
        """The text of `generate` in pieces, as soon as they are certain, the prompt first.

        The last piece, which may be empty, holds the finish reason, the seed and the tokens drawn.
        """
        settings = self._settings(options)
        source = Source(_choose_seed(settings.seed), 0, self._encode(prompt, settings))
        writer, pieces = self._start([source], [self._condition(options)], settings)

        def stream() -> Iterator[Piece]:
            if settings.echo and prompt:
                yield Piece(prompt)
            for _, text in pieces:
                if writer[0].finish_reason is None:
                    yield Piece(text)
                else:
                    yield Piece(text, writer[0].finish_reason, source.seed, writer[0].num_tokens)

        return stream()

    def chat(self, *, speakers: Sequence[str] = (), **options: Unpack[Options]) -> Chat:
        """A conversation: `.say(words)` gives the answer, and the model remembers what was said.

        `speakers` are the person and the model, where it was not trained with `data.speakers`.
        """
        settings = self._settings(options)
        return Chat(self.model_file, self.stepper, settings, _choose_seed(settings.seed), speakers)

    def predict(self, texts: Sequence[str]) -> NoReturn:
        """Raises UsageError: a language model knows no labels."""
        check_has_labels(self.model_file)
        raise AssertionError("check_has_labels refuses every model that a Model takes")

    def _settings(self, options: Mapping[str, Any]) -> Settings:
        """The options over the defaults that the model file holds."""
        options = {name: value for name, value in options.items() if name not in ("label", "vector", "strength")}
        stored = self.model_file.sampling
        only = len(stored.temperatures) == 1  # several are a gallery, and no default
        defaults = {
            "temperature": stored.temperatures[0] if only else DEFAULT_TEMPERATURE,
            "max_tokens": stored.max_tokens,
            "top_k": stored.top_k or None,
            "top_p": stored.top_p,
            "min_p": stored.min_p,
            "repetition_penalty": stored.repetition_penalty,
        }
        if options.get("temperature") is None:
            options = {**options, "temperature": defaults["temperature"]}
        return make_settings({**defaults, **options})

    def _condition(self, options: ConditionOptions) -> Rows | None:
        """The row (1, F) of the label or vector among the options; None where there is none: the mean."""
        return told_row(
            self.model_file.condition, options.get("label"), options.get("vector"), options.get("strength", 1.0)
        )

    def _conditions(
        self, options: ConditionOptions, labels: Sequence[Label] | None, vectors: Any, count: int
    ) -> list[Rows | None]:
        """The same for each of `count` rows."""
        for name, values in (("labels", labels), ("vectors", vectors)):
            if values is not None and (isinstance(values, str) or len(values) != count):
                raise UsageError(f"give {count} {name}, one for each prompt, or {name[:-1]} for all")
        if labels is not None:
            return [self._condition({**options, "label": label}) for label in labels]
        if vectors is not None:
            return [self._condition({**options, "vector": vector}) for vector in vectors]
        return [self._condition(options)] * count

    def _encode(self, prompt: str, settings: Settings) -> tuple[int, ...]:
        ids = encode_prompt(self.tokenizer, prompt, settings.unknown, stacklevel=CALLS_TO_THE_PERSON)
        return tuple(ids.tolist())

    def _start(
        self, sources: Sequence[Source], conditions: Sequence[Rows | None], settings: Settings
    ) -> tuple[list[RowWriter], Iterator[tuple[int, str]]]:
        """Check what is left to check, and set up the rows: their writers and what they will write."""
        tokenizer, data_kind = self.tokenizer, self.model_file.data_kind
        bias = logit_biases(settings, tokenizer, data_kind)
        forced = forced_ids(settings, tokenizer, data_kind)
        writers = [
            RowWriter(tokenizer.decoder(), settings.stops, tokenizer.eos_id, settings.max_tokens) for _ in sources
        ]
        prompts = [ids_to_feed(tokenizer, data_kind, np.array(source.prompt_ids, np.int64)) for source in sources]

        def pieces() -> Iterator[tuple[int, str]]:
            logits, state = feed_rows(self.stepper, prompts, conditions)
            rows = start_rows(
                self.stepper, logits, state, settings, sources, bias=bias, forced=forced, eos_id=tokenizer.eos_id
            )
            yield from draw_rows(rows, writers)

        return writers, pieces()

    def _finish(
        self,
        prompts: Sequence[str],
        sources: Sequence[Source],
        conditions: Sequence[Rows | None],
        settings: Settings,
    ) -> list[Generation]:
        """Draw every row to its end."""
        writers, pieces = self._start(sources, conditions, settings)
        texts = [[prompt] if settings.echo else [] for prompt in prompts]
        for row, text in pieces:
            texts[row].append(text)
        generations = []
        for text_pieces, source, writer in zip(texts, sources, writers, strict=True):
            assert writer.finish_reason is not None  # draw_rows ends when every writer has ended
            text = "".join(text_pieces)
            generations.append(Generation(text, writer.finish_reason, source.seed, writer.num_tokens))
        return generations


def _choose_seed(seed: int | None) -> int:
    return secrets.randbits(63) if seed is None else int(seed)


def _as_list(temperature: Any) -> list[Any] | None:
    """A gallery's temperatures, or None where `temperature` is a single one or a schedule."""
    if isinstance(temperature, list | tuple | range | np.ndarray):
        return list(temperature)
    return None
