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
from typing import Any, get_args

import numpy as np

from sonho.config import DataConfig, DataKind
from sonho.data.files import expand
from sonho.data.labels import LabelKind
from sonho.data.pairs import pair_digest
from sonho.data.parts import Part, TokenStore, part_digest
from sonho.data.passes import Job
from sonho.data.pictures import CHANNELS, Pictures
from sonho.data.shards import Shard, ShardStore, map_offsets, shards_digest, sync_folder
from sonho.data.splits import SPLITS, data_kind, read_shares
from sonho.data.tokenise import Corpus, corpus_digest, tokenise, tokenizer_sha256
from sonho.errors import DataError, StorageError
from sonho.text.fitting import tokenizer_from_json
from sonho.text.tokenizer import Tokenizer

MANIFEST = "manifest.json"
_FORMAT = "sonho prepared data, version 1"
_OURS = re.compile(r"((train|validation|test)(-source)?(-offsets|-labels|-tags)?|pictures)(-\d{5}\.bin|\.tmp)")
# Settings that only shape batches: changing them leaves the shards as they are.
_FREE = ("kind", "objective", "batch_size", "bptt", "window", "stride", "prepare_megabytes")


def prepare(
    paths: Sequence[str | Path],
    config: DataConfig,
    *,
    seed: int,
    folder: Path,
    tokenizer: Tokenizer | None = None,
    source_tokenizer: Tokenizer | None = None,
) -> Corpus:
    """Tokenise into shards in `folder`, or find there what the same files and settings left before.

    Raises StorageError if the disk refuses, DataError as `tokenise` does.
    """
    files = expand(paths)
    fingerprint = _fingerprint(files, config, seed, tokenizer, source_tokenizer)
    with contextlib.suppress(DataError):  # absent, unfinished or damaged: made again
        if _read_manifest(folder).get("fingerprint") == fingerprint:
            return load_prepared(folder)
    _clear(folder)
    corpus = tokenise(Job(files, config, seed, tokenizer, source_tokenizer, folder))
    _write_manifest(folder, corpus, config, fingerprint)
    return corpus


def is_prepared(path: str | Path) -> bool:
    """Whether a path is a folder that `prepare` has filled, damaged or not."""
    return Path(path, MANIFEST).is_file() and Path(path, "train-00000.bin").is_file()


def load_prepared(folder: str | Path, *, verify: bool = False) -> Corpus:
    """The corpus in a prepared folder; the sizes of all files are checked, with `verify` their SHA-256 too.

    Raises DataError for anything missing, altered or malformed.
    """
    folder = Path(folder)
    manifest = _read_manifest(folder)
    try:
        kind = manifest["kind"]
        if kind not in get_args(DataKind):
            raise ValueError(f"kind {kind!r}")
        tokenizer = tokenizer_from_json(manifest["tokenizer"])
        facts = {name: manifest["parts"][name] for name in SPLITS if name in manifest["parts"]}
        source = tokenizer_from_json(manifest["source_tokenizer"]) if "source_tokenizer" in manifest else None
        parts = {name: _part(folder, name, fact, tokenizer, source, kind == "records") for name, fact in facts.items()}
        label_names = tuple(str(name) for name in manifest.get("label_names", []))
        pictures = _pictures(folder, manifest["pictures"]) if "pictures" in manifest else None
        if manifest["digest"] != corpus_digest(tokenizer, kind, parts, label_names, source):
            raise ValueError("its digest does not fit its content")
        notes = [str(note) for note in manifest["notes"]]
        train = parts["train"]
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"{folder / MANIFEST} is damaged ({error}); prepare the data again") from None
    if verify:
        for name, part in parts.items():
            _verify(folder, name, part)
        if pictures is not None:
            _verify_shards(pictures.store)
    held_out = parts.get("validation"), parts.get("test")
    return Corpus(kind, tokenizer, train, *held_out, manifest["digest"], notes, label_names, source, pictures)


