"""What the server counts and times, in a registry of its own, in Prometheus's text format."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

import sonho
from sonho.serving.served_model import ServedModel

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
TOKEN_SECONDS = (1e-6, 1e-5, 1e-4, 1e-3, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """Threads may share it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"sonho_{name}", text, labels, registry=self.registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"sonho_{name}", text, buckets=buckets, registry=self.registry)

        self._running = Gauge("sonho_texts_running", "Texts drawn at the moment", registry=self.registry)
        self._waiting = Gauge("sonho_texts_waiting", "Texts and errands that wait", registry=self.registry)
        self._ready = Gauge("sonho_ready", "1 where requests are taken on", registry=self.registry)
        self.sessions = Gauge("sonho_sessions", "Sessions that are kept", registry=self.registry)
        self.requests = counter("requests", "Requests answered, by route and status", "route", "status")
        self.rejections = counter("rejections", "Requests refused, by reason", "reason")
        self.disconnects = counter("disconnects", "Clients that went away before their answer was complete")
        self.prompt_tokens = counter("prompt_tokens", "Tokens of prompts")
        self._generated = counter("generated_tokens", "Tokens drawn")
        self.first_token = histogram("time_to_first_token_seconds", "From the request to its first text", SECONDS)
        self.inter_token = histogram("inter_token_seconds", "Between the tokens of a stream", TOKEN_SECONDS)
        self.request_seconds = histogram("request_seconds", "From a request for text to its end", SECONDS)
        self._batch_rows = histogram("batch_size", "Texts drawn in one call", ROWS)
        build = Gauge("sonho_build_info", "The version that runs", ("version",), registry=self.registry)
        build.labels(sonho.__version__).set(1)
        self._models = Gauge(
            "sonho_model_info", "The models, 1 each", ("model", "cell", "parameters"), registry=self.registry
        )

    def drawn(self, tokens: int, rows: int) -> None:
        self._generated.inc(tokens)
        self._batch_rows.observe(rows)

    def describe(self, model: ServedModel) -> None:
        card = model.card()["sonho"]
        self._models.labels(model.name, card["cell"], str(card["parameters"])).set(1)

    def watch(self, running: Callable[[], int], reserved: Callable[[], int], ready: Callable[[], bool]) -> None:
        """Gauges that are read when they are asked for."""
        self._running.set_function(running)
        self._waiting.set_function(lambda: max(0, reserved() - running()))
        self._ready.set_function(ready)

    def text(self) -> bytes:
        return generate_latest(self.registry)
