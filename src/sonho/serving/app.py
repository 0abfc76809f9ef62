"""The application: routes, errors in OpenAI's shape, and the layers before them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

import sonho
from sonho.errors import SonhoError
from sonho.serving import completion_routes, inspect_routes, model_routes, run_routes, session_routes
from sonho.serving.context import Context
from sonho.serving.guard import Gate, Limits
from sonho.serving.openapi import describe_api
from sonho.serving.page import File, docs_page, read_page
from sonho.serving.problems import Problem, as_problem
from sonho.serving.replies import AsciiJSON
from sonho.serving.routing import Operation
from sonho.serving.streaming import ClientGone


def build_app(context: Context) -> ASGIApp:
    """Everything that answers. Its engine has yet to be started."""
    modules = (completion_routes, model_routes, session_routes, inspect_routes, run_routes)
    operations = [operation for module in modules for operation in module.routes.operations]
    files = read_page()
    app = Starlette(
        routes=[*(operation.route() for operation in operations), *_describing(operations), *_pages(files)],
        exception_handlers=dict.fromkeys((Problem, SonhoError, HTTPException, ClientGone, Exception), _answer),
    )
    app.state.context = context
    layers: ASGIApp = Limits(app, context.options, context.metrics, frozenset(files))
    if context.options.allow_origins:
        layers = CORSMiddleware(
            layers,
            allow_origins=context.options.allow_origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("authorization", "content-type"),
            expose_headers=("retry-after", "x-sonho-unknown"),
        )
    return Gate(layers, context.options, context.metrics)


def _pages(files: Mapping[str, File]) -> Iterator[Route]:
    """The page. Its addresses need no key."""

    async def file(request: Request) -> Response:
        return files[request.url.path].response()

    for address in files:
        yield Route(address, file, methods=["GET"])


def _describing(operations: Sequence[Operation]) -> Iterator[Route]:
    """The API, told to programs and to people."""

    async def openapi(request: Request) -> Response:
        return AsciiJSON(describe_api(operations, "sonho", sonho.__version__))

    async def docs(request: Request) -> Response:
        return docs_page(operations)

    yield Route("/openapi.json", openapi, methods=["GET"])
    yield Route("/docs", docs, methods=["GET"])


async def _answer(request: Request, error: Exception) -> Response:
    if isinstance(error, ClientGone):
        return Response(status_code=499)  # nobody reads it
    problem = _problem(request, error)
    context: Context = request.app.state.context
    context.metrics.rejections.labels(problem.code or str(problem.status)).inc()
    return AsciiJSON(problem.body(), status_code=problem.status, headers=problem.headers)


def _problem(request: Request, error: Exception) -> Problem:
    if not isinstance(error, HTTPException):
        return as_problem(error)
    if error.status_code == 404:
        return Problem(404, "there is no such address; /docs lists them", code="unknown_url")
    if error.status_code == 405:
        allowed = dict(error.headers or {})
        return Problem(405, f"{request.method} does not work here", code="method_not_allowed", headers=allowed)
    return Problem(error.status_code, str(error.detail))
