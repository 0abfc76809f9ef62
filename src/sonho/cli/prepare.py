"""sonho prepare"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sonho.cli.options import flag_settings, merge_settings, setting_flags, split_arguments
from sonho.errors import UsageError


@click.command("prepare")
@click.argument("arguments", nargs=-1, metavar="PATH... [section.key=value]...")
@click.option("-o", "--output", required=True, metavar="FOLDER", help="folder for the shards and their manifest")
@setting_flags("--level", "--kind", "--columns", "--field", "--errors", "--max-vocab", "--min-count", "--max-length")
@setting_flags("--validation", "--test", "--seed")
@click.option("--verify", is_flag=True, help="check a prepared folder's SHA-256 sums instead")
def command(arguments: tuple[str, ...], output: str, verify: bool, **flags: Any) -> None:
    """Tokenise large texts once, into memory-mapped shards that `sonho train FOLDER` reads piece by piece.

    Training does this by itself for inputs above data.prepare_megabytes; do it by hand to train several
    models on the same shards.

    \b
    sonho prepare big.txt -o shards/big
    sonho train shards/big -o runs/big
    """
    from sonho.config import build_config
    from sonho.data.prepare import load_prepared, prepare
    from sonho.storage.durable import make_folder
    from sonho.storage.model_file import MODEL_FILE_NAME

    folder = Path(output)
    if verify:
        corpus = load_prepared(folder, verify=True)
        print(f"{folder}: every shard is as its manifest says, {len(corpus.train.tokens):,} training tokens")
        return
    paths, overrides = split_arguments(arguments)
    if not paths:
        raise UsageError("nothing to prepare: give a text file, a folder or - for standard input")
    config = build_config(merge_settings([flag_settings(flags), overrides]))
    for name in (MODEL_FILE_NAME, "checkpoint.safetensors"):
        if (folder / name).exists():
            raise UsageError(f"{folder} is a run folder (it holds {name}); choose another --output for the shards")
    make_folder(folder)
    corpus = prepare(paths, config.data, seed=config.training.seed, folder=folder)
    for note in corpus.notes:
        print(note)
    print(f"Prepared in {folder}; train with: sonho train {folder} -o RUN")
