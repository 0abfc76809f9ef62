"""The committed build is what the sources give. Needs neither node nor a browser."""

import gzip
import hashlib
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
WEB, SITE = ROOT / "web", ROOT / "src" / "sonho" / "serving" / "static"
# The same names as in web/build.mjs.
SOURCES = [
    *("build.mjs", "index.html", "package-lock.json", "package.json"),
    *("public", "src", "tsconfig.json", "vite.config.mjs"),
]
LIMIT_BYTES = 150 * 1024


def digests(folder: Path, names: list[str]) -> dict[str, str]:
    files = [path for name in names for path in [folder / name, *(folder / name).rglob("*")] if path.is_file()]
    found = {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return dict(sorted(found.items()))


def record() -> dict:
    return json.loads((SITE / "build.json").read_text())


def test_the_committed_build_is_that_of_the_sources():
    lines = "".join(f"{name} {digest}\n" for name, digest in digests(WEB, SOURCES).items())
    assert record()["sources"] == hashlib.sha256(lines.encode()).hexdigest(), "the sources changed: make web"


def test_no_file_of_the_build_was_changed_by_hand():
    names = [path.name for path in SITE.iterdir() if path.name != "build.json"]
    assert record()["files"] == digests(SITE, names)


def test_the_build_stays_small():
    size = sum(len(gzip.compress(path.read_bytes(), 9)) for path in SITE.rglob("*") if path.is_file())
    assert size <= LIMIT_BYTES


def test_the_page_has_no_inline_script_or_style_and_no_outside_address():
    page = (SITE / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=", page) == []
    assert "//" not in page.replace("<!doctype", "")
    for style in SITE.rglob("*.css"):
        assert re.findall(r"https?:|@import", style.read_text()) == []


def test_the_lock_file_names_no_registry():
    assert "resolved" not in (WEB / "package-lock.json").read_text()
