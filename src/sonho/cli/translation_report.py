"""The table of a translation model: BLEU and chrF with their signatures, and the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from sonho.evaluation.translation import TranslationReport


def print_translation(
    console: Console, what: str, report: TranslationReport, baselines: Mapping[str, float] | None = None
) -> None:
    """The scores of a model, and of what it should beat."""
    console.print(Text(f"{what}: {report.count:,} pairs", "bold"))
    if report.agreement is not None:
        table = Table()
        for heading in ("", "BLEU", "chrF"):
            table.add_column(heading, justify="right" if heading else "left")
        how = f"this model, beam {report.beam}" if report.beam > 1 else "this model, greedy"
        table.add_row(how, f"{report.agreement.bleu:.2f}", f"{report.agreement.chrf:.2f}", style="bold")
        for name, bleu in (baselines or {}).items():
            table.add_row(name, f"{bleu:.2f}", "")
        console.print(table)
        console.print(Text(f"BLEU: {report.agreement.bleu_signature}"))
        console.print(Text(f"chrF: {report.agreement.chrf_signature}"))
    console.print(
        Text(
            f"{report.loss:.4f} nats/token, perplexity {report.perplexity:.3f}, "
            f"accuracy {100 * report.accuracy:.1f} % of {report.tokens:,} tokens"
        )
    )
