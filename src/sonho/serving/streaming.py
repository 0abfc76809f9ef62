"""Waiting for the engine while the client may go away, and server-sent events.

A client that goes away is noticed at once, whether it streams or waits: its work is called off.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
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
    """Sends what `messages` makes of the events of `handle`, and a comment when there is nothing to send for a while.

    `messages` gives None after the last. An error becomes the last event, so that no stream ends without a reason.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        handle: Handle,
        messages: Callable[[Any], Iterator[Any]],
        *,
        ping_seconds: float,
        on_gone: Callable[[], None],
        on_end: Callable[[], None],
        headers: dict[str, str],
    ) -> None:
        super().__init__(headers={**headers, "cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._handle, self._messages, self._ping_seconds = handle, messages, ping_seconds
        self._on_gone, self._on_end = on_gone, on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with contextlib.suppress(ClientGone):
                await unless_gone(receive, self._write(send), self._on_gone)
        finally:
            self._on_end()

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        more = True
        while more:
            body, more = await self._next()
            await send({"type": "http.response.body", "body": body, "more_body": more})

    async def _next(self) -> tuple[bytes, bool]:
        """Everything that can be sent now, and whether more comes."""
        sent: list[bytes] = []
        try:
            for event in await self._handle.collect(self._ping_seconds):
                for message in self._messages(event):
                    sent.append(DONE if message is None else event_of(message))
        except TimeoutError:
            return PING, True
        except Exception as error:
            sent += [event_of(as_problem(error).body()), DONE]
        return b"".join(sent), not (sent and sent[-1] is DONE)


def event_of(message: Any) -> bytes:
    return b"data: " + dumps(message) + b"\n\n"
