"""A completion request, checked and turned into work for the engine. Knows requests and tasks, not sockets."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

import numpy as np

from sonho.serving.completion import Completion
from sonho.serving.handle import Handle
from sonho.serving.options import MOST_REQUEST_TOKENS, MOST_STOPS, MOST_TOLD_TOKENS
from sonho.serving.problems import Problem, bad_request
from sonho.serving.sampling import DEFAULT_MAX_TOKENS, make_settings
from sonho.serving.schemas import CompletionRequest, Prompt, prompts_of
from sonho.serving.served_model import ServedModel
from sonho.serving.sessions import Session

MOST_NAMED = 10


@dataclass(frozen=True)
class Plan:
    """`choices` of the `rows` drawn for each prompt are answered, those of the highest mean log-probability."""

    model: ServedModel
    prompts: list[tuple[int, ...]]
    shown: list[str]  # what echo puts in front, "" without
    choices: int
    rows: int
    max_tokens: int
    unknown: list[str]
    tasks: list[Completion]

    @property
    def prompt_tokens(self) -> int:
        return sum(map(len, self.prompts))

    def headers(self) -> dict[str, str]:
        """Symbols of the prompts that the model does not know and skipped, named as a warning."""
        return {"x-sonho-unknown": json.dumps(self.unknown)} if self.unknown else {}


def make_plan(request: CompletionRequest, model: ServedModel, handle: Handle, session: Session | None) -> Plan:
    """Raises Problem for what cannot be."""
    choices = request.n or 1
    rows = request.best_of or choices
    _check(request, choices, rows, has_session=session is not None)
    max_tokens = DEFAULT_MAX_TOKENS if request.max_tokens is None else request.max_tokens
    settings, bias = make_settings(request, model, max_tokens=max_tokens, stop=request.stop)
    condition = model.told(request)
    given = prompts_of(request.prompt)
    prompts = [_ids_of(prompt, model) for prompt in given]
    _check_size(request, rows * max_tokens * len(prompts), sum(map(len, prompts)))
    echo = bool(request.echo)
    scored = request.logprobs if echo else None
    # Choosing the best needs log-probabilities too.
    row_logprobs = 0 if request.logprobs is None and rows > choices else request.logprobs
    tasks = []
    for number, ids in enumerate(prompts):
        # Without a seed every prompt has its own: with one for all, their texts would fall into step.
        seed = random.getrandbits(63) if request.seed is None else request.seed & (2**63 - 1)
        tasks.append(
            Completion(
                handle, model, number, ids, settings, bias, seed=seed, size=rows if max_tokens else 0,
                num_logprobs=row_logprobs, echo_logprobs=scored,
                start=session.stand if session else None, history=session.recent_ids if session else (),
                condition=condition, keeps_stand=session is not None,
            )
        )  # fmt: skip
    shown = [
        _shown(prompt, ids, model, as_read=scored is not None) if echo else ""
        for prompt, ids in zip(given, prompts, strict=True)
    ]
    unknown = list(
        dict.fromkeys(s for prompt in given if isinstance(prompt, str) for s in model.tokenizer.unknown_in(prompt))
    )
    return Plan(model, prompts, shown, choices, rows, max_tokens, unknown[:MOST_NAMED], tasks)


def _check(request: CompletionRequest, choices: int, rows: int, *, has_session: bool) -> None:
    if request.suffix:
        raise bad_request(
            "suffix is not supported: these models only go on from the left", "suffix", "unsupported_parameter"
        )
    if rows < choices:
        raise bad_request(f"best_of must be at least n, got best_of {rows} and n {choices}", "best_of")
    if rows > choices and request.stream:
        raise bad_request("best_of cannot be streamed: the best is known at the end only", "best_of")
    if request.stream_options is not None and not request.stream:
        raise bad_request("stream_options needs stream", "stream_options")
    if isinstance(request.stop, list) and len(request.stop) > MOST_STOPS:
        raise bad_request(f"stop has at most {MOST_STOPS} strings", "stop")
    if has_session and (rows > 1 or len(prompts_of(request.prompt)) > 1):
        raise bad_request("a session goes on with one text: one prompt, n 1; fork it for more", "session")
    if has_session and (request.label is not None or request.vector is not None):
        raise bad_request("a session keeps what it was told when it began; leave out label and vector", "label")
    if has_session and request.echo and request.logprobs is not None:
        raise bad_request("a session's prompt cannot be scored; leave out echo or logprobs", "echo")


def _check_size(request: CompletionRequest, drawn: int, read: int) -> None:
    """Refuse what would fill the memory."""
    if drawn > MOST_REQUEST_TOKENS:
        message = f"{drawn} tokens (prompts x n x max_tokens) in one request; at most {MOST_REQUEST_TOKENS}"
        raise bad_request(message, "max_tokens")
    told = drawn + (read if request.echo else 0)
    if request.logprobs is not None and told > MOST_TOLD_TOKENS:
        raise bad_request(f"log-probabilities of {told} tokens; at most {MOST_TOLD_TOKENS} in one request", "logprobs")


def _ids_of(prompt: Prompt, model: ServedModel) -> tuple[int, ...]:
    if isinstance(prompt, str):
        return tuple(model.tokenizer.encode(prompt).tolist())
    size = model.tokenizer.vocab_size
    if int(np.max(prompt)) >= size:
        raise bad_request(f"prompt has token {max(prompt)}; ids of this model are below {size}", "prompt")
    return tuple(prompt)


def _shown(prompt: Prompt, ids: tuple[int, ...], model: ServedModel, *, as_read: bool) -> str:
    """The prompt as it was given, or as the model read it, so that tokens and text offsets fit."""
    return prompt if isinstance(prompt, str) and not as_read else model.tokenizer.decode(ids)


def check_session_model(request: CompletionRequest, session: Session) -> None:
    if request.model is not None and request.model != session.model.name:
        raise Problem(400, f"the session belongs to the model {session.model.name!a}", param="model")


def token_ids(wanted: bool | None, ids: list[int], prompt_ids: tuple[int, ...] | None) -> dict[str, Any]:
    """The fields of `return_token_ids`."""
    if not wanted:
        return {}
    return {"token_ids": ids} if prompt_ids is None else {"prompt_token_ids": list(prompt_ids), "token_ids": ids}
