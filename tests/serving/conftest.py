"""Live servers on free ports, with small models of random weights."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from sonho.config import DataConfig, ModelConfig
from sonho.evaluation.prior_counts import count_prior
from sonho.serving.context import Context
from sonho.serving.options import ServeOptions
from sonho.serving.served_model import ServedModel
from sonho.serving.server import Service, bind
from sonho.storage.model_file import ModelFile
from sonho.storage.shapes import expected_shapes
from sonho.text import fit_tokenizer, masked_ids

SYMBOLS = "abcdefghijklmnopqrstuvwxyz ABC.,\n'"


def make_file(
    *, symbols: str = SYMBOLS, level: str = "char", data_kind: str = "stream", window: int = 0, seed: int = 1,
    scale: float = 0.5, **config: Any,
) -> ModelFile:  # fmt: skip
    tokenizer = fit_tokenizer([symbols], DataConfig(level=level))
    model = ModelConfig(**{"hidden_size": 24, **config})
    rng = np.random.default_rng(seed)
    shapes = expected_shapes(model, tokenizer.vocab_size)
    arrays = {name: (rng.standard_normal(shape) * scale).astype(np.float32) for name, shape in shapes.items()}
    return ModelFile(model, tokenizer, data_kind, arrays, window)


def with_prior(file: ModelFile) -> ModelFile:
    """The same with counts of a little text and a gate of half and half."""
    tokenizer = file.tokenizer
    ids = tokenizer.encode("a cab had a bad bag; the dad had abc def. " * 20, "skip")
    masked = list(masked_ids(tokenizer, file.data_kind))
    file.prior = count_prior(ids, 5, tokenizer.vocab_size, most_bytes=1e9, masked=masked)
    file.prior["gate"][:, :-2] = 0.5
    return file


FILES = {
    "letters": make_file(),
    "records": make_file(data_kind="records", cell="gru", seed=2),
    "bytes": make_file(level="byte", cell="gru", seed=3, scale=0.3),
    "windows": make_file(data_kind="windows", window=5, seed=4),
    "counted": with_prior(make_file(seed=6)),
    "slow": make_file(hidden_size=512, num_layers=2, seed=5, scale=0.05),
}


class Live:
    """A server in a thread. `client` is OpenAI's, `http` plain."""

    def __init__(self, files: dict[str, ModelFile], **options: Any) -> None:
        self.options = ServeOptions(port=0, **options)
        listener = bind(self.options.host, 0)
        self.port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.context = Context(self.options)
        self.service = Service(self.context, lambda: {name: ServedModel(name, file) for name, file in files.items()})
        self._thread = threading.Thread(target=self.service.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()
        self.http = httpx.Client(base_url=self.url, timeout=30)
        wait_until(lambda: self.context.engine.ready, seconds=20)

    @property
    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=30)

    @property
    def async_client(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=30)

    def complete(self, **body: Any) -> dict[str, Any]:
        response = self.http.post("/v1/completions", json=body)
        assert response.status_code == 200, response.text
        return response.json()

    def metric(self, name: str, **labels: str) -> float:
        return self.context.metrics.registry.get_sample_value(f"sonho_{name}", labels) or 0.0

    def stop(self) -> None:
        self.service.should_exit = True
        self.http.close()
        self._thread.join(15)
        assert not self._thread.is_alive()


def wait_until(condition: Callable[[], bool], *, seconds: float) -> float:
    """Wait for a condition; returns how long it took."""
    began = time.perf_counter()
    while not condition():
        if time.perf_counter() - began > seconds:
            raise AssertionError(f"it did not come true in {seconds} s")
        time.sleep(0.002)
    return time.perf_counter() - began


@contextmanager
def process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server and its address, once it is ready."""
    command = [sys.executable, "-m", "sonho", "serve", *arguments, "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        line = server.stderr.readline()
        found = re.search(r"http://\S+", line)
        assert found, line
        yield server, found[0]
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    """One server with every model, for tests that leave it as it was."""
    server = Live(FILES)
    yield server
    server.stop()


@pytest.fixture
def start() -> Iterator[Callable[..., Live]]:
    """start("letters", queue_size=4): a server of its own."""
    started: list[Live] = []

    def make(*names: str, **options: Any) -> Live:
        started.append(Live({name: FILES[name] for name in names}, **options))
        return started[-1]

    yield make
    for server in started:
        server.stop()
