"""sonho adapt"""

from __future__ import annotations

import sys
from typing import Any

import click

from sonho.cli.options import flag_settings, setting_flags


@click.command("adapt")
@click.argument("model")
@click.argument("texts", nargs=-1, required=True, metavar="TEXT...")
@click.option("-o", "--output", required=True, metavar="FILE", help="the adapted model")
@setting_flags("--columns", "--field", "--errors")
def command(model: str, texts: tuple[str, ...], output: str, **flags: Any) -> None:
    """Let MODEL read TEXT and take on its style, in seconds; the result is a model of its own.

    \b
    sonho adapt runs/novels letters.txt -o letters.safetensors
    sonho generate letters.safetensors --prompt "Dear "
    """
    from sonho.api import adapt

    report = adapt(model, list(texts), output, **flag_settings(flags).get("data", {}))
    print(f"{output}: read {report.num_chars:,} characters at {report.bits_per_char:.4f} bits each", file=sys.stderr)
