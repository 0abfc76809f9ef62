"""The one thread that runs the models. The event loop hands it work and gets events back; nothing else is shared.

A turn: take in new work, feed prompts and run errands for a while, draw a chunk in every lane, hand out what came.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sonho.serving.completion import Completion
from sonho.serving.errand import Errand
from sonho.serving.handle import Handle
from sonho.serving.lane import Lane
from sonho.serving.metrics import Metrics
from sonho.serving.problems import Problem, bad_request, busy, loading, shutting_down
from sonho.serving.served_model import ServedModel

# Feeding prompts and errands stop for the drawing after so long.
PREPARE_SECONDS = 0.02

Task = Completion | Errand
Models = dict[str, ServedModel]


class Engine:
    """`queue_size` bounds the texts and errands that are worked on or wait; more are refused before any work."""

    def __init__(self, *, batch_size: int, queue_size: int, metrics: Metrics) -> None:
        self.models: Models = {}
        self.failure: BaseException | None = None  # why loading failed
        self.draining = False
        self._batch_size, self._queue_size, self._metrics = batch_size, queue_size, metrics
        self._lock, self._reserved = threading.Lock(), 0
        self._inbox: queue.SimpleQueue[Sequence[Task] | Problem | None] = queue.SimpleQueue()
        self._outbox: list[tuple[Handle, Any]] = []
        self._preparing: deque[tuple[Task, Iterator[None]]] = deque()
        self._lanes: dict[str, Lane] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop = False

    @property
    def ready(self) -> bool:
        return bool(self.models) and self._thread is not None and self._thread.is_alive()

    @property
    def reserved(self) -> int:
        """Places taken: texts and errands that are worked on or wait."""
        return self._reserved

    @property
    def running(self) -> int:
        return sum(len(lane.batch.rows) for lane in self._lanes.values())

    def start(self, load: Callable[[], Models], done: Callable[[], None] = lambda: None) -> None:
        """Load the models and begin, in the engine's thread; then `done` is called, in the event loop, as this is."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, args=(load, done), name="sonho-engine", daemon=True)
        self._thread.start()

    def submit(self, tasks: Sequence[Task]) -> None:
        """Take on the tasks, all or none. Raises Problem when there is no room for them."""
        if self.draining:
            raise shutting_down()
        if not self.ready:
            raise loading()
        places = sum(task.places for task in tasks)
        if places > self._queue_size:
            raise bad_request(f"{places} texts in one request; the server takes on at most {self._queue_size}", "n")
        with self._lock:
            if self._reserved + places > self._queue_size:
                raise busy()
            self._reserved += places
        for task in tasks:
            task.handle.connect(self._post)
        self._inbox.put(tasks)

    def abort(self, problem: Problem) -> None:
        """End everything that runs with an error."""
        self._inbox.put(problem)

    def wake(self) -> None:
        """Look for cancelled work now, also when idle."""
        self._inbox.put(())

    def stop(self, timeout: float = 1.0) -> None:
        self._stop = True
        self._inbox.put(None)
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self, load: Callable[[], Models], done: Callable[[], None]) -> None:
        try:
            models = load()
        except BaseException as error:
            self.failure = error
            self._call(done)
            return
        self._lanes = {name: Lane(model, self._batch_size, self._metrics) for name, model in models.items()}
        for model in models.values():
            self._metrics.describe(model)
        self.models = models
        self._call(done)
        while not self._stop:
            self._take_in()
            self._drop_cancelled()
            self._prepare()
            drawing = [lane for lane in self._lanes.values() if lane.waiting or lane.batch.rows]
            for lane in drawing:
                self._draw(lane, len(drawing))
            self._hand_out()

    def _take_in(self) -> None:
        """New work; waits for some where there is nothing to do."""
        idle = not self._preparing and not any(lane.waiting or lane.batch.rows for lane in self._lanes.values())
        while True:
            try:
                arrived = self._inbox.get(block=idle)
            except queue.Empty:
                return
            idle = False
            if isinstance(arrived, Problem):
                self._abort(arrived)
            elif arrived is not None:
                for task in arrived:
                    self._preparing.append((task, iter(task.steps(self._lanes[task.model.name].feed_pace))))

    def _drop_cancelled(self) -> None:
        gone = [task for task, _ in self._preparing if task.handle.cancelled or task.handle.failed]
        if gone:
            self._preparing = deque(pair for pair in self._preparing if pair[0] not in gone)
            self._release(sum(task.places for task in gone))
        self._release(sum(lane.drop_cancelled() for lane in self._lanes.values()))

    def _prepare(self) -> None:
        """Feed prompts and run errands in turn, a slice each."""
        until = time.perf_counter() + PREPARE_SECONDS
        while self._preparing and time.perf_counter() < until:
            task, steps = self._preparing.popleft()
            try:
                next(steps)
            except StopIteration:
                if isinstance(task, Completion) and task.rows:
                    self._lanes[task.model.name].queue(task)
                else:
                    self._release(task.places)
            except Exception as error:
                task.handle.post(error)
                self._release(task.places)
            else:
                self._preparing.append((task, steps))

    def _draw(self, lane: Lane, share: int) -> None:
        try:
            self._release(lane.draw(share))
        except Exception as error:
            for row in [*lane.batch.rows, *lane.waiting]:
                row.completion.handle.post(error)
            self._release(lane.clear())

    def _abort(self, problem: Problem) -> None:
        for task, _ in self._preparing:
            task.handle.post(problem)
        for lane in self._lanes.values():
            for row in [*lane.batch.rows, *lane.waiting]:
                row.completion.handle.post(problem)

    def _release(self, places: int) -> None:
        if places:
            with self._lock:
                self._reserved -= places

    def _post(self, handle: Handle, event: Any) -> None:
        self._outbox.append((handle, event))

    def _hand_out(self) -> None:
        if self._outbox:
            events, self._outbox = self._outbox, []
            self._call(lambda: _deliver(events))

    def _call(self, function: Callable[[], None]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop has ended, nobody listens
            self._loop.call_soon_threadsafe(function)


def _deliver(events: Sequence[tuple[Handle, Any]]) -> None:
    for handle, event in events:
        handle.deliver(event)
