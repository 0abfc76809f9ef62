"""Replies and chunks of a completion, name for name as in the OpenAI reference. JSON is ASCII only."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

import sonho


class AsciiJSON(Response):
    """Every other character escaped: some line splitters take U+2028, U+2029 and U+0085 for line ends.

    Bytes are taken as JSON that `dumps` has made.
    """

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return content if isinstance(content, bytes) else dumps(content)


def dumps(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")


class Reply:
    """Makes the whole reply, or the chunks, of one request."""

    def __init__(self, model: str, *, has_usage: bool = False) -> None:
        self._head = {
            "id": f"cmpl-{random.getrandbits(96):024x}",  # `secrets` would wait for the interpreter
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": f"sonho-{sonho.__version__}",
        }
        self._has_usage = has_usage

    def whole(self, choices: Sequence[Mapping[str, Any]], usage: Mapping[str, int]) -> dict[str, Any]:
        return {**self._head, "choices": choices, "usage": usage}

    def chunk(self, choice: Mapping[str, Any]) -> dict[str, Any]:
        chunk = {**self._head, "choices": [choice]}
        return {**chunk, "usage": None} if self._has_usage else chunk

    def last(self, usage: Mapping[str, int]) -> dict[str, Any]:
        return {**self._head, "choices": [], "usage": usage}


def make_choice(
    index: int, text: str, finish_reason: str | None, logprobs: Mapping[str, Any] | None, ids: Mapping[str, Any]
) -> dict[str, Any]:
    """`ids`: token_ids and prompt_token_ids, where they are wanted."""
    return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": finish_reason, **ids}


def make_usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