def differing_settings(folder: str | Path, config: DataConfig) -> dict[str, Any]:
    """Settings of a prepared folder that are not those asked for; the folder's own hold."""
    settings = _read_manifest(Path(folder)).get("settings")
    wanted = dataclasses.asdict(config)
    stored = settings if isinstance(settings, dict) else {}
    return {k: v for k, v in stored.items() if k in wanted and k not in _FREE and wanted[k] != v}


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{folder} is not a prepared folder: {MANIFEST}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise DataError(f"{folder / MANIFEST} is damaged: not JSON; prepare the data again") from None
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise DataError(f"{folder / MANIFEST} is not of this version of sonho; prepare the data again")
    return manifest


def _part(
    folder: Path, name: str, facts: dict[str, Any], tokenizer: Tokenizer, source: Tokenizer | None, records: bool
) -> Part:
    """One split from its facts. Names of files are made here, so that a manifest cannot point elsewhere."""
    store = _store(folder, name, facts["shards"], tokenizer.dtype)
    offsets = None
    if records:
        _check_size(_offsets_path(folder, name), (facts["records"] + 1) * 8)
        offsets = map_offsets(_offsets_path(folder, name), facts["records"] + 1)
    labels: dict[str, Any] = {}
    if kind := facts.get("labelled"):
        count = {"labels": facts["records"], "tags": facts["tokens"]}[kind]
        _check_size(_labels_path(folder, name, kind), count * 8)
        labels[kind] = map_offsets(_labels_path(folder, name, kind), count)
    beside = facts.get("source")
    if beside is not None:
        labels["source"] = _part(folder, f"{name}-source", beside, source or tokenizer, None, records)
        if beside["records"] != facts["records"]:
            raise ValueError(f"{name} has {beside['records']} sources for {facts['records']} targets")
    counts = {key: facts[key] for key in ("num_chars", "num_bytes", "num_unknown", "num_cut")}
    if not all(type(count) is int and count >= 0 for count in counts.values()):
        raise ValueError(f"the counts of {name}")
    return Part(store, offsets, digest=str(facts["digest"]), **labels, **counts)


def _store(folder: Path, name: str, listed: list[Any], dtype: np.dtype) -> ShardStore:
    shards = [
        Shard(f"{name}-{number:05d}.bin", count, bytes.fromhex(sha256).hex())
        for number, (count, sha256) in enumerate(listed)
    ]
    if not shards:
        raise ValueError(f"{name} has no shards")
    for shard in shards:
        _check_size(folder / shard.name, shard.count * dtype.itemsize)
    return ShardStore(folder, shards, dtype)


def _pictures(folder: Path, facts: dict[str, Any]) -> Pictures:
    names, (width, height) = tuple(str(name) for name in facts["names"]), facts["size"]
    store = _store(folder, "pictures", facts["shards"], np.dtype(np.uint8))
    if len(store) != len(names) * width * height * CHANNELS:
        raise ValueError(f"{len(store)} bytes of {len(names)} pictures")
    return Pictures(names, (width, height), store)


def _facts(part: Part) -> dict[str, Any]:
    assert isinstance(part.tokens, ShardStore)
    return {
        "tokens": part.num_tokens,
        "records": part.num_records,
        "num_chars": part.num_chars,
        "num_bytes": part.num_bytes,
        "num_unknown": part.num_unknown,
        "num_cut": part.num_cut,
        "digest": part.digest,
        "labelled": _labelled(part),
        **({} if part.source is None else {"source": _facts(part.source)}),
        "shards": [[shard.count, shard.sha256] for shard in part.tokens.shards],
    }


