"""What stands before every route: hosts, origins, keys, rates, the size of a body. Deny by default.

Plain ASGI, so that streams and disconnects pass through untouched.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import re
import sys
import time
from collections.abc import Collection, Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sonho.serving.metrics import Metrics
from sonho.serving.options import LOOPBACK, ServeOptions
from sonho.serving.problems import Problem, as_problem
from sonho.serving.replies import AsciiJSON
from sonho.text.tokenizer import escape

OPEN_PATHS = frozenset({"/health", "/ready"})
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
MOST_BUCKETS = 10_000
MOST_HEADER_BYTES = 32_768


class Gate:
    """The outermost layer: foreign hosts and origins are refused, every reply gets the safe headers,
    a fault becomes a reply that says only its kind."""

    def __init__(self, app: ASGIApp, options: ServeOptions, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics
        self._origins = frozenset(options.allow_origins)
        self._hosts = frozenset(name.lower() for name in (*LOOPBACK, options.host, *options.allow_hosts))
        # A foreign page can point a name of its own at this machine, but not an address.
        self._any_address = not is_loopback(options.host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        status = 0

        async def dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(h for h in HEADERS if h[0] not in present)]
            await send(message)

        try:
            if sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEADER_BYTES:
                raise Problem(431, "the headers are too long", code="headers_too_large")
            self._check(header_of(scope, b"host"), header_of(scope, b"origin"))
            await self._app(scope, receive, dressed)
        except Problem as problem:
            self._metrics.rejections.labels(problem.code or str(problem.status)).inc()
            await answer(problem, scope, receive, dressed)
        except Exception as error:
            print(
                f"sonho: fault in {scope['method']} {escape(scope['path'])[:200]}: {type(error).__name__}",
                file=sys.stderr,
            )
            if not status:
                await answer(as_problem(error), scope, receive, dressed)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, str(status)).inc()

    def _check(self, host: str, origin: str) -> None:
        name = host_name(host)
        allowed = name is not None and (name in self._hosts or (self._any_address and _is_address(name)))
        if not allowed:
            raise Problem(403, "this host is not served here; allow it with --allow-host", code="host_not_allowed")
        if origin and "*" not in self._origins and origin not in self._origins:
            same = origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")
            if not same:
                message = "pages of another origin are not served; allow it with --allow-origin"
                raise Problem(403, message, code="origin_not_allowed")


class Limits:
    """Keys, rates and bodies. `open_paths` need no key: beside those of health, the page's files."""

    def __init__(self, app: ASGIApp, options: ServeOptions, metrics: Metrics, open_paths: Collection[str]) -> None:
        self._app, self._options, self._metrics = app, options, metrics
        self._open = OPEN_PATHS | frozenset(open_paths)
        self._keys = tuple(_digest(key.encode()) for key in options.keys)
        self._rates = Rates(options.rate_limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_open = scope["path"] in self._open and scope["method"] in ("GET", "HEAD")
        if not is_open:
            who = self._who(header_of(scope, b"authorization")) if self._keys else (scope.get("client") or ("", 0))[0]
            self._rates.take(who)
        await self._app(scope, await self._with_body(scope, receive), send)

    def _who(self, authorization: str) -> str:
        """The key's digest. Raises Problem without a right key. Every key is compared, whatever was found."""
        scheme, _, key = authorization.partition(" ")
        given = _digest(key.strip().encode("utf-8", "surrogateescape"))
        matches = [hmac.compare_digest(given, known) for known in self._keys]
        if scheme.lower() != "bearer" or not any(matches):
            message = "a key is needed: send it as `Authorization: Bearer KEY`" if not key else "the key is not right"
            raise Problem(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        return given.hex()

    async def _with_body(self, scope: Scope, receive: Receive) -> Receive:
        """Read the whole body, within its bounds. Raises Problem."""
        most = self._options.max_body_bytes
        too_large = Problem(
            413, f"the request is larger than {most} bytes", code="body_too_large", headers={"Connection": "close"}
        )
        length = header_of(scope, b"content-length")
        if length and (not length.isdecimal() or int(length[:20]) > most):
            raise too_large
        body, gone = bytearray(), False
        try:
            async with asyncio.timeout(self._options.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        gone = True
                        break
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise too_large
                    if not message.get("more_body"):
                        break
        except TimeoutError:
            raise Problem(408, "the request came too slowly", code="timeout", headers={"Connection": "close"}) from None
        waiting = [] if gone else [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            if waiting:
                return waiting.pop()
            return {"type": "http.disconnect"} if gone else await receive()

        return replay


class Rates:
    """A bucket a caller that fills with `per_minute` requests; 0 is any number."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._buckets: dict[str, tuple[float, float]] = {}  # what is left, and when

    def take(self, who: str) -> None:
        """Raises Problem when the caller has none left."""
        if not self._per_minute:
            return
        now = time.monotonic()
        left, at = self._buckets.pop(who, (float(self._per_minute), now))
        left = min(float(self._per_minute), left + (now - at) * self._per_minute / 60)
        self._buckets[who] = (left - 1 if left >= 1 else left, now)  # the latest is last
        if len(self._buckets) > MOST_BUCKETS:
            del self._buckets[next(iter(self._buckets))]
        if left < 1:
            wait = str(int((1 - left) * 60 / self._per_minute) + 1)
            message = f"more than {self._per_minute} requests a minute; wait {wait} s"
            raise Problem(
                429, message, type="rate_limit_error", code="rate_limit_exceeded", headers={"Retry-After": wait}
            )


async def answer(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    await AsciiJSON(problem.body(), status_code=problem.status, headers=problem.headers)(scope, receive, send)


def header_of(scope: Scope, name: bytes) -> str:
    values: Iterable[bytes] = (value for key, value in scope["headers"] if key == name)
    return next(iter(values), b"").decode("latin-1")


def host_name(host: str) -> str | None:
    """The name or address in a Host header, or None where it is none.

    >>> host_name("[::1]:8000"), host_name("Localhost:80"), host_name("a:b"), host_name("")
    ('::1', 'localhost', None, None)
    """
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::\d{1,5})?", host)
    return (found[1] or found[2]).lower() if found else None


def is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
