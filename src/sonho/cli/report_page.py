"""sonho report: the training view of the web page as one HTML file. Knows files and HTML, not how a model learns."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
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
    """What the training view shows of a run folder. Raises InputNotFoundError, DataError or ModelFileError."""
    from sonho.errors import InputNotFoundError
    from sonho.storage.container import read_container
    from sonho.storage.model_file import MODEL_FILE_NAME, count_parameters, load_model_file

    if not (folder / "metrics.jsonl").exists():
        raise InputNotFoundError(f"{folder} holds no metrics.jsonl; give a run folder that sonho train has made")
    plan, baselines, parameters, tokens_per_char = "", {}, 0, 1.0
    checkpoint = folder / "checkpoint.safetensors"
    if checkpoint.exists():
        header, arrays = read_container(checkpoint, "checkpoint")
        plan, baselines = header["plan"], header["baselines"]
        parameters = sum(array.size for name, array in arrays.items() if name.startswith("model."))
    if (folder / MODEL_FILE_NAME).exists():
        model = load_model_file(folder)
        baselines = model.record.get("baselines") or baselines
        parameters = count_parameters(model.arrays)
        tokens_per_char = _tokens_per_char(model.record)
    name = folder.resolve().name
    return {
        "name": name,
        "finished": True,
        "lines": read_lines(folder / "metrics.jsonl"),
        "samples": read_lines(folder / "samples.jsonl"),
        "baselines": baselines,
        "plan": plan,
        "parameters": parameters,
        "tokens_per_char": tokens_per_char,
    }


def _tokens_per_char(record: dict[str, Any]) -> float:
    """How many tokens a character is, from the two figures of the same text; 1 where there are none."""
    loss, bits = record.get("validation_loss"), record.get("validation_bits_per_char")
    if not loss or not bits:
        return 1.0
    ratio = float(bits) * math.log(2) / float(loss)
    return 1.0 if math.isclose(ratio, 1.0, rel_tol=1e-6) else ratio


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines, which a run may still be writing. Raises DataError."""
    from sonho.errors import DataError

    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
        if not line.endswith(b"\n"):
            break  # half a line: its rest has not arrived
        try:
            # NaN and infinities are not JSON, and a browser would refuse the lot.
            found.append(json.loads(line, parse_constant=lambda name: None))
        except ValueError as error:
            raise DataError(f"{path}, line {number}, is not JSON: {error}") from None
    return found


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
