"""Sessions: a text that is read once and gone on from, again and again."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from sonho.decoding.state import State
from sonho.serving.completion import begin, feed_slowly
from sonho.serving.context import context_of
from sonho.serving.pace import Pace
from sonho.serving.replies import AsciiJSON
from sonho.serving.schemas import SessionRequest
from sonho.serving.served_model import ServedModel

router = APIRouter()


@router.post("/v1/sessions", summary="Read a text and keep where the model stands after it")
async def create(request: Request, body: SessionRequest) -> Response:
    context = context_of(request)
    model = context.model(body.model)
    context.sessions.check_room()
    first = model.stepper.initial_state(1, model.told(body))
    ids, stand = await context.run(request, model, lambda pace: _read(model, body.text or "", first, pace))
    return AsciiJSON(context.sessions.add(model, stand, ids).shown())


@router.get("/v1/sessions", summary="All sessions")
async def sessions(request: Request) -> Response:
    kept = context_of(request).sessions.list()
    return AsciiJSON({"object": "list", "data": [session.shown() for session in kept]})


@router.get("/v1/sessions/{id}", summary="One session")
async def session(request: Request, id: str) -> Response:
    return AsciiJSON(context_of(request).sessions.get(id).shown())


@router.post("/v1/sessions/{id}/fork", summary="Another session that stands where this one does")
async def fork(request: Request, id: str) -> Response:
    return AsciiJSON(context_of(request).sessions.fork(id).shown())


@router.delete("/v1/sessions/{id}", summary="Forget a session")
async def delete(request: Request, id: str) -> Response:
    context_of(request).sessions.delete(id)
    return AsciiJSON({"id": id, "object": "session", "deleted": True})


def _read(model: ServedModel, text: str, first: State, pace: Pace) -> Generator[None, None, tuple[list[int], Any]]:
    ids = model.tokenizer.encode(text).astype(np.int64)
    stand = yield from feed_slowly(model, begin(model, ids), first, pace)
    return ids.tolist(), stand
