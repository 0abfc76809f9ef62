"""sonho report: the training view of the web page as one HTML file. Knows files and HTML, not how a model learns."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
import sys
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import click

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main class="report">
<h1>How it learned: {title}</h1>
<div id="report">{table}</div>
<footer class="note">Made by sonho {version}. Everything shown is in this file; it asks no network.</footer>
</main>
<script type="application/json" id="runs">{data}</script>
<script>{script}</script>
</body>
</html>
"""


@click.command("report")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("-o", "--output", metavar="FILE", help="HTML file to write; default: report.html in the first RUN")
def command(runs: tuple[str, ...], output: str | None) -> None:
    """Write how RUN learned as one HTML file: curves against the baselines, and the samples on the way.

    The file needs no server and no network. Several runs are drawn over each other.

    \b
    sonho report runs/my -o report.html
    sonho report runs/lstm runs/gru -o both.html
    """
    from sonho.storage.durable import replace_file

    path = Path(output) if output else Path(runs[0]) / "report.html"
    page = make_page([read_run(Path(run)) for run in dict.fromkeys(runs)])
    replace_file(path, page.encode())
    click.echo(f"{path}: {len(page) / 1000:.0f} kB")


def read_run(folder: Path) -> dict[str, Any]:
    """What the training view shows of a run folder. Raises InputNotFoundError or DataError."""
    from sonho.errors import InputNotFoundError
    from sonho.storage.run_folders import METRICS, SAMPLES, facts, read_lines

    if not (folder / METRICS).exists():
        raise InputNotFoundError(f"{folder} holds no {METRICS}; give a run folder that sonho train has made")
    lines, samples = (read_lines(folder / name, most=sys.maxsize, strict=True)[0] for name in (METRICS, SAMPLES))
    return {"name": folder.resolve().name, "finished": True, "lines": lines, "samples": samples, **facts(folder)}


def make_page(runs: list[dict[str, Any]]) -> str:
    """The report of runs as read by `read_run`: style, typefaces, script and data in one text."""
    import sonho

    runs = [{**run, "id": str(number)} for number, run in enumerate(runs)]

    static = resources.files("sonho") / "serving" / "static"
    # Scripts end at the first </script, whatever stands around it.
    script = (static / "report.js").read_text(encoding="utf-8").replace("</script", "<\\/script")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return PAGE.format(
        policy=f"default-src 'none'; style-src 'unsafe-inline'; font-src data:; script-src 'sha256-{digest}'",
        title=html.escape(", ".join(run["name"] for run in runs)),
        style=_with_typefaces((static / "report.css").read_text(encoding="utf-8"), static),
        table=_table(runs),
        version=sonho.__version__,
        data=json.dumps(runs, ensure_ascii=True).replace("<", "\\u003c"),
        script=script,
    )


def _with_typefaces(style: str, static: Traversable) -> str:
    def inline(match: re.Match[str]) -> str:
        content = (static / "assets" / match[1]).read_bytes()
        return f"url(data:font/woff2;base64,{base64.b64encode(content).decode()})"

    return re.sub(r"""url\(["']?[^)"']*?([\w.-]+\.woff2)["']?\)""", inline, style)


def _table(runs: list[dict[str, Any]]) -> str:
    """The figures for a reader without JavaScript; the script puts the curves in their place."""
    rows = []
    for run in runs:
        losses = [line["validation_loss"] for line in run["lines"] if line.get("validation_loss") is not None]
        figures = dict(run["baselines"])
        if losses:
            figures[run["name"]] = min(losses) * run["tokens_per_char"] / math.log(2)
        rows += [f"<tr><th>{html.escape(name)}</th><td>{bits:.4f}</td></tr>" for name, bits in figures.items()]
    return f"<table><caption>bits per character</caption>{''.join(rows)}</table>"
