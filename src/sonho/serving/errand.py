"""Work for the engine that is not drawing: a generator that does a slice each time it is asked."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sonho.serving.pace import Pace
from sonho.serving.served_model import ServedModel

if TYPE_CHECKING:
    from sonho.serving.handle import Handle

Work = Callable[[Pace], Generator[None, None, Any]]


@dataclass(frozen=True, slots=True)
class Result:
    """What an errand brought."""

    value: Any


class Errand:
    """Runs `work` between draws and posts its result."""

    places = 1

    def __init__(self, handle: Handle, model: ServedModel, work: Work) -> None:
        self.handle, self.model, self._work = handle, model, work

    def steps(self, pace: Pace) -> Generator[None, None, None]:
        self.handle.post(Result((yield from self._work(pace))))
