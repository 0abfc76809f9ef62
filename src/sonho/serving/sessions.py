"""Sessions: where a model stands after a text, kept by name. A recurrent state is a few kilobytes."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sonho.decoding.state import Array, State
from sonho.serving.options import MOST_SESSION_TOKENS
from sonho.serving.problems import Problem
from sonho.serving.served_model import ServedModel

# Penalties look back so far at most; see Settings.repetition_window.
KEPT_IDS = 64


@dataclass
class Session:
    """`stand`: the logits (1, V) of the next draw, and the state. `ids` are the last that were read."""

    id: str
    model: ServedModel
    stand: tuple[Array, State]
    num_tokens: int
    ids: Array
    busy: bool = False
    used: float = field(default_factory=time.monotonic)

    @property
    def recent_ids(self) -> tuple[int, ...]:
        """As many as the penalties may look back at."""
        return tuple(self.ids[-KEPT_IDS:].tolist())

    def shown(self) -> dict[str, Any]:
        text = self.model.tokenizer.decode(self.ids)
        return {"id": self.id, "model": self.model.name, "num_tokens": self.num_tokens, "text": text}

    def advance(self, ids: Sequence[int], stand: tuple[Array, State]) -> None:
        """Go on to where the model stands after `ids`."""
        self.stand, self.num_tokens, self.used = stand, self.num_tokens + len(ids), time.monotonic()
        # Ids and not text: a character may be cut between two completions.
        self.ids = np.concatenate([self.ids, np.array(ids, self.ids.dtype)])[-MOST_SESSION_TOKENS:]


class Sessions:
    """At most `most`; one that was idle for `idle_seconds` makes room when another is wanted."""

    def __init__(self, most: int, idle_seconds: float) -> None:
        self._most, self._idle_seconds = most, idle_seconds
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def list(self) -> list[Session]:
        return list(self._sessions.values())

    def get(self, id: str) -> Session:
        """Raises Problem."""
        if id not in self._sessions:
            raise Problem(404, "no such session; it was deleted, or made room for another", code="session_not_found")
        session = self._sessions[id]
        session.used = time.monotonic()
        return session

    def check_room(self) -> None:
        """Raises Problem where no further session can be kept."""
        if len(self._sessions) >= self._most:
            oldest = min((s for s in self._sessions.values() if not s.busy), key=lambda s: s.used, default=None)
            if oldest is None or time.monotonic() - oldest.used < self._idle_seconds:
                message = f"{self._most} sessions are kept already; delete one"
                raise Problem(429, message, code="sessions_full", headers={"Retry-After": "60"})
            del self._sessions[oldest.id]

    def add(self, model: ServedModel, stand: tuple[Array, State], ids: Sequence[int]) -> Session:
        """Keep where `model` stands after `ids`. Raises Problem."""
        self.check_room()
        session = Session(secrets.token_urlsafe(12), model, stand, 0, np.empty(0, model.tokenizer.dtype))
        session.advance(ids, stand)
        self._sessions[session.id] = session
        return session

    def fork(self, id: str) -> Session:
        """Another session that stands where this one does. Raises Problem."""
        source = self.get(id)
        self.check_room()
        session = replace(source, id=secrets.token_urlsafe(12), busy=False)
        self._sessions[session.id] = session
        return session

    def delete(self, id: str) -> None:
        """Raises Problem."""
        self.get(id)
        del self._sessions[id]

    def occupy(self, id: str) -> Session:
        """The session, for one completion at a time. Raises Problem."""
        session = self.get(id)
        if session.busy:
            raise Problem(409, "another completion goes on from this session; wait for it or fork", code="session_busy")
        session.busy = True
        return session
