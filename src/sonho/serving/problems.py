"""Errors as OpenAI's clients expect them: {"error": {"message", "type", "param", "code"}} and a status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sonho.errors import DataError, ModelFileError, SonhoError, UsageError


class Problem(Exception):
    """A request that is answered with an error. `reason` is its name in the metrics."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.type = type or ("invalid_request_error" if status < 500 else "server_error")
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        shown = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": shown}


def bad_request(message: str, param: str | None = None, code: str | None = None) -> Problem:
    return Problem(400, message, param=param, code=code)


def busy() -> Problem:
    return Problem(
        503,
        "the server has as much to do as it may take on; try again in a moment",
        code="queue_full",
        headers={"Retry-After": "1"},
    )


def shutting_down() -> Problem:
    return Problem(503, "the server is shutting down", code="shutting_down", headers={"Retry-After": "10"})


def loading() -> Problem:
    return Problem(503, "the models are being loaded", code="loading", headers={"Retry-After": "1"})


def as_problem(error: BaseException) -> Problem:
    """What a client is told of an error; of one that was not raised on purpose, only its kind."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, ModelFileError):
        return Problem(500, str(error), code="model_error")
    if isinstance(error, UsageError | DataError):
        return bad_request(str(error))
    if isinstance(error, SonhoError):
        return Problem(500, str(error), code="server_error")
    return Problem(500, f"a fault of the server: {type(error).__name__}", code="server_error")
