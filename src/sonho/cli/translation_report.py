"""The tables of translations and captions: BLEU and chrF with their signatures, and the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from sonho.evaluation.agreement import Agreement
    from sonho.evaluation.evaluate_captions import CaptionReport
    from sonho.evaluation.translation import TranslationReport


def print_translation(
    console: Console, what: str, report: TranslationReport, baselines: Mapping[str, float] | None = None
) -> None:
    """The scores of a model, and of what it should beat."""
    console.print(Text(f"{what}: {report.count:,} pairs", "bold"))
    if report.agreement is not None:
        _print_agreement(console, report.agreement, report.beam, baselines or {})
    console.print(
        Text(
            f"{report.loss:.4f} nats/token, perplexity {report.perplexity:.3f}, "
            f"accuracy {100 * report.accuracy:.1f} % of {report.tokens:,} tokens"
        )
    )


def print_captions(console: Console, what: str, report: CaptionReport, baselines: Mapping[str, float]) -> None:
    """The same of a captioner."""
    console.print(Text(f"{what}: {len(report.captions):,} pictures", "bold"))
    _print_agreement(console, report.agreement, report.beam, baselines)
    console.print(Text(f"{report.loss:.4f} nats/token of {report.num_tokens:,} tokens that people wrote"))


def _print_agreement(console: Console, agreement: Agreement, beam: int, baselines: Mapping[str, float]) -> None:
    table = Table()
    for heading in ("", "BLEU", "chrF"):
        table.add_column(heading, justify="right" if heading else "left")
    how = f"this model, beam {beam}" if beam > 1 else "this model, greedy"
    table.add_row(how, f"{agreement.bleu:.2f}", f"{agreement.chrf:.2f}", style="bold")
    for name, bleu in baselines.items():
        table.add_row(name, f"{bleu:.2f}", "")
    console.print(table)
    console.print(Text(f"BLEU: {agreement.bleu_signature}"))
    console.print(Text(f"chrF: {agreement.chrf_signature}"))
