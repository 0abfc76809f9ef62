"""The application: routes, errors in OpenAI's shape, and the layers before them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

import sonho
from sonho.errors import SonhoError
from sonho.serving import completion_routes, inspect_routes, model_routes, run_routes, session_routes
from sonho.serving.context import Context
from sonho.serving.guard import Gate, Limits
from sonho.serving.page import docs_page, read_page
from sonho.serving.problems import Problem, as_problem
from sonho.serving.replies import AsciiJSON
from sonho.serving.streaming import ClientGone


def build_app(context: Context) -> ASGIApp:
    """Everything that answers. Its engine has yet to be started."""
    app = FastAPI(title="sonho", version=sonho.__version__, docs_url=None, redoc_url=None)
    app.state.context = context
    for routes in (completion_routes, model_routes, session_routes, inspect_routes, run_routes):
        app.include_router(routes.router)
    open_paths = _add_page(app)
    for kind in (Problem, SonhoError, RequestValidationError, HTTPException, ClientGone, Exception):
        app.add_exception_handler(kind, _answer)
    layers: ASGIApp = Limits(app, context.options, context.metrics, open_paths)
    if context.options.allow_origins:
        layers = CORSMiddleware(
            layers,
            allow_origins=context.options.allow_origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("authorization", "content-type"),
            expose_headers=("retry-after", "x-sonho-unknown"),
        )
    return Gate(layers, context.options, context.metrics)


def _add_page(app: FastAPI) -> frozenset[str]:
    """Serve the page. Returns its addresses, which need no key."""
    files = read_page()

    async def file(request: Request) -> Response:
        return files[request.url.path].response()

    async def docs() -> Response:
        return docs_page(app.openapi())

    for address in files:
        app.add_route(address, file, methods=["GET"], include_in_schema=False)
    app.add_api_route("/docs", docs, include_in_schema=False, methods=["GET"])
    return frozenset(files)


async def _answer(request: Request, error: Exception) -> Response:
    if isinstance(error, ClientGone):
        return Response(status_code=499)  # nobody reads it
    problem = _problem(request, error)
    context: Context = request.app.state.context
    context.metrics.rejections.labels(problem.code or str(problem.status)).inc()
    return AsciiJSON(problem.body(), status_code=problem.status, headers=problem.headers)


def _problem(request: Request, error: Exception) -> Problem:
    if isinstance(error, RequestValidationError):
        return _invalid(error.errors())
    if not isinstance(error, HTTPException):
        return as_problem(error)
    if error.status_code == 404:
        return Problem(404, "there is no such address; /docs lists them", code="unknown_url")
    if error.status_code == 405:
        allowed = dict(error.headers or {})
        return Problem(405, f"{request.method} does not work here", code="method_not_allowed", headers=allowed)
    return Problem(error.status_code, str(error.detail))


def _invalid(errors: Any) -> Problem:
    """The first thing that is wrong with a request: which field, and what it should be. Never what was given."""
    first = errors[0]
    where = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    field = where[0] if where else None
    kind = first["type"]
    if kind == "json_invalid":
        return Problem(400, "the request is not JSON", code="invalid_json")
    if kind == "extra_forbidden":
        return Problem(400, f"Unrecognized request argument supplied: {ascii(field)[1:-1][:80]}", param=None)
    if not where:
        return Problem(400, "the request must be a JSON object, sent as application/json")
    message = str(first["msg"]).removeprefix("Value error, ")
    return Problem(400, f"{field}: {message}", param=field)
