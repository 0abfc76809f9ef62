"""sonho score"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click

from sonho.cli.options import prior_flag, weights_flag
from sonho.config import Weights
from sonho.errors import UsageError


@click.command("score")
@click.argument("model")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--tokens", is_flag=True, help="a row for every token instead of every line")
@click.option(
    "--alternatives",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="with --tokens: likelier tokens shown",
)
@click.option("--threshold", type=float, help="flag lines above this many bits per character")
@click.option("--adapt", is_flag=True, help="learn from each line after scoring it (needs PyTorch)")
@click.option("--flagged", is_flag=True, help="show only flagged lines")
@click.option("--worst", type=click.IntRange(min=1), help="show the most surprising lines, this many, first")
@click.option(
    "--unknown",
    type=click.Choice(["skip", "nearest", "error"]),
    default="skip",
    show_default=True,
    help="symbols that the model does not know",
)
@weights_flag
@prior_flag
@click.option("--json", "as_json", is_flag=True, help="JSON lines instead of a table")
def command(
    model: str,
    files: tuple[str, ...],
    tokens: bool,
    alternatives: int,
    threshold: float | None,
    adapt: bool,
    flagged: bool,
    worst: int | None,
    unknown: Any,
    weights: Weights,
    no_prior: bool,
    as_json: bool,
) -> None:
    """Show how surprising FILE (or standard input) is to MODEL, in bits: high is unlike the training text.

    \b
    sonho score runs/logs today.log --threshold 2.5 --flagged
    echo "Hello world" | sonho score runs/my --tokens
    """
    if flagged and threshold is None:
        raise UsageError("--flagged needs a --threshold in bits per character")
    from sonho.config import DataConfig
    from sonho.data.sources import iter_text
    from sonho.evaluation.score import Scorer, worst_first
    from sonho.storage.model_file import load_model_file

    if adapt and weights != "float32":
        raise UsageError(f"--adapt learns with float32 weights; leave out --weights {weights}")
    model_file = load_model_file(model)
    if no_prior:
        model_file.prior = {}
    scorer = Scorer(model_file, weights=weights, stepper=_adaptive(model_file) if adapt else None)
    # Lines are asked for as lines, whatever the model was trained on.
    chunks = iter_text(list(files) or ["-"], DataConfig())
    if tokens:
        texts = _lines(chunks) if model_file.data_kind == "records" else ["".join(chunks)]
        for text in texts:
            for token in scorer.tokens(
                text.rstrip("\n") if model_file.data_kind == "records" else text,
                unknown=unknown,
                alternatives=alternatives,
            ):
                print(json.dumps(token.to_dict(), ensure_ascii=False) if as_json else _token_row(token))
        return
    rows: Iterable[Any] = scorer.lines(_lines(chunks), unknown=unknown, threshold=threshold)
    if worst:
        rows = worst_first(rows)[:worst]
    if not as_json:
        print(f"{'bits/char':>9}  {'line':>6}  text")
    for row in rows:
        if not flagged or row.flagged:
            print(json.dumps(row.to_dict(), ensure_ascii=False) if as_json else _line_row(row))
        if row.unknown and not as_json:
            print(f"sonho: line {row.number}: unknown to the model: {' '.join(row.unknown)}", file=sys.stderr)


def _adaptive(model_file: Any) -> Any:
    from sonho.training.adapt import AdaptiveStepper, adaptive_with_prior

    return adaptive_with_prior(model_file) if model_file.prior else AdaptiveStepper(model_file)


def _line_row(row: Any) -> str:
    bits = f"{row.bits_per_char:9.3f}" if row.bits_per_char is not None else f"{'-':>9}"
    return f"{bits}  {row.number:6}{'!' if row.flagged else ' '} {row.text}"


def _token_row(token: Any) -> str:
    bits = f"{token.bits:7.2f}" if token.bits is not None else f"{'-':>7}"
    others = "  ".join(f"{other.text!r} {100 * other.probability:.0f} %" for other in token.alternatives)
    return f"{bits}  {token.rank or '-':>5}  {token.text!r:12}  {others}"


def _lines(chunks: Iterable[str]) -> Iterator[str]:
    rest = ""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split("\n")
        yield from whole
    if rest:
        yield rest
