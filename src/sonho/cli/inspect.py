"""sonho inspect"""

from __future__ import annotations

import json
import math
from typing import Any

import click

CURVE_WIDTH, CURVE_HEIGHT = 60, 8


@click.command("inspect")
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="one JSON object")
def command(model: str, as_json: bool) -> None:
    """Show what is in MODEL: layers and parameters, vocabulary, how it was trained, and its curve."""
    from sonho.config import to_dict
    from sonho.storage.model_file import count_parameters, load_model_file, stored_arrays

    loaded = load_model_file(model)
    if as_json:
        print(
            json.dumps(
                {
                    "model": to_dict(loaded.model),
                    "data_kind": loaded.data_kind,
                    "window": loaded.window,
                    "labels": list(loaded.labels),
                    "parameters": count_parameters(loaded),
                    "prior": {name: list(array.shape) for name, array in loaded.prior.items()},
                    "arrays": {name: list(array.shape) for name, array in stored_arrays(loaded).items()},
                    "tokenizer": loaded.tokenizer.to_json(),
                    "source_tokenizer": loaded.source_tokenizer and loaded.source_tokenizer.to_json(),
                    "condition": None if loaded.condition is None else loaded.condition.to_json(),
                    "sampling": to_dict(loaded.sampling),
                    "record": loaded.record,
                }
            )
        )
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    console.print(_layer_table(loaded))
    if loaded.labels:
        console.print(Text(f"{len(loaded.labels)} labels: {', '.join(loaded.labels)}"))
    source = [] if loaded.source_tokenizer is None else _vocabulary(loaded.source_tokenizer, "Source vocabulary")
    own = "Target vocabulary" if source else "Vocabulary"
    about = [*source, *_vocabulary(loaded.tokenizer, own), *_condition(loaded.condition), *_prior(loaded.prior)]
    for line in [*about, *_record(loaded.record, loaded.data_kind)]:
        console.print(Text(line))
    for line in curve_lines(loaded.record.get("curve") or []):
        console.print(Text(line))


def _layer_table(loaded: Any) -> Any:
    from rich.table import Table

    from sonho.decoding.labels import KINDS
    from sonho.storage.model_file import count_parameters, stored_arrays

    kind = KINDS[loaded.model.task][0]
    table = Table(title=f"{loaded.model.cell} {kind}, {loaded.data_kind}", title_justify="left")
    table.add_column("array")
    table.add_column("shape")
    table.add_column("parameters", justify="right")
    for name, array in stored_arrays(loaded).items():
        table.add_row(name, " x ".join(map(str, array.shape)), f"{array.size:,}")
    table.add_section()
    table.add_row("all", "", f"{count_parameters(loaded):,}", style="bold")
    return table


def _condition(condition: Any) -> list[str]:
    if condition is None:
        return []
    if not condition.labels:
        return [f"Condition: a vector of {condition.size:,} numbers"]
    shown = [f"{label} ({100 * share:.1f} %)" for label, share in zip(condition.labels, condition.mean, strict=True)]
    return [f"Condition: a label of {condition.size:,}: {', '.join(shown)}"]


def _vocabulary(tokenizer: Any, name: str) -> list[str]:
    shown = [tokenizer.token_text(i) for i in range(1, min(tokenizer.vocab_size - 1, 61))]
    more = " ..." if tokenizer.vocab_size > 62 else ""
    first = f"{name}: {tokenizer.vocab_size:,} ids, level {tokenizer.level}, most frequent first"
    return [first, "  " + " ".join(repr(text)[1:-1] if text.strip() else repr(text) for text in shown) + more]


def _prior(prior: Any) -> list[str]:
    if not prior:
        return []
    grams, size = sum(prior["sizes"].tolist()), sum(array.nbytes for array in prior.values())
    return [f"N-gram prior: {grams:,} grams of up to {len(prior['sizes'])} tokens, {size / 1e6:.2f} MB"]


def _record(record: dict[str, Any], data_kind: str) -> list[str]:
    lines = []
    if "tokens_seen" in record:
        lines.append(
            f"Trained on {record['train_tokens']:,} tokens: {record['step']:,} steps, {record['epoch']:g} epochs,"
            f" {record['tokens_seen']:,} tokens seen, seed {record['training']['seed']},"
            f" {record['training']['optimizer']}" + (f", {record['precision']}" if "precision" in record else "")
        )
    if "networks" in record:
        lines.append(f"The mean of {record['networks']} networks")
    if record.get("validation_macro_f1") is not None:
        figures = (f"{name} {100 * record[f'validation_{name}']:.2f} %" for name in ("accuracy", "macro_f1"))
        lines.append(f"Held-out: {record['validation_loss']:.4f} nats, {', '.join(figures)}")
    elif record.get("validation_bleu") is not None:
        known = [(title, record.get(f"validation_{name}")) for title, name in (("BLEU", "bleu"), ("chrF", "chrf"))]
        figures = (f"{title} {value:.2f}" for title, value in known if value is not None)
        lines.append(f"Held-out: {record['validation_loss']:.4f} nats/token, {', '.join(figures)}")
    elif record.get("validation_loss") is not None:
        loss = record["validation_loss"]
        per_char = record.get("validation_bits_per_char", loss / math.log(2))
        lines.append(f"Held-out: {loss:.4f} nats/token, {per_char:.4f} bits/char")
    if "validation_with_prior_loss" in record:
        loss, per_char = record["validation_with_prior_loss"], record["validation_with_prior_bits_per_char"]
        lines.append(f"With the n-gram prior: {loss:.4f} nats/token, {per_char:.4f} bits/char")
    beside = [f"{name} {value:.3f}" for name, value in record.get("baselines", {}).items()]
    if beside:
        unit = "share right" if "validation_macro_f1" in record else "bits/char"
        unit = "BLEU" if "validation_bleu" in record else unit
        lines.append(f"Beside it, {unit}: {', '.join(beside)}")
    return lines


def curve_lines(curve: list[list[float]]) -> list[str]:
    """The validation loss over the tokens seen, drawn with dots.

    >>> curve_lines([[100, 2.0]])
    []
    """
    if len(curve) < 2:
        return []
    losses = [loss for _, loss in curve]
    low, high = min(losses), max(losses)
    last = curve[-1][0]
    rows = [[" "] * CURVE_WIDTH for _ in range(CURVE_HEIGHT)]
    for tokens, loss in curve:
        column = min(CURVE_WIDTH - 1, int(tokens / last * (CURVE_WIDTH - 1)))
        row = round((high - loss) / ((high - low) or 1) * (CURVE_HEIGHT - 1))
        rows[row][column] = "•"
    labels = [f"{high:7.3f} ", *["        "] * (CURVE_HEIGHT - 2), f"{low:7.3f} "]
    drawn = [f"{label}│{''.join(row).rstrip()}" for label, row in zip(labels, rows, strict=True)]
    axis = f"        └{'─' * CURVE_WIDTH}"
    return [
        "Validation loss, nats per token:",
        *drawn,
        axis,
        f"         0{f'{int(last):,} tokens seen':>{CURVE_WIDTH - 1}}",
    ]