def _verify(folder: Path, name: str, part: Part) -> None:
    assert isinstance(part.tokens, ShardStore)
    _verify_shards(part.tokens)
    offsets = None if part.offsets is None else _one_file_digest(_offsets_path(folder, name))
    kind = _labelled(part)
    labels = None if kind is None else _one_file_digest(_labels_path(folder, name, kind))
    digest = part_digest(part.tokens.digest, offsets, labels)
    if part.source is not None:
        _verify(folder, f"{name}-source", part.source)
        digest = pair_digest(part.source.digest, digest)
    if part.digest != digest:
        altered = f"{_offsets_path(folder, name)}{f' or its {kind}' if kind else ''}"
        raise DataError(f"{altered} has been altered; prepare the data again")


def _verify_shards(store: TokenStore) -> None:
    assert isinstance(store, ShardStore)
    for shard in store.shards:
        if _file_sha256(store.folder / shard.name) != shard.sha256:
            raise DataError(f"{store.folder / shard.name} has been altered; prepare the data again")


def _labelled(part: Part) -> LabelKind | None:
    if part.tags is not None:
        return "tags"
    return None if part.labels is None else "labels"


def _one_file_digest(path: Path) -> str:
    return shards_digest([Shard("", 0, _file_sha256(path))])


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_size(path: Path, size: int) -> None:
    try:
        found = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; prepare the data again") from None
    if found != size:
        raise DataError(f"{path} has {found} bytes, {size} expected; prepare the data again")


def _offsets_path(folder: Path, name: str) -> Path:
    return folder / f"{name}-offsets-00000.bin"


def _labels_path(folder: Path, name: str, kind: LabelKind) -> Path:
    return folder / f"{name}-{kind}-00000.bin"


def _fingerprint(
    files: Sequence[Path],
    config: DataConfig,
    seed: int,
    tokenizer: Tokenizer | None,
    source_tokenizer: Tokenizer | None,
) -> str:
    """Changes whenever a file, a setting that matters or the tokenizer does."""
    sources = [*files, *([Path(config.pictures)] if config.pictures and Path(config.pictures).exists() else [])]
    stats = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in sources]
    settings = {k: v for k, v in dataclasses.asdict(config).items() if k not in _FREE}
    beside = [Path(path) for path in (*read_shares(config).test_files, *config.validation_files)]
    held_out = [path.stat().st_mtime_ns for path in beside if path.is_file()]
    records = data_kind(config) == "records"
    given = [each and tokenizer_sha256(each) for each in (tokenizer, source_tokenizer)]
    facts = [stats, settings, records, seed, held_out, *given]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _clear(folder: Path) -> None:
    """Make the folder, without what an earlier preparation left in it; other files stay."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The manifest first: without it nobody takes the rest for complete.
        for path in [folder / MANIFEST, *(p for p in folder.iterdir() if _OURS.fullmatch(p.name))]:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot prepare data in {folder}: {error.strerror or error}") from None


def _write_manifest(folder: Path, corpus: Corpus, config: DataConfig, fingerprint: str) -> None:
    parts = {"train": corpus.train, "validation": corpus.validation, "test": corpus.test}
    manifest: dict[str, Any] = {
        "format": _FORMAT,
        "kind": corpus.kind,
        "digest": corpus.digest,
        "fingerprint": fingerprint,
        "settings": dataclasses.asdict(config),
        "notes": corpus.notes,
        "label_names": list(corpus.label_names),
        "parts": {name: _facts(part) for name, part in parts.items() if part is not None},
        "tokenizer_sha256": tokenizer_sha256(corpus.tokenizer),
        "tokenizer": corpus.tokenizer.to_json(),
    }
    if corpus.source_tokenizer is not None:
        manifest["source_tokenizer"] = corpus.source_tokenizer.to_json()
    if corpus.pictures is not None:
        store = corpus.pictures.store
        assert isinstance(store, ShardStore)
        shards = [[shard.count, shard.sha256] for shard in store.shards]
        manifest["pictures"] = {"names": corpus.pictures.names, "size": corpus.pictures.size, "shards": shards}
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
