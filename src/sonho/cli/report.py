"""The table at the end of a training and of an evaluation: the model beside what it should beat."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sonho.cli.display import clock
from sonho.cli.label_report import print_labels
from sonho.cli.translation_report import print_captions, print_translation
from sonho.evaluation.evaluate_captions import CaptionReport
from sonho.evaluation.labels import LabelReport
from sonho.evaluation.translation import TranslationReport

if TYPE_CHECKING:
    from sonho.evaluation.metrics import Report
    from sonho.training.session import Result

WITH_PRIOR = "with n-gram prior"


def print_result(result: Result) -> None:
    """What a training brought, where it is and how to use it."""
    console = Console(highlight=False, soft_wrap=True)
    if not result.finished:
        console.print(Text(f"Stopped and saved. Go on with: sonho train --resume -o {result.folder}"))
        return
    console.print(Text(f"Trained for {_duration(result.seconds)}; model in {result.folder}/model.safetensors"))
    parts: tuple[tuple[str, Any, dict[str, float], Report | None], ...] = (
        ("held-out text (validation)", result.validation, result.baselines, result.validation_with_prior),
        ("test text, never read while learning", result.test, {}, result.test_with_prior),
    )
    for what, report, baselines, with_prior in parts:
        if isinstance(report, CaptionReport):
            print_captions(console, what, report, baselines)
        elif isinstance(report, LabelReport):
            print_labels(console, what, report, baselines)
        elif isinstance(report, TranslationReport):
            print_translation(console, what, report, baselines)
        elif report is not None:
            print_table(console, what, report, baselines, with_prior)
    if result.advice:
        console.print(Text(result.advice))
    if result.task == "caption":
        console.print(Text(f"Use it: sonho caption {result.folder} PICTURE"))
    elif result.task == "generate":
        console.print(Text(f"Write with it: sonho generate {result.folder} --prompt 'Once'"))
    elif result.task == "translate":
        console.print(Text(f"Use it: sonho translate {result.folder} FILE"))
    else:
        console.print(Text(f"Use it: sonho predict {result.folder} FILE"))


def print_table(
    console: Console,
    what: str,
    report: Report,
    baselines: Mapping[str, float],
    with_prior: Report | None = None,
) -> None:
    """Bits per character of a model and of the baselines, the best first.

    What a model reaches with its n-gram prior is a row of its own; the baselines are compared with the network alone.
    """
    table = Table(title=f"{what}: {report.num_chars:,} characters", title_justify="left", title_style="bold")
    for heading, justify in (("", "left"), ("bits/char", "right"), ("nats/char", "right"), ("", "left")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    rows = [(report.bits_per_char, "this model", True), *((b, n, False) for n, b in baselines.items())]
    if with_prior is not None:
        rows.append((with_prior.bits_per_char, WITH_PRIOR, False))
    for bits, name, own in sorted(rows):
        verdict = ""
        if name == WITH_PRIOR:
            verdict = f"{100 * (1 - bits / report.bits_per_char):.1f} % below this model alone"
        elif not own and bits < report.bits_per_char:
            verdict = "better than this model"
        elif not own and bits > 0:  # a text of one symbol takes no bits
            verdict = f"beaten by {100 * (bits - report.bits_per_char) / bits:.1f} %"
        style = "bold" if own else ""
        table.add_row(name, f"{bits:.4f}", f"{bits * math.log(2):.4f}", verdict, style=style)
    console.print(table)
    console.print(
        Text(
            f"{report.loss:.4f} nats/token = {report.bits_per_char:.4f} bits/char = "
            f"{report.bits_per_byte:.4f} bits/byte, perplexity {report.perplexity:.3f} per token, "
            f"accuracy {100 * report.accuracy:.1f} % of {report.num_tokens:,} tokens"
        )
    )
    if report.num_unknown:
        share = 100 * report.num_unknown / report.num_tokens
        console.print(Text(f"{share:.2f} % of the tokens are <unk>: their spelling is not in the figures"))
    if report.left_out:
        shown = " ".join(repr(symbol)[1:-1] for symbol in report.left_out[:20])
        console.print(Text(f"Left out of the figures, since the model does not know them: {shown}"))


def _duration(seconds: float) -> str:
    return f"{clock(seconds)} minutes" if seconds >= 60 else f"{seconds:.1f} seconds"


def print_adapted(console: Console, adapted: Report, frozen: Report, how: str) -> None:
    """The figure of a model that learned on the way, apart from that of the frozen one; `how`: what stood beside it."""
    compared = f"over the first {adapted.num_tokens:,} tokens"
    if adapted.num_tokens == frozen.num_tokens:
        compared = f"{100 * (1 - adapted.bits_per_char / frozen.bits_per_char):.1f} % below the frozen weights"
    console.print(
        Text(
            f"adaptive{how}, each token learned from after it was scored: {adapted.bits_per_char:.4f} bits/char = "
            f"{adapted.bits_per_char * math.log(2):.4f} nats/char, {compared}"
        )
    )


def print_shuffled(console: Console, shuffled: Report, told: Report) -> None:
    """What the labels or vectors say about the texts, in bits."""
    gain = shuffled.bits_per_char - told.bits_per_char
    console.print(
        Text(
            f"told of another record each time: {shuffled.bits_per_char:.4f} bits/char, so that the right label "
            f"or vector is worth {gain:.4f} bits/char"
        )
    )
