"""Routes as a table: which function answers, and which schema its body or its query has to fit."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sonho.serving.problems import Problem

Handler = Callable[..., Awaitable[Response]]


@dataclass(frozen=True)
class Operation:
    """One method of one address. `handler` takes the request and, where there is a schema, what was read by it."""

    method: str
    path: str
    summary: str
    handler: Handler
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    status: int = 200

    def route(self) -> Route:
        return Route(self.path, self._answer, methods=[self.method])

    async def _answer(self, request: Request) -> Response:
        if self.body is not None:
            return await self.handler(request, await _read_body(request, self.body))
        if self.query is not None:
            return await self.handler(request, _read(self.query, dict(request.query_params)))
        return await self.handler(request)


class Routes:
    """Collects the operations of a module."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def add(self, method: str, path: str, summary: str, **given: Any) -> Callable[[Handler], Handler]:
        """Decorates a handler; `given` are the other fields of its Operation."""

        def register(handler: Handler) -> Handler:
            self.operations.append(Operation(method, path, summary, handler, **given))
            return handler

        return register


async def _read_body(request: Request, schema: type[BaseModel]) -> BaseModel:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # a page of another site can send the other kinds unasked
        raise Problem(400, "the request must be a JSON object, sent as application/json")
    try:
        value = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise Problem(400, "the request is not JSON", code="invalid_json") from None
    return _read(schema, value)


def _read(schema: type[BaseModel], value: Any) -> BaseModel:
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        raise _invalid(error) from None


def _invalid(error: ValidationError) -> Problem:
    """The first thing that is wrong with a request: which field, and what it should be. Never what was given."""
    first = error.errors(include_url=False, include_input=False)[0]
    if not first["loc"]:
        return Problem(400, "the request must be a JSON object, sent as application/json")
    field = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return Problem(400, f"Unrecognized request argument supplied: {ascii(field)[1:-1][:80]}", param=None)
    message = str(first["msg"]).removeprefix("Value error, ")
    return Problem(400, f"{field}: {message}", param=field)
