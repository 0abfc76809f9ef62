"""sonho molecules"""

from __future__ import annotations

import json
from typing import Any

import click

from sonho.cli.options import flag_settings, setting_flags
from sonho.errors import DataError


@click.command("molecules")
@click.argument("generated", metavar="FILE")
@click.option("--train-text", multiple=True, metavar="FILE", help="what the model learned from; tells what is new")
@setting_flags("--columns", "--field", "--errors")
@click.option("--json", "as_json", is_flag=True, help="one JSON object")
def command(generated: str, train_text: tuple[str, ...], as_json: bool, **flags: Any) -> None:
    """Count how many molecules in FILE (SMILES, one a line; - is standard input) are valid, different and new.

    Validity needs RDKit: pip install 'sonho[chem]'. Without it molecules are compared as they are spelled.

    \b
    sonho generate runs/molecules -n 1000 -m 100 | sonho molecules - --train-text smiles.csv.gz
    """
    from sonho.config import build_config
    from sonho.data.sources import iter_records
    from sonho.export.molecules import rdkit_canonical, report_on

    canonical = rdkit_canonical()
    config = build_config(flag_settings(flags), {"data": {"kind": "records"}}).data
    training = iter_records(list(train_text), config) if train_text else None
    report = report_on(iter_records([generated], config), training, canonical)
    if not report.total:
        raise DataError(f"{generated} holds no molecules; give one a line")
    if as_json:
        print(json.dumps({**report.to_dict(), "rdkit": canonical is not None}))
        return
    print(f"{report.total:,} molecules" + ("" if canonical else ", compared as they are spelled"))
    if report.validity is None:
        print("  valid       not known; install RDKit with pip install 'sonho[chem]'")
    else:
        print(f"  valid      {100 * report.validity:6.1f} %" + (f"   not: {report.example}" if report.example else ""))
    print(f"  different  {100 * report.uniqueness:6.1f} %")
    if report.novelty is not None:
        print(f"  new        {100 * report.novelty:6.1f} %")
