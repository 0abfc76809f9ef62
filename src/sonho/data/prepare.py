"""Data tokenised once into a folder, and found again: shards with a manifest. Knows files, not batches."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sonho.config import DataConfig
from sonho.data.files import expand
from sonho.data.parts import Part
from sonho.data.shards import Shard, ShardStore, map_offsets, sync_folder
from sonho.data.splits import SPLITS, data_kind
from sonho.data.tokenise import Corpus, Job, tokenise, tokenizer_sha256
from sonho.errors import DataError, StorageError
from sonho.text.fitting import tokenizer_from_json
from sonho.text.tokenizer import Tokenizer

MANIFEST = "manifest.json"
_FORMAT = "sonho prepared data, version 1"
_OURS = re.compile(r"(train|validation|test)(-offsets)?(-\d{5}\.bin|\.tmp)")
# Settings that only shape batches: changing them leaves the shards as they are.
_FREE = ("batch_size", "stride", "objective", "prepare_megabytes")


def prepare(
    paths: Sequence[str | Path], config: DataConfig, *, seed: int, folder: Path, tokenizer: Tokenizer | None = None
) -> Corpus:
    """Tokenise into shards in `folder`, or find there what the same files and settings left before.

    Raises StorageError if the disk refuses, DataError as `tokenise` does.
    """
    files = expand(paths)
    fingerprint = _fingerprint(files, config, seed, tokenizer)
    with contextlib.suppress(DataError):  # absent, unfinished or damaged: made again
        if _read_manifest(folder).get("fingerprint") == fingerprint:
            return load_prepared(folder)
    _clear(folder)
    corpus = tokenise(Job(files, config, seed, tokenizer, folder))
    _write_manifest(folder, corpus, config, fingerprint)
    return corpus


def is_prepared(path: str | Path) -> bool:
    return Path(path, MANIFEST).is_file()


def load_prepared(folder: str | Path, *, verify: bool = False) -> Corpus:
    """The corpus in a prepared folder; the sizes of all files are checked, with `verify` their SHA-256 too.

    Raises DataError for anything missing, altered or malformed.
    """
    folder = Path(folder)
    manifest = _read_manifest(folder)
    try:
        tokenizer = tokenizer_from_json(manifest["tokenizer"])
        kind, digest, notes = manifest["kind"], manifest["digest"], manifest["notes"]
        parts = {name: _part(folder, name, facts, tokenizer) for name, facts in manifest["parts"].items()}
        if kind not in ("stream", "records", "windows") or not set(parts) <= set(SPLITS) or "train" not in parts:
            raise ValueError("unknown kind or splits")
        if manifest["tokenizer_sha256"] != tokenizer_sha256(tokenizer):
            raise ValueError("the tokenizer has been altered")
        notes = [str(note) for note in notes]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{folder / MANIFEST} is damaged ({error}); prepare the data again") from None
    if verify:
        for part in parts.values():
            _verify(folder, part)
    return Corpus(
        kind, tokenizer, parts["train"], parts.get("validation"), parts.get("test"), str(digest), notes
    )


def prepared_settings(folder: str | Path) -> dict[str, Any]:
    """The data settings that a folder was prepared with."""
    settings = _read_manifest(Path(folder)).get("settings")
    return settings if isinstance(settings, dict) else {}


def differing_settings(folder: str | Path, config: DataConfig) -> dict[str, Any]:
    """Settings of a prepared folder that are not those asked for; the folder's own hold."""
    wanted = dataclasses.asdict(config)
    stored = prepared_settings(folder)
    return {k: v for k, v in stored.items() if k in wanted and k not in _FREE and wanted[k] != v}


def _write_manifest(folder: Path, corpus: Corpus, config: DataConfig, fingerprint: str) -> None:
    parts = {"train": corpus.train, "validation": corpus.validation, "test": corpus.test}
    manifest = {
        "format": _FORMAT,
        "kind": corpus.kind,
        "digest": corpus.digest,
        "fingerprint": fingerprint,
        "settings": dataclasses.asdict(config),
        "notes": corpus.notes,
        "parts": {name: _facts(part) for name, part in parts.items() if part is not None},
        "tokenizer_sha256": tokenizer_sha256(corpus.tokenizer),
        "tokenizer": corpus.tokenizer.to_json(),
    }
    temporary = folder / f"{MANIFEST}.tmp"
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(manifest, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / MANIFEST)
        sync_folder(folder)
    except OSError as error:
        raise StorageError(f"cannot write {folder / MANIFEST}: {error.strerror or error}") from None
