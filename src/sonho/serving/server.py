"""Sockets and signals: one process that listens, drains when it is told to end, and ends at once when told again."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import uvicorn

from sonho.errors import UsageError
from sonho.serving.app import build_app
from sonho.serving.connection import guarded_connection
from sonho.serving.context import Context
from sonho.serving.engine import Models
from sonho.serving.guard import is_loopback
from sonho.serving.options import ServeOptions
from sonho.serving.problems import shutting_down
from sonho.serving.served_model import load_models

# The engine's thread and the event loop take turns: the default of 5 ms would be felt in every answer.
SWITCH_SECONDS = 0.0005
LAST_SECONDS = 0.5  # after a second signal


class Service(uvicorn.Server):
    """uvicorn with an engine, and signals that drain."""

    def __init__(
        self, context: Context, load: Callable[[], Models], say_ready: Callable[[], None] = lambda: None
    ) -> None:
        options = context.options
        super().__init__(
            uvicorn.Config(
                build_app(context),
                http=guarded_connection(options),
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=int(options.drain_seconds) + 2,
            )
        )
        self.context, self._load, self._on_ready = context, load, say_ready
        self._signals = 0
        self.events: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.events = asyncio.get_running_loop()
        self.context.engine.start(self._load, self._loading_ended)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        engine = self.context.engine
        engine.draining = True
        deadline = asyncio.get_running_loop().call_later(
            self.context.options.drain_seconds, lambda: engine.abort(shutting_down())
        )
        try:
            await super().shutdown(sockets=sockets)
        finally:
            deadline.cancel()
            engine.stop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains; the second ends what runs with an error, and the process within a second."""
        self._signals += 1
        self.context.engine.draining = True
        self.should_exit = True
        if self._signals == 2:
            self.context.engine.abort(shutting_down())
            last = threading.Timer(LAST_SECONDS, lambda: os._exit(130))
            last.daemon = True
            last.start()

    def _loading_ended(self) -> None:
        if self.context.engine.failure is not None:
            self.should_exit = True
        else:
            self._on_ready()


def serve(paths: dict[str, Path], options: ServeOptions) -> None:
    """Listen until a signal comes. Raises SonhoError for an address that cannot be, or a model that cannot be read."""
    check_safety(options)
    listener = bind(options.host, options.port)
    port = listener.getsockname()[1]
    shown = f"[{options.host}]" if ":" in options.host else options.host
    sys.setswitchinterval(SWITCH_SECONDS)
    # What was imported stays, and is never looked at again; what requests leave behind goes soon.
    gc.freeze()
    gc.set_threshold(2_000, 10, 10)

    def say() -> None:
        print(f"sonho serves {', '.join(paths)} on http://{shown}:{port}", file=sys.stderr, flush=True)

    context = Context(options)
    service = Service(context, lambda: load_models(paths, options.weights), say)
    service.run(sockets=[listener])
    if context.engine.failure is not None:
        raise context.engine.failure


def check_safety(options: ServeOptions) -> None:
    """Raise UsageError for an address that others reach, without a key."""
    if not is_loopback(options.host) and not options.keys:
        if not options.insecure:
            raise UsageError(
                f"{options.host} can be reached by others: give --api-key-file (or SONHO_API_KEY), or say --insecure"
            )
        print(f"sonho: WARNING: --insecure: whoever reaches {options.host} may use this server", file=sys.stderr)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises UsageError with what is in the way."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, proto)
    except OSError as error:
        raise UsageError(f"--host {host!r} is no address of this machine: {error.strerror or error}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"port {port} is taken; stop what listens there, or choose another with --port") from None
        raise UsageError(f"cannot listen on {host} port {port}: {error.strerror or error}") from None
    return listener


def read_keys(path: str | None, environment: str | None) -> tuple[str, ...]:
    """Keys from a file, one a line, and from SONHO_API_KEY. Raises UsageError."""
    lines: Sequence[str] = ()
    if path is not None:
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"cannot read --api-key-file {path}: {getattr(error, 'strerror', None) or 'not UTF-8'}"
            ) from None
    keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if path is not None and not keys:
        raise UsageError(f"--api-key-file {path} holds no key; write one a line")
    if environment is not None and environment.strip():
        keys.append(environment.strip())
    return tuple(keys)
