"""Who may ask what, how large and how slow a request may be, and what is never told."""

import contextlib
import http.client
import json
import random
import socket
import time

import httpx
import pytest

from sonho.errors import UsageError
from sonho.serving.guard import Rates, host_name, is_loopback
from sonho.serving.options import ServeOptions
from sonho.serving.page import read_page
from sonho.serving.problems import Problem
from sonho.serving.server import bind, check_safety, read_keys
from tests.serving.conftest import FILES, Live

KEY, OTHER = "a-right-key", "another-right-key"


@pytest.fixture(scope="module")
def locked():
    server = Live({"letters": FILES["letters"]}, keys=(KEY, OTHER), header_seconds=0.6, body_seconds=0.6)
    yield server
    server.stop()


def every_route():
    from sonho.serving import completion_routes, inspect_routes, model_routes, run_routes, session_routes

    for module in (completion_routes, inspect_routes, model_routes, run_routes, session_routes):
        for operation in module.routes.operations:
            yield operation.method, operation.path.replace("{id}", "none").replace("{name}", "letters")
    yield from (("GET", path) for path in ("/docs", "/openapi.json", "/nowhere", "/v1/nowhere"))


OPEN = {("GET", "/health"), ("GET", "/ready"), ("GET", "/")}


@pytest.mark.parametrize(("method", "path"), sorted({*every_route(), *OPEN, ("POST", "/health"), ("DELETE", "/")}))
def test_every_route_needs_a_right_key_but_health_and_the_page(locked, method, path):
    def status(headers):
        return locked.http.request(method, path, headers=headers).status_code

    for headers in (
        {}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {KEY}"}, {"Authorization": KEY},
        {"Authorization": f"Bearer {KEY}x"}, {"Authorization": "Bearer"}, {"Authorization": b"Bearer \xe9"},
    ):  # fmt: skip
        assert (status(headers) == 401) == ((method, path) not in OPEN)
    for key in (KEY, OTHER):
        assert status({"Authorization": f"Bearer {key}"}) != 401


def test_the_answer_to_a_wrong_key_has_openais_shape_and_does_not_repeat_it(locked, capfd):
    reply = locked.http.get("/v1/models", headers={"Authorization": "Bearer hunter2"})
    assert reply.json()["error"]["code"] == "invalid_api_key"
    assert reply.headers["www-authenticate"] == "Bearer"
    assert "hunter2" not in reply.text + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::2]", "",
        "localhost:80:80", "localhost/", "a@localhost", "[::1", "0.0.0.0",
    ],
)  # fmt: skip
def test_a_foreign_host_is_refused(live, host):
    reply = live.http.get("/health", headers={"Host": host})
    assert reply.status_code in (400, 403), reply.text
    assert "error" in reply.json()


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "127.0.0.1:8000", "[::1]", "[::1]:8000"])
def test_loopback_has_many_names(live, host):
    assert live.http.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "https://127.0.0.1", "file://"]
)
def test_a_page_of_a_foreign_origin_is_refused(live, origin):
    for path in ("/v1/models", "/health", "/"):
        reply = live.http.get(path, headers={"Origin": origin})
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "origin_not_allowed")
        assert "access-control-allow-origin" not in reply.headers


def test_the_page_itself_may_call(live):
    for host in ("localhost:8000", "[::1]:8000"):
        assert live.http.get("/v1/models", headers={"Host": host, "Origin": f"http://{host}"}).status_code == 200


def test_an_allowed_origin_gets_cors_also_where_a_key_is_needed(start):
    live = start("letters", allow_origins=("https://a.example",), keys=(KEY,))
    origin = {"Origin": "https://a.example"}
    asked = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    preflight = live.http.options("/v1/completions", headers=asked)
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, "https://a.example")
    reply = live.http.get("/v1/models", headers={**origin, "Authorization": f"Bearer {KEY}"})
    assert reply.headers["access-control-allow-origin"] == "https://a.example"
    assert live.http.get("/v1/models", headers={"Origin": "https://b.example"}).status_code == 403


def test_hosts_can_be_allowed_and_addresses_are_where_others_may_come():
    names = [("x.example:80", "x.example"), ("[::1]:1", "::1"), ("a b", None), ("a:", None), ("[x]", None)]
    assert [host_name(given) for given, _ in names] == [name for _, name in names]
    assert [is_loopback(host) for host in ("localhost", "127.0.0.2", "::1", "0.0.0.0", "x.example")] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_every_reply_has_a_strict_policy(live):
    for path in ("/", "/health", "/nowhere", "/docs"):
        headers = live.http.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
        assert "unsafe" not in headers["content-security-policy"]
        assert "server" not in headers


