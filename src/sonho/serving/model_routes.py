"""Models, health, metrics, and strings to ids and back."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sonho.serving.context import Context, context_of, in_thread
from sonho.serving.problems import Problem, bad_request, loading, shutting_down
from sonho.serving.replies import AsciiJSON
from sonho.serving.routing import Routes
from sonho.serving.schemas import DetokenizeRequest, ModelQuery, TokenizeRequest

routes = Routes()


@routes.add("GET", "/v1/models", "The models")
async def models(request: Request) -> Response:
    context = context_of(request)
    return AsciiJSON({"object": "list", "data": [model.card() for model in context.engine.models.values()]})


@routes.add("GET", "/v1/models/{name}", "One model")
async def model(request: Request) -> Response:
    return AsciiJSON(context_of(request).model(request.path_params["name"]).card())


@routes.add("GET", "/health", "Whether the server can work")
async def health(request: Request) -> Response:
    _check_engine(context_of(request))
    return AsciiJSON({"status": "ok"})


@routes.add("GET", "/ready", "Whether the server takes on requests")
async def ready(request: Request) -> Response:
    context = context_of(request)
    _check_engine(context)
    if context.engine.draining:
        raise shutting_down()
    return AsciiJSON({"status": "ready"})


@routes.add("GET", "/metrics", "Counters and times for Prometheus")
async def metrics(request: Request) -> Response:
    context = context_of(request)
    return Response(context.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@routes.add("POST", "/tokenize", "A string to ids", body=TokenizeRequest)
async def tokenize(request: Request, body: TokenizeRequest) -> Response:
    model = context_of(request).model(body.model)

    def encode() -> dict[str, Any]:
        ids = model.tokenizer.encode(body.prompt).tolist()
        strings = {"token_strs": [model.token_strings[id] for id in ids]} if body.return_token_strs else {}
        return {"count": len(ids), "tokens": ids, **strings}

    return AsciiJSON(await in_thread(encode))


@routes.add("POST", "/detokenize", "Ids to a string", body=DetokenizeRequest)
async def detokenize(request: Request, body: DetokenizeRequest) -> Response:
    model = context_of(request).model(body.model)
    size = model.tokenizer.vocab_size
    if body.tokens and max(body.tokens) >= size:
        raise bad_request(f"token {max(body.tokens)} is outside the vocabulary of {size}", "tokens")
    return AsciiJSON({"prompt": await in_thread(lambda: model.tokenizer.decode(body.tokens))})


@routes.add("GET", "/tokenizer_info", "How the model cuts text into tokens", query=ModelQuery)
async def tokenizer_info(request: Request, query: ModelQuery) -> Response:
    chosen = context_of(request).model(query.model)
    tokenizer = chosen.tokenizer
    return AsciiJSON(
        {
            "tokenizer_class": f"sonho.{tokenizer.level}",
            "model": chosen.name,
            "vocab_size": tokenizer.vocab_size,
            "bos_token": None,
            "eos_token": "<eos>",
            "eos_token_id": tokenizer.eos_id,
            "pad_token": "<pad>",
            "pad_token_id": tokenizer.pad_id,
            "unk_token": None if tokenizer.unk_id is None else "<unk>",
            "chat_template": None,
        }
    )


def _check_engine(context: Context) -> None:
    if not context.engine.models:
        raise loading()
    if not context.engine.ready:
        raise Problem(503, "the engine has stopped; start the server again", code="engine_stopped")
