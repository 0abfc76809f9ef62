"""The built page in a real browser, against the mock of the server. Skipped where there is no browser."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
WAIT_MS = 10_000


def chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("SONHO_CHROMIUM") or next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright: pip install playwright")
    path = chromium()
    if path is None:
        pytest.skip("the page's tests need Chromium: apt-get install chromium, or set SONHO_CHROMIUM to its path")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@contextmanager
def mock_server(*arguments: str) -> Iterator[str]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("the page's tests need node for the mock of the server")
    command = [node, str(ROOT / "web" / "mock" / "server.mjs"), "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = process.stdout.readline().split()[-1]
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with mock_server("--delay", "2") as address:
        yield address


Visit = Callable[..., Any]


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    """Open an address; in the end no message was on the console and nothing was asked of another host."""
    contexts, complaints = [], []

    def open_page(address: str, *, width: int = 1280, scheme: str = "light", complain: bool = True) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        # Headless Chromium has a clipboard only where it is allowed.
        if address.startswith("http"):
            context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address.rstrip("/").split("#")[0])
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        home = urlsplit(address).netloc
        if complain:
            page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("request", lambda request: _check_host(request.url, home, complaints))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def _check_host(url: str, home: str, complaints: list[str]) -> None:
    parts = urlsplit(url)
    if parts.scheme != "data" and parts.netloc != home:
        complaints.append(f"outside request: {url}")


def serious_findings(page: Any) -> list[str]:
    """What axe finds that keeps somebody from using the page."""
    if not AXE.exists():
        pytest.skip("the accessibility test needs axe-core: npm ci in web/")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    result = page.evaluate("async () => await axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{finding['id']} ({finding['impact']}): {node['target']} {node.get('failureSummary', '')}"
        for finding in result["violations"]
        if finding["impact"] in ("serious", "critical", "moderate")
        for node in finding["nodes"]
    ]
