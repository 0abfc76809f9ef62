"""What every route needs, put together once: the engine, the models, sessions, limits, metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, TypeVar, cast

from starlette.requests import Request

from sonho.serving.engine import Engine
from sonho.serving.errand import Errand, Result, Work
from sonho.serving.handle import Handle
from sonho.serving.metrics import Metrics
from sonho.serving.options import ServeOptions
from sonho.serving.pace import Pace
from sonho.serving.patterns import AT_ONCE
from sonho.serving.problems import Problem, loading
from sonho.serving.served_model import ServedModel
from sonho.serving.sessions import Sessions
from sonho.serving.streaming import unless_gone

T = TypeVar("T")


class Context:
    """Belongs to the event loop."""

    def __init__(self, options: ServeOptions) -> None:
        self.options = options
        self.metrics = Metrics()
        self.pattern_turns = asyncio.Semaphore(AT_ONCE)
        self.engine = Engine(batch_size=options.batch_size, queue_size=options.queue_size, metrics=self.metrics)
        self.sessions = Sessions(options.max_sessions, options.session_seconds)
        self.metrics.watch(lambda: self.engine.running, lambda: self.engine.reserved, lambda: self.engine.ready)
        self.metrics.sessions.set_function(lambda: len(self.sessions))

    def model(self, name: str | None) -> ServedModel:
        """The model of that name, or the first. Raises Problem."""
        models = self.engine.models
        if not models:
            raise loading()
        if name is None:
            return next(iter(models.values()))
        if name not in models:
            shown = ascii(name if len(name) <= 80 else f"{name[:80]}...")
            raise Problem(404, f"The model {shown} does not exist", code="model_not_found", param="model")
        return models[name]

    def gone(self, *handles: Handle) -> Callable[[], None]:
        """What is done when the client of these handles went away."""

        def call_off() -> None:
            self.metrics.disconnects.inc()
            for handle in handles:
                handle.cancel()
            self.engine.wake()

        return call_off

    async def run(self, request: Request, model: ServedModel, work: Work) -> Any:
        """The result of an errand. Raises Problem, ClientGone or what the work raised."""
        handle = Handle()
        self.engine.submit([Errand(handle, model, work)])

        async def wait() -> Any:
            (result,) = await handle.collect()
            return cast(Result, result).value

        return await unless_gone(request.receive, wait(), self.gone(handle))


def at_once(work: Callable[[], T]) -> Callable[[Pace], Generator[None, None, T]]:
    """Work in one slice."""

    def slices(pace: Pace) -> Generator[None, None, T]:
        return work()
        yield  # a generator without a pause

    return slices


async def in_thread(work: Callable[[], T]) -> T:
    """For what takes long and touches no model, such as encoding a megabyte."""
    return await asyncio.to_thread(work)


def context_of(request: Request) -> Context:
    context: Context = request.app.state.context
    return context
