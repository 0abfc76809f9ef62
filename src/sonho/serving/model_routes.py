"""Models, health, metrics, and strings to ids and back."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from sonho.serving.context import Context, context_of, in_thread
from sonho.serving.problems import Problem, bad_request, loading, shutting_down
from sonho.serving.replies import AsciiJSON
from sonho.serving.schemas import DetokenizeRequest, TokenizeRequest

router = APIRouter()


@router.get("/v1/models", summary="The models")
async def models(request: Request) -> Response:
    context = context_of(request)
    return AsciiJSON({"object": "list", "data": [model.card() for model in context.engine.models.values()]})


@router.get("/v1/models/{name}", summary="One model")
async def model(request: Request, name: str) -> Response:
    return AsciiJSON(context_of(request).model(name).card())


@router.get("/health", summary="Whether the server can work")
async def health(request: Request) -> Response:
    _check_engine(context_of(request))
    return AsciiJSON({"status": "ok"})


@router.get("/ready", summary="Whether the server takes on requests")
async def ready(request: Request) -> Response:
    context = context_of(request)
    _check_engine(context)
    if context.engine.draining:
        raise shutting_down()
    return AsciiJSON({"status": "ready"})


@router.get("/metrics", summary="Counters and times for Prometheus")
async def metrics(request: Request) -> Response:
    context = context_of(request)
    return Response(context.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.post("/tokenize", summary="A string to ids")
async def tokenize(request: Request, body: TokenizeRequest) -> Response:
    model = context_of(request).model(body.model)

    def encode() -> dict[str, Any]:
        ids = model.tokenizer.encode(body.prompt).tolist()
        strings = {"token_strs": [model.token_strings[id] for id in ids]} if body.return_token_strs else {}
        return {"count": len(ids), "tokens": ids, **strings}

    return AsciiJSON(await in_thread(encode))


@router.post("/detokenize", summary="Ids to a string")
async def detokenize(request: Request, body: DetokenizeRequest) -> Response:
    model = context_of(request).model(body.model)
    size = model.tokenizer.vocab_size
    if body.tokens and max(body.tokens) >= size:
        raise bad_request(f"token {max(body.tokens)} is outside the vocabulary of {size}", "tokens")
    return AsciiJSON({"prompt": await in_thread(lambda: model.tokenizer.decode(body.tokens))})


@router.get("/tokenizer_info", summary="How the model cuts text into tokens")
async def tokenizer_info(request: Request, model: str | None = None) -> Response:
    chosen = context_of(request).model(model)
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
