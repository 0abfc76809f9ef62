"""A prompt and the texts that go on from it: fed in slices, then drawn row by row."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sonho.decoding.prompt import ids_to_feed
from sonho.decoding.sampler import Source
from sonho.decoding.settings import Settings
from sonho.decoding.state import Array, State
from sonho.serving.logprobs import TokenLogprob, score_tokens
from sonho.serving.pace import Pace
from sonho.serving.served_model import ServedModel
from sonho.serving.text_row import TextRow

if TYPE_CHECKING:
    from sonho.serving.handle import Handle

SCORED_AT_ONCE = 2**20  # logits


@dataclass(slots=True)
class PromptRead:
    """A prompt was fed; with echo and log-probabilities, those of its tokens."""

    prompt: int
    logprobs: list[TokenLogprob]


class Completion:
    """`size` texts from one prompt. `start` is where a session stands; without one a text begins from `condition`."""

    def __init__(
        self,
        handle: Handle,
        model: ServedModel,
        prompt_number: int,
        prompt_ids: Sequence[int],
        settings: Settings,
        bias: Array | None,
        *,
        seed: int,
        size: int,
        num_logprobs: int | None,
        echo_logprobs: int | None = None,
        start: tuple[Array, State] | None = None,
        condition: Array | None = None,
        history: Sequence[int] = (),
        keeps_stand: bool = False,
    ) -> None:
        self.handle, self.model, self.prompt_number, self.keeps_stand = handle, model, prompt_number, keeps_stand
        self._ids = np.array(prompt_ids, np.int64)
        self._echo_logprobs, self._start, self._condition = echo_logprobs, start, condition
        self.stand: tuple[Array, State] | None = None  # where the rows begin, once the prompt is fed
        seen = (*history, *prompt_ids)
        self.rows = [
            TextRow(self, number, model, Source(seed, number, seen), settings, bias, num_logprobs)
            for number in range(size)
        ]

    @property
    def places(self) -> int:
        """What it counts against the bound of the queue."""
        return max(1, len(self.rows))

    def steps(self, pace: Pace) -> Iterator[None]:
        """Feed the prompt, a slice at a time; `stand` is then where the rows begin."""
        stepper = self.model.stepper
        fed, state = self._ids, stepper.initial_state(1, self._condition)
        if self._start is not None:
            logits, state = self._start
        else:
            fed = begin(self.model, self._ids)
        scored: list[tuple[float, dict[str, float]]] = []
        if self._echo_logprobs is not None and len(self._ids):
            yield from self._score(fed, state, scored)
        if len(fed):
            logits, state = yield from feed_slowly(self.model, fed, state, pace)
        self.stand = logits, state
        self.handle.post(PromptRead(self.prompt_number, self._placed(scored)))

    def _score(self, fed: Array, state: State, scored: list[tuple[float, dict[str, float]]]) -> Iterator[None]:
        opening = len(fed) - len(self._ids)  # 1 where an id stands before the prompt, so that its first is predicted
        inputs, targets = fed[:-1], self._ids[1 - opening :]
        slice_size = max(1, min(256, SCORED_AT_ONCE // self.model.tokenizer.vocab_size))
        for at in range(0, len(inputs), slice_size):
            logits, state = self.model.stepper.forward(inputs[None, at : at + slice_size], state)
            wanted = targets[at : at + slice_size].tolist()
            scored += score_tokens(logits[0], wanted, self._echo_logprobs or 0, self.model.token_strings)
            yield

    def _placed(self, scored: Sequence[tuple[float, dict[str, float]]]) -> list[TokenLogprob]:
        if self._echo_logprobs is None:
            return []
        entries, place, decoder = [], 0, self.model.tokenizer.decoder()
        unscored = len(self._ids) - len(scored)
        for number, token in enumerate(self._ids.tolist()):
            start, place = place, place + len(decoder.push((token,)))
            logprob, top = scored[number - unscored] if number >= unscored else (None, None)
            entries.append(TokenLogprob(self.model.token_strings[token], logprob, top, start, place))
        return entries


def begin(model: ServedModel, ids: Array) -> Array:
    """What is fed into the zero state for a text that begins with `ids`: at least one id."""
    tokenizer = model.tokenizer
    if model.file.data_kind == "records" and len(ids) and ids[0] == tokenizer.eos_id:
        return ids  # the caller has opened the record
    return ids_to_feed(tokenizer, model.file.data_kind, ids)


def feed_slowly(model: ServedModel, ids: Array, state: State, pace: Pace) -> Generator[None, None, tuple[Array, State]]:
    """Feed `ids` (T,), at least one, to a state of one row in slices. Returns the logits (1, V) and the new state."""
    stepper, at, last = model.stepper, 0, len(ids) - 1
    while at < last:
        count = min(pace.amount(), last - at)
        began = time.perf_counter()
        state = stepper.advance(ids[None, at : at + count], state)
        pace.note(count, time.perf_counter() - began)
        at += count
        yield
    return stepper.step(ids[last:], state)
