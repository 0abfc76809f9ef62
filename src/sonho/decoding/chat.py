"""A conversation that a model goes on with: its state stays between the turns.

    chat = load("runs/dialogue").chat()
    chat.say("Hello!")

The model has learned lines such as `A: Hello!`, a speaker each (`data.speakers`). A turn feeds the person's line and
the beginning of the answer to the state, draws to the end of the line, and feeds what was drawn: the state depends on
what was said alone, not on how it was drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from sonho.data.dialogue import line_of
from sonho.decoding.drawing import Rows, start_rows
from sonho.decoding.generate import Generation, Piece, RowWriter, draw_rows
from sonho.decoding.prompt import encode_prompt
from sonho.decoding.sampler import Source
from sonho.decoding.settings import Settings
from sonho.decoding.state import Array, State
from sonho.decoding.stepper import Stepper, feed
from sonho.decoding.symbols import forced_ids, logit_biases
from sonho.errors import UsageError
from sonho.storage.model_file import ModelFile

END_OF_TURN = "\n"
# The person's line, seen from `encode_prompt`.
CALLS_TO_THE_PERSON = 4


class Chat:
    """Turns between the first speaker, a person, and the second, the model. Not to be shared between threads.

    `seed` makes the conversation the same again. Raises UsageError for a model without speakers, unless they are given.
    """

    def __init__(
        self, model_file: ModelFile, stepper: Stepper, settings: Settings, seed: int, speakers: Sequence[str] = ()
    ) -> None:
        self._model_file, self._stepper, self.seed = model_file, stepper, seed
        stops = tuple(dict.fromkeys((*settings.stops, END_OF_TURN)))
        self._settings = replace(settings, stop=stops, echo=False)
        self.person, self.model = _two_speakers(model_file, speakers)
        self._state: State = stepper.initial_state(1)
        self._turn = 0

    def reset(self) -> None:
        """Forget all that was said. The turns are counted on, so that the same words may get another answer."""
        self._state = self._stepper.initial_state(1)

    def say(self, words: str) -> Generation:
        """The answer to one line."""
        pieces = list(self.stream(words))
        last = pieces[-1]
        assert last.finish_reason is not None  # of the last piece always
        return Generation("".join(piece.text for piece in pieces), last.finish_reason, self.seed, last.num_tokens)

    def stream(self, words: str) -> Iterator[Piece]:
        """The answer in pieces; the conversation goes on when the last has been taken."""
        settings, tokenizer = self._settings, self._model_file.tokenizer
        line = line_of(self.person, words) + END_OF_TURN + f"{self.model}:"
        ids = encode_prompt(tokenizer, line, settings.unknown, stacklevel=CALLS_TO_THE_PERSON)
        if not len(ids):
            raise UsageError(f"the model knows no symbol of {line!r}; was it trained with data.speakers?")
        logits, state = feed(self._stepper, ids, self._state)
        writer = RowWriter(tokenizer.decoder(), settings.stops, tokenizer.eos_id, settings.max_tokens)
        source = Source(self.seed, self._turn, tuple(ids.tolist()))
        said = ""
        for _, text in draw_rows(self._rows(logits, state, source), [writer]):
            # The space after the colon is the model's to draw, but no part of the answer.
            shown = text if said.strip(" ") else text.lstrip(" ")
            said += text
            if writer.finish_reason is not None:
                self._state = self._after(line + said + END_OF_TURN)
                self._turn += 1
            yield Piece(shown, writer.finish_reason, self.seed, writer.num_tokens)

    def _rows(self, logits: Array, state: State, source: Source) -> Rows:
        tokenizer, kind, settings = self._model_file.tokenizer, self._model_file.data_kind, self._settings
        return start_rows(
            self._stepper,
            logits,
            state,
            settings,
            [source],
            bias=logit_biases(settings, tokenizer, kind),
            forced=forced_ids(settings, tokenizer, kind),
            eos_id=tokenizer.eos_id,
        )

    def _after(self, text: str) -> State:
        """The state after a whole turn. It is read again: draws come in chunks, and one may reach past the end."""
        ids = self._model_file.tokenizer.encode(text).astype(np.int64)
        return self._stepper.advance(ids[None], self._state)


def _two_speakers(model_file: ModelFile, speakers: Sequence[str]) -> tuple[str, str]:
    """The person and the model: as given, or as the model was trained with."""
    if model_file.data_kind != "stream":
        raise UsageError("the model learned separate records, not a conversation; train it with data.speakers")
    names = list(speakers) or list((model_file.record.get("data") or {}).get("speakers") or [])
    if not names:
        raise UsageError("the model was trained without data.speakers; name two, such as --speakers A,B")
    if len(names) < 2 or not all(isinstance(name, str) and name.strip() for name in names):
        raise UsageError(f"a conversation needs two speakers, got {names}")
    return names[0], names[1]
