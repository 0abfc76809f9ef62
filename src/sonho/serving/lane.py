"""The texts of one model: those that wait for a place, and those that are drawn side by side."""

from __future__ import annotations

import time
from collections import deque

import numpy as np

from sonho.decoding.state import Array, State, take_rows
from sonho.decoding.stepper import feed
from sonho.serving.batches import Drawn, make_batch
from sonho.serving.completion import Completion
from sonho.serving.logprobs import score_tokens
from sonho.serving.metrics import Metrics
from sonho.serving.pace import Pace
from sonho.serving.served_model import ServedModel
from sonho.serving.text_row import TextRow

# A draw takes about so long: a text that joins, leaves or is called off waits for its end.
DRAW_SECONDS = 0.025
FEED_SECONDS = 0.01
FIRST_SHARE = 4
MOST_TOKENS_A_DRAW = 512


class Lane:
    """Belongs to the engine's thread."""

    def __init__(self, model: ServedModel, batch_size: int, metrics: Metrics) -> None:
        self.model, self._batch_size, self._metrics = model, batch_size, metrics
        self.batch = make_batch(model.stepper, model.tokenizer.eos_id)
        self.waiting: deque[TextRow] = deque()
        self.feed_pace = Pace(target_seconds=FEED_SECONDS, first=64, most=8192)
        self._pace = Pace(target_seconds=DRAW_SECONDS, first=4, most=MOST_TOKENS_A_DRAW)

    def queue(self, completion: Completion) -> None:
        self.waiting.extend(completion.rows)

    def drop_cancelled(self) -> int:
        """Forget the texts that nobody waits for. Returns how many there were."""
        before = len(self.waiting) + len(self.batch.rows)
        self.waiting = deque(row for row in self.waiting if not _is_over(row))
        self._keep([i for i, row in enumerate(self.batch.rows) if not _is_over(row)])
        return before - len(self.waiting) - len(self.batch.rows)

    def draw(self, share: int) -> int:
        """Let texts join, draw for all, let finished ones leave. Returns how many left.

        `share`: lanes that draw in turn, so that each takes a part of the time.
        """
        room = self._batch_size - len(self.batch.rows)
        joining = [self.waiting.popleft() for _ in range(min(len(self.waiting), room))]
        if joining:
            stands = [_stand_of(row) for row in joining]
            self.batch.join(joining, [logits for logits, _ in stands], [state for _, state in stands])
        rows = list(self.batch.rows)
        if not rows:
            return 0
        rooms = sorted(row.room for row in rows)
        count = min(self._pace.amount(len(rows) * share), rooms[len(rows) // 2])
        if joining:  # their first letters come sooner
            count //= FIRST_SHARE
        count = max(1, count)
        began = time.perf_counter()
        drawn = self.batch.draw(count)
        for i, row in enumerate(rows):
            self._take(i, row, drawn)
        self._pace.note(max(map(len, drawn.tokens), default=1) or 1, time.perf_counter() - began, len(rows))
        self._metrics.drawn(sum(map(len, drawn.tokens)), len(rows))
        self._keep([i for i, row in enumerate(rows) if not (row.finished or row.completion.handle.failed)])
        return len(rows) - len(self.batch.rows)

    def clear(self) -> int:
        """Forget all texts, after a fault. Returns how many there were."""
        count = len(self.waiting) + len(self.batch.rows)
        self.waiting.clear()
        self.batch = make_batch(self.model.stepper, self.model.tokenizer.eos_id)
        return count

    def _take(self, i: int, row: TextRow, drawn: Drawn) -> None:
        completion, tokens = row.completion, drawn.tokens[i][: row.room]
        if completion.handle.cancelled or completion.handle.failed:
            return
        if tokens:
            used = row.extend(tokens, self._scored(i, row, tokens, drawn))
            if row.finished or (completion.handle.streaming and row.has_news):
                growth = row.grown()
                if row.finished and completion.keeps_stand:
                    growth.stand = feed(self.model.stepper, np.array(used), take_rows(drawn.state, [i]))
                completion.handle.post(growth)
        error = drawn.errors[i]
        if error is not None and not row.finished:
            completion.handle.post(error)

    def _scored(self, i: int, row: TextRow, tokens: list[int], drawn: Drawn) -> list[tuple[float, dict[str, float]]]:
        """The log-probabilities of drawn tokens, from where the row stood before them."""
        if row.num_logprobs is None:
            return []
        logits = drawn.logits[i : i + 1]  # (1, V)
        if len(tokens) > 1:
            fed = np.array([tokens[:-1]])
            after, _ = self.model.stepper.forward(fed, take_rows(drawn.state, [i]))  # (1, T - 1, V)
            logits = np.concatenate([logits, after[0]])
        return score_tokens(logits, tokens, row.num_logprobs, self.model.token_strings)

    def _keep(self, rows: list[int]) -> None:
        if len(rows) < len(self.batch.rows):
            self.batch.keep(rows)


def _is_over(row: TextRow) -> bool:
    return row.completion.handle.cancelled or row.completion.handle.failed


def _stand_of(row: TextRow) -> tuple[Array, State]:
    assert row.completion.stand is not None  # rows are queued once their prompt is fed
    return row.completion.stand
