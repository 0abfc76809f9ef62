"""Sessions: a text that is read once and gone on from, again and again."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from sonho.decoding.state import State
from sonho.serving.completion import begin, feed_slowly
from sonho.serving.context import context_of
from sonho.serving.pace import Pace
from sonho.serving.replies import AsciiJSON
from sonho.serving.routing import Routes
from sonho.serving.schemas import SessionRequest
from sonho.serving.served_model import ServedModel

routes = Routes()


@routes.add("POST", "/v1/sessions", "Read a text and keep where the model stands after it", body=SessionRequest)
async def create(request: Request, body: SessionRequest) -> Response:
    context = context_of(request)
    model = context.model(body.model)
    context.sessions.check_room()
    first = model.stepper.initial_state(1, model.told(body))
    ids, stand = await context.run(request, model, lambda pace: _read(model, body.text or "", first, pace))
    return AsciiJSON(context.sessions.add(model, stand, ids).shown())


@routes.add("GET", "/v1/sessions", "All sessions")
async def sessions(request: Request) -> Response:
    kept = context_of(request).sessions.list()
    return AsciiJSON({"object": "list", "data": [session.shown() for session in kept]})


@routes.add("GET", "/v1/sessions/{id}", "One session")
async def session(request: Request) -> Response:
    return AsciiJSON(context_of(request).sessions.get(request.path_params["id"]).shown())


@routes.add("POST", "/v1/sessions/{id}/fork", "Another session that stands where this one does")
async def fork(request: Request) -> Response:
    return AsciiJSON(context_of(request).sessions.fork(request.path_params["id"]).shown())


@routes.add("DELETE", "/v1/sessions/{id}", "Forget a session")
async def delete(request: Request) -> Response:
    id = request.path_params["id"]
    context_of(request).sessions.delete(id)
    return AsciiJSON({"id": id, "object": "session", "deleted": True})


def _read(model: ServedModel, text: str, first: State, pace: Pace) -> Generator[None, None, tuple[list[int], Any]]:
    ids = model.tokenizer.encode(text).astype(np.int64)
    stand = yield from feed_slowly(model, begin(model, ids), first, pace)
    return ids.tolist(), stand
