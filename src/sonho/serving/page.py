"""The page's files, read once and served from memory: no path of a request ever reaches the disk."""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from starlette.responses import Response

from sonho.serving.routing import Operation

FOLDER = Path(__file__).parent / "static"
MOST_FILE_BYTES = 8 * 2**20
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml",
         ".json": "application/json", ".woff2": "font/woff2", ".webmanifest": "application/manifest+json"}  # fmt: skip

PLAIN = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>sonho</title></head>
<body><h1>sonho</h1><p>The server runs; this copy was built without its page.
The <a href="/docs">addresses of the API</a>, <a href="/v1/models">the models</a>.</p></body></html>
"""


@dataclass(frozen=True)
class File:
    content: bytes
    media_type: str
    cache: str

    def response(self) -> Response:
        return Response(self.content, media_type=self.media_type, headers={"cache-control": self.cache})


def read_page(folder: Path = FOLDER) -> dict[str, File]:
    """Address -> file. Without a built page, `/` is a plain one."""
    files = {"/": File(PLAIN.encode(), "text/html", "no-cache")}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MOST_FILE_BYTES:
            continue
        name = path.relative_to(folder).as_posix()
        kind = TYPES.get(path.suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        # Files under assets/ are named after their content.
        cache = "public, max-age=31536000, immutable" if name.startswith("assets/") else "no-cache"
        files["/" if name == "index.html" else f"/{name}"] = File(path.read_bytes(), kind, cache)
    return files


def docs_page(operations: Sequence[Operation]) -> Response:
    """The addresses of the API as plain HTML."""
    rows = [
        f"<tr><td>{operation.method}</td><td>{escape(operation.path)}</td><td>{escape(operation.summary)}</td></tr>"
        for operation in operations
    ]
    return Response(
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>sonho: API</title></head><body>"
        "<h1>sonho: API</h1><p>OpenAI's clients work with this server; all fields are in"
        " <a href='/openapi.json'>openapi.json</a>.</p>"
        f"<table>{''.join(rows)}</table></body></html>",
        media_type="text/html",
    )
