"""The curves and samples of trainings that run or ran, for the folders given with --run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sonho.serving.context import context_of, in_thread
from sonho.serving.problems import Problem
from sonho.serving.replies import AsciiJSON
from sonho.serving.routing import Routes
from sonho.serving.schemas import LinesQuery
from sonho.storage.run_folders import METRICS, SAMPLES, describe, facts, find_runs, read_lines

routes = Routes()


@routes.add("GET", "/v1/runs", "The trainings")
async def runs(request: Request) -> Response:
    def collect() -> list[dict[str, Any]]:
        return [describe(id, folder) for id, folder in find_runs(context_of(request).options.runs).items()]

    return AsciiJSON({"runs": await in_thread(collect)})


@routes.add(
    "GET",
    "/v1/runs/{id}/metrics",
    summary="Lines of a training's metrics, and what it is compared with",
    query=LinesQuery,
)
async def metrics(request: Request, query: LinesQuery) -> Response:
    def collect() -> dict[str, Any]:
        folder = _find(request)
        lines, following = read_lines(folder / METRICS, query.after)
        return {"lines": lines, "next": following, **facts(folder)}

    return AsciiJSON(await in_thread(collect))


@routes.add("GET", "/v1/runs/{id}/samples", "Texts that a training drew", query=LinesQuery)
async def samples(request: Request, query: LinesQuery) -> Response:
    def collect() -> dict[str, Any]:
        lines, following = read_lines(_find(request) / SAMPLES, query.after)
        return {"lines": lines, "next": following}

    return AsciiJSON(await in_thread(collect))


def _find(request: Request) -> Path:
    folder = find_runs(context_of(request).options.runs).get(request.path_params["id"])
    if folder is None:
        raise Problem(404, "no such run", code="run_not_found")
    return folder
