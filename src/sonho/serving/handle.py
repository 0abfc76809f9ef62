"""A request's end of the line to the engine: what comes from there, and the way to call it off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class Handle:
    """The engine posts from its thread, `flush` puts what was posted where the event loop awaits it.

    `streaming`: growth is wanted as it comes, not only at the end.
    """

    def __init__(self, *, streaming: bool = False) -> None:
        self.streaming = streaming
        self.cancelled = False  # set by the event loop, read by the engine: its work is dropped
        self.failed = False  # set by the engine: an error was posted, and nothing follows it
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        self._notify: Callable[[Handle, Any], None] = lambda handle, event: None

    def connect(self, notify: Callable[[Handle, Any], None]) -> None:
        self._notify = notify

    def post(self, event: Any) -> None:
        """From the engine: an event, or an exception after which nothing comes."""
        if self.cancelled or self.failed:
            return
        self.failed = isinstance(event, BaseException)
        self._notify(self, event)

    def cancel(self) -> None:
        self.cancelled = True
