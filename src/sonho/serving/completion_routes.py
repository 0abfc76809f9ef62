"""POST /v1/completions, whole or as a stream."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sonho.serving.completion import PromptRead
from sonho.serving.context import Context, context_of, in_thread
from sonho.serving.handle import Handle
from sonho.serving.logprobs import TokenLogprob, as_openai
from sonho.serving.plan import Plan, check_session_model, make_plan, token_ids
from sonho.serving.problems import Problem
from sonho.serving.replies import AsciiJSON, Reply, make_choice, make_usage
from sonho.serving.routing import Routes
from sonho.serving.schemas import CompletionRequest
from sonho.serving.sessions import Session
from sonho.serving.streaming import EventStream, unless_gone
from sonho.serving.text_row import Growth

routes = Routes()
# A shorter prompt is encoded sooner than a thread is asked.
QUICK_CHARS = 2000


@routes.add("POST", "/v1/completions", "Go on from a prompt", body=CompletionRequest)
async def completions(request: Request, body: CompletionRequest) -> Response:
    context = context_of(request)
    session = context.sessions.occupy(body.session) if body.session is not None else None
    try:
        answer = await Answer.begin(context, body, session)
    except BaseException:
        if session is not None:
            session.busy = False
        raise
    if body.stream:
        return answer.stream()
    try:
        reply = await unless_gone(request.receive, answer.whole(), context.gone(answer.handle))
        return AsciiJSON(reply, headers=answer.plan.headers())
    finally:
        answer.end()


class Answer:
    """One request on its way: what the engine sends is gathered or passed on."""

    def __init__(
        self, context: Context, body: CompletionRequest, session: Session | None, handle: Handle, plan: Plan
    ) -> None:
        self.context, self.body, self.session, self.handle, self.plan = context, body, session, handle, plan
        stream = body.stream_options
        self._reply = Reply(plan.model.name, has_usage=bool(body.stream and stream and stream.include_usage))
        self._wants_usage = bool(stream and stream.include_usage)
        self._began = self._last = time.perf_counter()
        self._first = True
        self._drawn = 0
        self._session_ids: list[int] = list(plan.prompts[0])
        self._left = len(plan.prompts) * (1 + (plan.rows if plan.max_tokens else 0))
        self._read: dict[int, list[TokenLogprob]] = {}  # prompt -> log-probabilities of its tokens
        self._begun: set[tuple[int, int]] = set()  # texts of which something was streamed

    @classmethod
    async def begin(cls, context: Context, body: CompletionRequest, session: Session | None) -> Answer:
        """Check the request and hand its work to the engine. Raises Problem."""
        if session is not None:
            check_session_model(body, session)
        model = session.model if session is not None else context.model(body.model)
        handle = Handle(streaming=bool(body.stream))
        prompt = body.prompt
        if prompt is None or (isinstance(prompt, str) and len(prompt) < QUICK_CHARS):
            plan = make_plan(body, model, handle, session)
        else:
            plan = await in_thread(lambda: make_plan(body, model, handle, session))
        context.engine.submit(plan.tasks)
        context.metrics.prompt_tokens.inc(plan.prompt_tokens)
        return cls(context, body, session, handle, plan)

    def end(self) -> None:
        self.handle.cancel()  # nothing more is wanted, whatever happened
        if self.session is not None:
            self.session.busy = False
        self.context.metrics.request_seconds.observe(time.perf_counter() - self._began)

    async def whole(self) -> dict[str, Any]:
        plan = self.plan
        rows: list[list[Growth]] = [[] for _ in plan.prompts]
        while self._left:
            for event in await self.handle.collect():
                self._take(event)
                if isinstance(event, Growth):
                    rows[event.prompt].append(event)
        choices = []
        for number, grown in enumerate(rows):
            if not plan.max_tokens:
                grown = [Growth(number, row, finish_reason="length") for row in range(plan.rows)]
            if plan.rows > plan.choices:
                grown.sort(key=lambda growth: -growth.mean_logprob)
            chosen = sorted(grown[: plan.choices], key=lambda growth: growth.row)
            choices += [self._choice(number, rank, growth, begins=True) for rank, growth in enumerate(chosen)]
        return self._reply.whole(choices, make_usage(plan.prompt_tokens, self._drawn))

    def stream(self) -> EventStream:
        return EventStream(
            self.handle,
            self._messages,
            ping_seconds=self.context.options.ping_seconds,
            on_gone=self.context.gone(self.handle),
            on_end=self.end,
            headers=self.plan.headers(),
        )

    def _messages(self, event: PromptRead | Growth) -> Iterator[dict[str, Any] | None]:
        """What is streamed for an event, None after the last."""
        self._take(event)
        plan = self.plan
        if isinstance(event, Growth):
            begins = (event.prompt, event.row) not in self._begun
            self._begun.add((event.prompt, event.row))
            yield self._reply.chunk(self._choice(event.prompt, event.row, event, begins=begins))
        elif self.body.echo or not plan.max_tokens:  # the prompt is shown as soon as it is read
            for row in range(plan.rows):
                self._begun.add((event.prompt, row))
                growth = Growth(event.prompt, row, finish_reason=None if plan.max_tokens else "length")
                yield self._reply.chunk(self._choice(event.prompt, row, growth, begins=True))
        if not self._left:
            if self._wants_usage:
                yield self._reply.last(make_usage(plan.prompt_tokens, self._drawn))
            yield None

    def _take(self, event: PromptRead | Growth) -> None:
        """Note an event of the engine; `_left` is how many prompts and texts have not ended yet."""
        if isinstance(event, PromptRead):
            self._left -= 1
            self._read[event.prompt] = event.logprobs
            if self.session is not None and not self.plan.max_tokens and self.plan.tasks[0].stand is not None:
                self.session.advance(self._session_ids, self.plan.tasks[0].stand)
        else:
            self._left -= event.finish_reason is not None
            self._note(event)

    def _note(self, growth: Growth) -> None:
        now = time.perf_counter()
        if self._first:
            self._first = False
            self.context.metrics.first_token.observe(now - self._began)
        elif self.handle.streaming and growth.num_tokens:
            self.context.metrics.inter_token.observe((now - self._last) * self.plan.rows / growth.num_tokens)
        self._last = now
        self._drawn += growth.num_tokens
        if self.session is not None:
            self._session_ids += growth.token_ids
            if growth.stand is not None:
                self.session.advance(self._session_ids, growth.stand)

    def _choice(self, prompt: int, rank: int, growth: Growth, *, begins: bool) -> dict[str, Any]:
        """`begins`: the text of the prompt, where it is echoed, stands in front."""
        body, shown = self.body, self.plan.shown[prompt]
        logprobs = None
        if body.logprobs is not None:
            entries = [_moved(entry, len(shown)) for entry in growth.logprobs]
            logprobs = as_openai([*self._read[prompt], *entries] if begins else entries)
        ids = token_ids(body.return_token_ids, growth.token_ids, self.plan.prompts[prompt] if begins else None)
        text = shown + growth.text if begins else growth.text
        return make_choice(prompt * self.plan.choices + rank, text, growth.finish_reason, logprobs, ids)


def _moved(entry: TokenLogprob, by: int) -> TokenLogprob:
    return dataclasses.replace(entry, start=entry.start + by) if by else entry


@routes.add("POST", "/v1/embeddings", "Not there: these models give no embeddings", status=404)
async def embeddings(request: Request) -> Response:
    raise Problem(404, "these models give no embeddings", code="unsupported_endpoint")
