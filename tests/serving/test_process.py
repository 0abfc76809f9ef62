"""The server as a process: how it starts, says no, drains and ends."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from sonho.cli.main import main
from sonho.errors import UsageError
from sonho.serving.served_model import named_paths
from sonho.storage.model_file import save_model_file
from tests.serving.conftest import FILES, process


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name in ("letters", "slow"):
        save_model_file(folder / f"{name}.safetensors", FILES[name])
    return folder


class Reader(threading.Thread):
    """Reads a stream to its end in the background."""

    def __init__(self, url: str, tokens: int) -> None:
        super().__init__()
        self.events: list[str] = []
        self.error: Exception | None = None
        self._url, self._tokens = url, tokens
        self.start()
        deadline = time.perf_counter() + 10
        while len(self.events) < 2:
            assert time.perf_counter() < deadline
            time.sleep(0.01)

    def run(self) -> None:
        body = {"prompt": "abc", "max_tokens": self._tokens, "stream": True}
        try:
            with httpx.stream("POST", f"{self._url}/v1/completions", json=body, timeout=30) as response:
                for line in response.iter_lines():
                    if line:
                        self.events.append(line.removeprefix("data: "))
        except Exception as error:
            self.error = error


def test_a_signal_drains_what_runs_and_refuses_what_comes(models):
    with process(str(models / "slow.safetensors")) as (server, url):
        tokens = 4000
        readers = [Reader(url, tokens) for _ in range(3)]
        server.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert server.poll() is None, "the streams are still running"
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/health")
        for reader in readers:
            reader.join(20)
            chunks = [json.loads(event) for event in reader.events[:-1]]
            assert reader.error is None
            assert reader.events[-1] == "[DONE]"
            assert sum(len(chunk["choices"][0]["text"]) for chunk in chunks) == tokens
            assert chunks[-1]["choices"][0]["finish_reason"] == "length"
        assert server.wait(5) == 0


def test_what_runs_longer_than_the_drain_ends_with_an_error(models):
    with process(str(models / "slow.safetensors"), "--drain-seconds", "0.3") as (server, url):
        reader = Reader(url, 65_536)
        server.send_signal(signal.SIGTERM)
        reader.join(10)
        assert reader.error is None
        assert json.loads(reader.events[-2])["error"]["code"] == "shutting_down"
        assert reader.events[-1] == "[DONE]"
        assert server.wait(5) == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_process_within_a_second(models, second):
    with process(str(models / "slow.safetensors")) as (server, url):
        reader = Reader(url, 65_536)
        server.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        began = time.perf_counter()
        server.send_signal(second)
        server.wait(5)
        assert time.perf_counter() - began < 1
        reader.join(5)
        assert json.loads(reader.events[-2])["error"]["code"] == "shutting_down"
        assert reader.events[-1] == "[DONE]"


def test_an_idle_server_ends_at_once_and_says_nothing(models):
    with process(str(models / "letters.safetensors")) as (server, url):
        with httpx.Client(base_url=url) as http:  # with a connection that is kept alive
            assert http.get("/health").json() == {"status": "ok"}
            server.send_signal(signal.SIGTERM)
            assert server.wait(3) == 0
        assert server.stderr is not None
        assert server.stderr.read() == ""


def test_several_models_have_names(models):
    letters = str(models / "letters.safetensors")
    with process(letters, "--model", f"mine={letters}", "--weights", "int8") as (_, url):
        listed = httpx.get(f"{url}/v1/models").json()["data"]
        assert [model["id"] for model in listed] == ["letters", "mine"]


def test_names_come_from_files_and_folders(models, tmp_path):
    run = tmp_path / "poems"
    run.mkdir()
    save_model_file(run / "model.safetensors", FILES["letters"])
    letters = str(models / "letters.safetensors")
    assert list(named_paths([str(run), letters], [])) == ["poems", "letters"]
    assert list(named_paths([str(run / "model.safetensors")], [])) == ["poems"]
    for paths, named, message in (
        ([letters, letters], [], "two models are called 'letters'"),
        ([], [], "no model to serve"),
        ([], ["x"], "is not NAME=PATH"),
        ([], [f"a/b={letters}"], "cannot be the name"),
        ([f"poems={letters}"], [], "a name is given with --model poems="),
    ):
        with pytest.raises(UsageError, match=message):
            named_paths(paths, named)


def test_a_taken_port_is_one_line_and_an_exit_code(models, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", str(models / "letters.safetensors"), "--port", str(port)]) == 2
    assert capsys.readouterr().err == (
        f"sonho: port {port} is taken; stop what listens there, or choose another with --port\n"
    )


def test_another_address_needs_a_key(models, capsys):
    assert main(["serve", str(models / "letters.safetensors"), "--host", "0.0.0.0"]) == 2
    assert "can be reached by others: give --api-key-file" in capsys.readouterr().err


def test_a_model_that_is_not_there_or_damaged_is_one_line(models, tmp_path, capsys):
    assert main(["serve", str(tmp_path / "nothing")]) == 66
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes((models / "letters.safetensors").read_bytes()[:-7])
    assert main(["serve", str(damaged), "--port", "0"]) == 65
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("sonho: ") for line in lines] == [True, True]


def test_serving_loads_no_torch(models):
    code = (
        "import sys, sonho.cli.serve, sonho.serving.server\n"
        "from sonho.serving.served_model import load_models, named_paths\n"
        f"load_models(named_paths([{str(models / 'letters.safetensors')!r}], []), 'float32')\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
