"""Deadlines of a connection: headers that trickle in, a client that does not read, too many clients at once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from sonho.serving.options import ServeOptions


def guarded_connection(options: ServeOptions) -> type[H11Protocol]:
    """uvicorn's protocol with the deadlines of `options`."""

    class GuardedConnection(H11Protocol):
        _headers_due: asyncio.TimerHandle | None = None
        _reading_due: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > options.max_connections:
                transport.abort()
            else:
                self._watch_headers()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch_headers()

        def connection_lost(self, exc: Exception | None) -> None:
            for timer in (self._headers_due, self._reading_due):
                if timer is not None:
                    timer.cancel()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._reading_due = self.loop.call_later(options.write_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self._reading_due is not None:
                self._reading_due.cancel()
                self._reading_due = None

        def send_400_response(self, msg: str) -> None:
            problem = {"message": msg, "type": "invalid_request_error", "param": None, "code": "invalid_http"}
            body = json.dumps({"error": problem}).encode()
            headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
            for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
            self.transport.close()

        def _watch_headers(self) -> None:
            """From the first byte of a request, or the connection, to the end of its headers."""
            answering = self.cycle is not None and not self.cycle.response_complete
            if answering and self._headers_due is not None:
                self._headers_due.cancel()
                self._headers_due = None
            elif not answering and self._headers_due is None:
                self._headers_due = self.loop.call_later(options.header_seconds, self._cut)

        def _cut(self) -> None:
            self._headers_due = None
            if self.cycle is None or self.cycle.response_complete:
                self.transport.abort()

    return GuardedConnection
