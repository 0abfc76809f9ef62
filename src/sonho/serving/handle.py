"""A request's end of the line to the engine: what comes from there, and the way to call it off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class Handle:
    """The engine posts from its thread, `deliver` puts what was posted where the event loop awaits it.

    `streaming`: growth is wanted as it comes, not only at the end.
    """

    def __init__(self, *, streaming: bool = False) -> None:
        self.streaming = streaming
        self.cancelled = False  # set by the event loop, read by the engine: its work is dropped
        self.failed = False  # set by the engine: an error was posted, and nothing follows it
        self._arrived: list[Any] = []
        self._waiter: asyncio.Future[None] | None = None
        self._notify: Callable[[Handle, Any], None] = lambda handle, event: None

    def connect(self, notify: Callable[[Handle, Any], None]) -> None:
        self._notify = notify

    def post(self, event: Any) -> None:
        """From the engine: an event, or an exception after which nothing comes."""
        if self.cancelled or self.failed:
            return
        self.failed = isinstance(event, BaseException)
        self._notify(self, event)

    def deliver(self, event: Any) -> None:
        """In the event loop: an event has come."""
        self._arrived.append(event)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def collect(self, timeout: float | None = None) -> list[Any]:
        """Everything that has come, at least one event. Raises TimeoutError, or what was posted as an error.

        All at once and not one by one: under load that is what the event loop has time for.
        """
        if not self._arrived:
            self._waiter = asyncio.get_running_loop().create_future()
            async with asyncio.timeout(timeout):
                await self._waiter
        if isinstance(self._arrived[0], BaseException):
            raise self._arrived[0]
        error = [event for event in self._arrived[-1:] if isinstance(event, BaseException)]  # nothing follows one
        events, self._arrived = self._arrived[: len(self._arrived) - len(error)], error
        return events

    def cancel(self) -> None:
        self.cancelled = True
