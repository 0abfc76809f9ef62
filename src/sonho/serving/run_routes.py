"""The curves and samples of trainings that run or ran, for the folders given with --run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from sonho.serving.context import context_of, in_thread
from sonho.serving.problems import Problem
from sonho.serving.replies import AsciiJSON
from sonho.storage.run_folders import METRICS, SAMPLES, describe, facts, find_runs, read_lines

router = APIRouter()
Line = Annotated[int, Query(ge=0, le=10**9)]


@router.get("/v1/runs", summary="The trainings")
async def runs(request: Request) -> Response:
    def collect() -> list[dict[str, Any]]:
        return [describe(id, folder) for id, folder in find_runs(context_of(request).options.runs).items()]

    return AsciiJSON({"runs": await in_thread(collect)})


@router.get("/v1/runs/{id}/metrics", summary="Lines of a training's metrics, and what it is compared with")
async def metrics(request: Request, id: str, after: Line = 0) -> Response:
    def collect() -> dict[str, Any]:
        folder = _find(request, id)
        lines, following = read_lines(folder / METRICS, after)
        return {"lines": lines, "next": following, **facts(folder)}

    return AsciiJSON(await in_thread(collect))


@router.get("/v1/runs/{id}/samples", summary="Texts that a training drew")
async def samples(request: Request, id: str, after: Line = 0) -> Response:
    def collect() -> dict[str, Any]:
        lines, following = read_lines(_find(request, id) / SAMPLES, after)
        return {"lines": lines, "next": following}

    return AsciiJSON(await in_thread(collect))


def _find(request: Request, id: str) -> Path:
    folder = find_runs(context_of(request).options.runs).get(id)
    if folder is None:
        raise Problem(404, "no such run", code="run_not_found")
    return folder
