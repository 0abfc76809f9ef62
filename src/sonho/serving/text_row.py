"""One text that is being drawn: its options, what it has drawn, and what may be shown of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sonho.decoding.generate import FinishReason, RowWriter
from sonho.decoding.sampler import Source
from sonho.decoding.settings import Settings
from sonho.decoding.state import Array, State
from sonho.serving.logprobs import TokenLogprob
from sonho.serving.served_model import ServedModel

if TYPE_CHECKING:
    from sonho.serving.completion import Completion


@dataclass(slots=True)
class Growth:
    """What a text has grown by. With the last one it says why it ended, and, if wanted, where the model stands."""

    prompt: int
    row: int
    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    num_tokens: int = 0  # drawn, those included that are not shown
    mean_logprob: float = 0.0
    finish_reason: FinishReason | None = None
    stand: tuple[Array, State] | None = None


class TextRow:
    """`num_logprobs`: how many likely tokens are told beside each, None for no log-probabilities."""

    def __init__(
        self,
        completion: Completion,
        number: int,
        model: ServedModel,
        source: Source,
        settings: Settings,
        bias: Array | None,
        num_logprobs: int | None,
    ) -> None:
        tokenizer = model.tokenizer
        self.completion, self.number, self.source, self.settings, self.bias = completion, number, source, settings, bias
        self.num_logprobs = num_logprobs
        self._eos_id, self._strings = tokenizer.eos_id, model.token_strings if num_logprobs is not None else []
        self._writer = RowWriter(tokenizer.decoder(), settings.stops, tokenizer.eos_id, settings.max_tokens)
        self._places = tokenizer.decoder()  # finds where each token's text begins
        self._place = self._shown = 0
        self._waiting: list[TokenLogprob] = []  # of tokens whose text is held back
        self._sum = 0.0
        self._held = Growth(completion.prompt_number, number)

    @property
    def room(self) -> int:
        """Tokens that may still come."""
        return self._writer.room

    @property
    def finished(self) -> bool:
        return self._writer.finish_reason is not None

    def extend(self, tokens: Sequence[int], scored: Sequence[tuple[float, dict[str, float]]]) -> list[int]:
        """Take drawn tokens and, where wanted, their log-probabilities. Returns those that count."""
        before = self._writer.num_tokens
        text = self._writer.extend(tokens)
        used = list(tokens[: self._writer.num_tokens - before])
        held = self._held
        held.text += text
        held.token_ids += used
        held.num_tokens += len(used)
        held.finish_reason = self._writer.finish_reason
        if self.num_logprobs is not None:
            self._shown += len(text)
            self._place_tokens(used, scored)
        return used

    def grown(self) -> Growth:
        """What came since this was asked last."""
        grown, self._held = self._held, Growth(self.completion.prompt_number, self.number)
        return grown

    @property
    def has_news(self) -> bool:
        return bool(self._held.text or self._held.finish_reason)

    def _place_tokens(self, tokens: Sequence[int], scored: Sequence[tuple[float, dict[str, float]]]) -> None:
        for token, (logprob, top) in zip(tokens, scored, strict=False):
            self._sum += logprob
            if token == self._eos_id:
                continue
            start, self._place = self._place, self._place + len(self._places.push((token,)))
            self._waiting.append(TokenLogprob(self._strings[token], logprob, top, start, self._place))
        reason = self._writer.finish_reason
        self._held.mean_logprob = self._sum / max(1, self._writer.num_tokens)
        if reason is None:
            ready = next((i for i, e in enumerate(self._waiting) if e.end > self._shown), len(self._waiting))
        elif reason == "stop":  # what the stop string took away is not told either
            ready = next((i for i, e in enumerate(self._waiting) if e.start >= self._shown), len(self._waiting))
        else:
            ready = len(self._waiting)
        self._held.logprobs += self._waiting[:ready]
        del self._waiting[:ready]
