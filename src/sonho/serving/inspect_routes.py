"""What a model expects next, how it scores a text, what its units do."""

from __future__ import annotations

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from sonho.serving.context import context_of
from sonho.serving.inspecting import next_symbols, scored_text, unit_values
from sonho.serving.patterns import find_spans
from sonho.serving.problems import bad_request
from sonho.serving.replies import AsciiJSON
from sonho.serving.routing import Routes
from sonho.serving.schemas import NextRequest, ScoreRequest, UnitsRequest

routes = Routes()


@routes.add(
    "POST", "/v1/inspect/next", "The symbols that may come next, before and after the options", body=NextRequest
)
async def inspect_next(request: Request, body: NextRequest) -> Response:
    context = context_of(request)
    model = context.model(body.model)
    return AsciiJSON(await context.run(request, model, lambda pace: next_symbols(model, body, pace)))


@routes.add("POST", "/v1/inspect/score", "The surprise of every token of a text", body=ScoreRequest)
async def inspect_score(request: Request, body: ScoreRequest) -> Response:
    context = context_of(request)
    model = context.model(body.model)
    return AsciiJSON(await context.run(request, model, lambda pace: scored_text(model, body, pace)))


@routes.add("POST", "/v1/inspect/units", "What the hidden units do on a text", body=UnitsRequest)
async def inspect_units(request: Request, body: UnitsRequest) -> Response:
    context = context_of(request)
    model = context.model(body.model)
    if model.file.model.cell == "ngram":
        raise bad_request("an n-gram model has no hidden units to show", "model")
    ids = model.tokenizer.encode(body.text).astype(np.int64)
    if not len(ids):
        raise bad_request("text has no symbol that the model knows", "text")
    text = model.tokenizer.decode(ids)
    spans = None if body.pattern is None else await find_spans(body.pattern, text, context.pattern_turns)
    return AsciiJSON(await context.run(request, model, lambda pace: unit_values(model, body, ids, spans, pace)))
