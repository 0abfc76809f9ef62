"""sonho novelty"""

from __future__ import annotations

import json
from typing import Any

import click

from sonho.cli.options import flag_settings, setting_flags


@click.command("novelty")
@click.argument("generated")
@click.argument("training", nargs=-1, required=True, metavar="TRAINING...")
@setting_flags("--columns", "--field", "--errors")
@click.option("--json", "as_json", is_flag=True, help="one JSON object")
def command(generated: str, training: tuple[str, ...], as_json: bool, **flags: Any) -> None:
    """Say how much of the text in GENERATED (a file, or - for standard input) is copied from TRAINING.

    A copy is a run of 20 or more characters that stands verbatim in the training text.

    \b
    sonho generate runs/my -m 5000 | sonho novelty - my.txt
    """
    from sonho.config import build_config
    from sonho.data.sources import iter_text
    from sonho.evaluation.novelty import novelty

    config = build_config(flag_settings(flags)).data
    text = "".join(iter_text([generated], build_config().data))
    found = novelty(text, iter_text(list(training), config))
    if as_json:
        print(json.dumps(found.to_dict(), ensure_ascii=False))
        return
    print(f"{100 * found.share_copied:.1f} % of {found.num_chars:,} characters are in copies of 20 or more")
    if found.longest:
        print(f"longest copy, {len(found.longest):,} characters: {found.longest!r}")
    else:
        print("no copy reaches 20 characters")
