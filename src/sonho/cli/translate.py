"""sonho translate"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from sonho.cli.options import flag_settings, setting_flags
from sonho.errors import StorageError, UsageError

if TYPE_CHECKING:
    from sonho.decoding.translator import Translation, Translator

LINES_AT_ONCE = 1024


@click.command("translate")
@click.argument("model")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("-t", "--text", "texts", multiple=True, help="a text to translate, in place of a file")
@click.option("-o", "--output", metavar="FILE", help="write there in place of standard output")
@click.option("--beam", type=int, default=5, show_default=True, help="texts followed side by side; 1 = greedy")
@click.option("--n-best", type=int, default=1, show_default=True, help="translations of each line, with their scores")
@click.option(
    "--length-penalty",
    type=float,
    default=1.0,
    show_default=True,
    help="how much long translations are favoured; 0 = not at all",
)
@click.option(
    "--normalisation",
    type=click.Choice(["wu", "power", "none"]),
    default="wu",
    show_default=True,
    help="a score is log p / ((5 + length) / 6)^penalty, log p / length^penalty, or log p",
)
@click.option("--max-tokens", type=click.IntRange(min=1), help="longest translation; default: by the source")
@click.option(
    "--json", "as_json", is_flag=True, help="a JSON object a line: scores, tokens, and attention if asked for"
)
@click.option("--attention", metavar="FILE", help="draw where the first line's translation looked (SVG)")
@setting_flags("--errors")
def command(
    model: str,
    files: tuple[str, ...],
    texts: tuple[str, ...],
    output: str | None,
    as_json: bool,
    attention: str | None,
    max_tokens: int | None,
    **flags: Any,
) -> None:
    """Translate each line of FILE (or of standard input) with MODEL. Lines keep their order, empty ones stay empty.

    \b
    sonho translate runs/de-en letters.txt -o letters.en.txt
    echo "Ein Hund läuft über die Wiese." | sonho translate runs/de-en --n-best 3
    sonho translate runs/de-en -t "Ein Hund schläft." --attention looks.svg
    """
    from sonho.api import translator

    loaded = translator(model)
    if texts and files:
        raise UsageError("give texts with --text or files, not both")
    search = {name: flags[name] for name in ("beam", "n_best", "length_penalty", "normalisation")}
    loaded.translate([], **search)  # an option that cannot be is told before anything is read
    lines: Iterable[str] = texts or _lines(loaded, files or ("-",), flag_settings(flags))
    write = _jsonl if as_json else _plain
    with _opened(output) as out:
        for number, found in enumerate(_found(loaded, lines, max_tokens=max_tokens or 0, **search)):
            if attention and number == 0:
                _draw(attention, found)
            write(out, found, flags["n_best"])


def _lines(loaded: Translator, files: tuple[str, ...], settings: dict[str, dict[str, Any]]) -> Iterator[str]:
    from sonho.api import stored_data_settings
    from sonho.config import build_config
    from sonho.data.characters import read_lines
    from sonho.data.files import expand

    config = build_config({"data": stored_data_settings(loaded.model_file)}, settings).data
    for file in expand(files):
        for line in read_lines(file, config):
            yield line.rstrip("\r\n")


def _found(loaded: Translator, lines: Iterable[str], **search: Any) -> Iterator[Translation]:
    rest = iter(lines)
    while group := list(itertools.islice(rest, LINES_AT_ONCE)):
        yield from loaded.translate(group, **search)


def _plain(out: TextIO, found: Translation, n_best: int) -> None:
    """The text alone; of several, each behind its score and an empty line behind the last."""
    if n_best == 1:
        print(found.text, file=out)
        return
    for candidate in found.candidates:
        print(f"{candidate.score:.4f}\t{candidate.text}", file=out)
    print(file=out)


def _jsonl(out: TextIO, found: Translation, n_best: int) -> None:
    candidates = [
        {
            "text": one.text,
            "score": one.score,
            "log_probability": one.log_probability,
            "finished": one.finished,
            "tokens": list(one.tokens),
            "attention": [[round(share, 4) for share in row] for row in one.attention.tolist()],
        }
        for one in found.candidates
    ]
    record = {"source": found.source, "text": found.text, "source_tokens": list(found.source_tokens)}
    print(json.dumps({**record, "candidates": candidates}, ensure_ascii=False), file=out)


def _draw(path: str, found: Translation) -> None:
    from sonho.evaluation.attention_svg import attention_svg

    best = found.candidates[0]
    picture = attention_svg(found.source_tokens, best.tokens, best.attention)
    try:
        Path(path).write_text(picture, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from None


def _opened(output: str | None) -> Any:
    """Standard output, or a file that is made."""
    if output is None:
        return nullcontext(sys.stdout)
    try:
        return open(output, "w", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {output}: {error.strerror or error}") from None