def send(live, data, wait=3.0):
    """What comes back for raw bytes until the server closes, and how long that takes."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", live.port)) as connection:
        connection.settimeout(wait)
        connection.sendall(data)
        received = b""
        try:
            while piece := connection.recv(65536):
                received += piece
        except (TimeoutError, ConnectionResetError):
            pass
    return received, time.perf_counter() - began


PLAIN_HEAD = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
HEAD = f"{PLAIN_HEAD}Authorization: Bearer {KEY}\r\n"


@pytest.mark.parametrize("length", [str(2**30), str(2**20 + 1), "9" * 400])
def test_a_body_that_says_it_is_too_large_is_refused_at_once(locked, length):
    reply, seconds = send(locked, f"{HEAD}Content-Length: {length}\r\n\r\n".encode())
    assert reply.split()[1] in (b"413", b"400")
    assert seconds < 0.5


def test_a_body_that_grows_too_large_is_refused(locked):
    chunk = f"{65536:x}\r\n".encode() + b"x" * 65536 + b"\r\n"
    reply, _ = send(locked, f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk * 20)
    assert b"413" in reply.split(b"\r\n")[0] or reply == b""  # the connection may be reset while we still send


def test_headers_that_are_too_long_are_refused(locked):
    for size in (40_000, 100_000, 500_000):
        head = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: " + b"x" * size
        reply, _ = send(locked, head + b"\r\n\r\n")
        assert reply == b"" or reply.split()[1] in (b"400", b"431")


def test_headers_that_trickle_in_are_cut(locked):
    reply, seconds = send(locked, b"GET / HTTP/1.1\r\nHost: loc")
    assert (reply, seconds < 2) == (b"", True)
    reply, seconds = send(locked, b"")
    assert (reply, seconds < 2) == (b"", True)
    # Also a byte at a time, and after a first request that was fine.
    with socket.create_connection(("127.0.0.1", locked.port)) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536)
        began = time.perf_counter()
        with contextlib.suppress(OSError):  # reset, or a broken pipe
            while time.perf_counter() - began < 5:
                connection.sendall(b"G")
                time.sleep(0.05)
        assert time.perf_counter() - began < 2


def test_a_body_that_trickles_in_is_cut(locked):
    reply, seconds = send(locked, f'{HEAD}Content-Length: 100\r\n\r\n{{"prompt"'.encode())
    assert b" 408 " in reply
    assert seconds < 2


def test_a_client_that_does_not_read_is_cut(start):
    live = start("letters", write_seconds=0.3)
    body = json.dumps({"prompt": "a", "max_tokens": 65536, "n": 64, "stream": True, "return_token_ids": True}).encode()
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", live.port))
    connection.sendall(f"{PLAIN_HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    deadline = time.perf_counter() + 10
    while not live.metric("disconnects_total"):
        assert time.perf_counter() < deadline
        time.sleep(0.02)
    deadline = time.perf_counter() + 2
    while live.context.engine.reserved:
        assert time.perf_counter() < deadline
        time.sleep(0.02)
    connection.close()


def test_more_connections_than_allowed_are_closed(start):
    live = start("letters", max_connections=3)
    held = [socket.create_connection(("127.0.0.1", live.port)) for _ in range(3)]
    time.sleep(0.1)
    reply, _ = send(live, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert reply == b""
    for connection in held:
        connection.close()


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"n":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"prompt": "a", "logit_bias": ' + b'{"1":' * 50_000 + b"1" + b"}" * 50_001,
        b'{"n": ' + b"9" * 5000 + b"}",
        b'{"temperature": NaN}', b'{"temperature": 1e999}', b'{"temperature": Infinity}',
        b"\xff\xfe", b"", b"null", b"[]", b'"text"', b"{", b'{"prompt": [[[[[[1]]]]]]}',
        b'{"prompt": [' + b"1," * 400_000 + b"1]}", b'{"stop": [' + b'"a",' * 200_000 + b'"a"]}',
    ],
)  # fmt: skip
def test_hostile_json_is_a_bad_request_and_quickly(live, content):
    began = time.perf_counter()
    reply = live.http.post("/v1/completions", content=content, headers={"content-type": "application/json"})
    assert reply.status_code == 400, reply.text[:300]
    assert reply.json()["error"]["type"] == "invalid_request_error"
    assert len(reply.text) < 500
    assert time.perf_counter() - began < 2


def test_another_content_type_is_refused(live):
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        reply = live.http.post("/v1/completions", content=b'{"prompt": "a"}', headers={"content-type": kind})
        assert reply.status_code == 400, kind


def traversals(count):
    rng = random.Random(1)
    steps = ["..", "%2e%2e", "%252e%252e", "..%00", "%c0%ae%c0%ae", ".%2e", "..;", "....", "%2e.", "\\..", "..%5c"]
    slashes = ["/", "//", "%2f", "%5c", "%252f", "/./"]
    targets = ["etc/passwd", "pyproject.toml", "src/sonho/errors.py", "server.py", "../guard.py", "proc/self/environ"]
    starts = ["/", "/assets/", "//", "/assets/../", "/v1/", "/%2e/", "/static/"]
    for _ in range(count):
        depth = rng.randrange(1, 8)
        climb = "".join(rng.choice(steps) + rng.choice(slashes) for _ in range(depth))
        yield rng.choice(starts) + climb + rng.choice(targets)


def test_three_hundred_ways_out_of_the_folder_lead_nowhere(live):
    connection = http.client.HTTPConnection("127.0.0.1", live.port)
    for path in traversals(300):
        connection.request("GET", path)
        reply = connection.getresponse()
        assert (reply.status, "unknown_url" in reply.read().decode()) == (404, True), path
    connection.close()


def test_the_pages_files_are_served_from_memory(tmp_path):
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<p>page")
    (tmp_path / "assets" / "a-1.js").write_text("1")
    (tmp_path / "secret").symlink_to("/etc/passwd")
    files = read_page(tmp_path)
    assert files.keys() == {"/", "/assets/a-1.js"}
    assert files["/"].content == b"<p>page"
    assert "immutable" in files["/assets/a-1.js"].cache
    assert files["/assets/a-1.js"].media_type == "text/javascript"


def test_without_a_built_page_there_is_a_plain_one_without_foreign_scripts(tmp_path, live):
    page = read_page(tmp_path / "nothing")["/"].content.decode()
    assert "/docs" in page
    assert "://" not in page
    docs = live.http.get("/docs").text
    assert "/v1/completions" in docs
    assert "<script" not in docs


def test_the_log_holds_neither_prompts_nor_keys_nor_control_characters(start, monkeypatch, capfd):
    live = start("letters", keys=(KEY,))
    monkeypatch.setattr(live.context.engine, "submit", lambda tasks: 1 / 0)
    headers = {"Authorization": f"Bearer {KEY}"}
    assert live.http.post("/v1/completions", json={"prompt": "SECRET"}, headers=headers).status_code == 500
    live.http.get("/%1b[31m%0afake line", headers=headers)
    live.http.get("/v1/models?api_key=SECRET")
    logged = "".join(capfd.readouterr())
    assert "fault in POST /v1/completions: ZeroDivisionError" in logged
    for secret in ("SECRET", KEY, "\x1b", "fake line\n"):
        assert secret not in logged


def test_over_its_rate_a_key_is_refused_and_another_is_not(start):
    live = start("letters", keys=(KEY, OTHER), rate_limit=3)

    def ask(key):
        return live.http.get("/v1/models", headers={"Authorization": f"Bearer {key}"})

    assert [ask(KEY).status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = ask(KEY)
    assert (refused.json()["error"]["type"], refused.headers["retry-after"]) == ("rate_limit_error", "20")
    assert ask(OTHER).status_code == 200
    assert live.http.get("/health").status_code == 200
    assert live.metric("rejections_total", reason="rate_limit_exceeded") == 2


def test_a_bucket_fills_again(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    rates = Rates(60)
    for _ in range(60):
        rates.take("a")
    with pytest.raises(Problem):
        rates.take("a")
    now[0] = 1.0
    rates.take("a")
    with pytest.raises(Problem):
        rates.take("a")


def test_an_address_that_others_reach_needs_a_key(capsys):
    for host in ("0.0.0.0", "::", "192.168.1.1", "example.org"):
        with pytest.raises(UsageError, match="give --api-key-file"):
            check_safety(ServeOptions(host=host))
        check_safety(ServeOptions(host=host, keys=(KEY,)))
    assert capsys.readouterr().err == ""
    check_safety(ServeOptions(host="0.0.0.0", insecure=True))
    assert "WARNING" in capsys.readouterr().err
    for host in ("127.0.0.1", "localhost", "::1"):
        check_safety(ServeOptions(host=host))


def test_a_taken_port_is_told_in_one_line():
    taken = bind("127.0.0.1", 0)
    port = taken.getsockname()[1]
    with pytest.raises(UsageError, match=f"port {port} is taken; stop what listens there"):
        bind("127.0.0.1", port)
    taken.close()
    with pytest.raises(UsageError, match="is no address"):
        bind("no such host", 0)


def test_keys_are_read_from_a_file_and_the_environment(tmp_path):
    path = tmp_path / "keys"
    path.write_text("# ours\none\n\n two \n")
    assert read_keys(str(path), "three\n") == ("one", "two", "three")
    assert read_keys(None, None) == ()
    path.write_text("\n# none\n")
    with pytest.raises(UsageError, match="holds no key"):
        read_keys(str(path), None)
    with pytest.raises(UsageError, match="cannot read"):
        read_keys(str(tmp_path / "nothing"), None)


def test_options_never_show_the_keys():
    assert KEY not in repr(ServeOptions(keys=(KEY,)))


def test_errors_of_the_protocol_have_openais_shape_too(live):
    reply, _ = send(live, b"NONSENSE\r\n\r\n", wait=1)
    assert b"400" in reply.split(b"\r\n")[0]
    assert json.loads(reply.split(b"\r\n\r\n")[1])["error"]["code"] == "invalid_http"
    assert httpx.get(f"{live.url}/v1/completions").json()["error"]["code"] == "method_not_allowed"
    assert httpx.get(f"{live.url}/nowhere").json()["error"]["code"] == "unknown_url"
