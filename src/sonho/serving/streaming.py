"""Waiting for the engine while the client may go away, and server-sent events.

A client that goes away is noticed at once, whether it streams or waits: its work is called off.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sonho.serving.handle import Handle
from sonho.serving.problems import as_problem
from sonho.serving.replies import dumps

PING = b": ping\n\n"
DONE = b"data: [DONE]\n\n"


class ClientGone(Exception):
    """Nobody is left to answer."""


async def next_event(handle: Handle) -> Any:
    """The next event of the engine. Raises what it posted as an error."""
    event = await handle.events.get()
    if isinstance(event, BaseException):
        raise event
    return event


async def unless_gone(receive: Receive, work: Any, on_gone: Callable[[], None]) -> Any:
    """Await `work`; raises ClientGone, after `on_gone`, when the client goes away first."""
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(until_gone(receive))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            on_gone()
            raise ClientGone
        return working.result()
    finally:
        for task in (working, watching):
            task.cancel()


async def until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(Response):
    """Sends each of `messages` as an event, and a comment when there is nothing to send for a while.

    An error becomes the last event, so that no stream ends without a reason.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        messages: AsyncIterator[Any],
        *,
        ping_seconds: float,
        on_gone: Callable[[], None],
        on_end: Callable[[], None] = lambda: None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(headers={**(headers or {}), "cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._messages, self._ping_seconds = messages, ping_seconds
        self._on_gone, self._on_end = on_gone, on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with contextlib.suppress(ClientGone):
                await unless_gone(receive, self._write(send), self._on_gone)
        finally:
            self._on_end()

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async for event in self._events():
                await send({"type": "http.response.body", "body": event, "more_body": True})
        except Exception as error:
            event = b"data: " + dumps(as_problem(error).body()) + b"\n\n"
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": DONE, "more_body": False})

    async def _events(self) -> AsyncIterator[bytes]:
        messages = aiter(self._messages)
        pending = asyncio.ensure_future(anext(messages))
        try:
            while True:
                done, _ = await asyncio.wait({pending}, timeout=self._ping_seconds)
                if not done:
                    yield PING
                    continue
                try:
                    message = pending.result()
                except StopAsyncIteration:
                    return
                yield b"data: " + dumps(message) + b"\n\n"
                pending = asyncio.ensure_future(anext(messages))
        finally:
            pending.cancel()
