"""The doors of this room: a corpus to train on, and a held-out text tokenised by the same rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from sonho.config import DataConfig
from sonho.data.encode import PartWriter, write_records
from sonho.data.files import expand, format_suffix, input_bytes, scratch_folder
from sonho.data.items import Item, item_of
from sonho.data.notes import window_note
from sonho.data.parts import Part
from sonho.data.passes import Job, apply_steps
from sonho.data.pictures import Pictures
from sonho.data.prepare import differing_settings, is_prepared, load_prepared, prepare
from sonho.data.sound import RATE
from sonho.data.sound import SUFFIX as SOUND
from sonho.data.splits import data_kind, read_shares
from sonho.data.tokenise import Corpus, encode_whole, tokenise, tokenizer_sha256, with_pictures
from sonho.errors import UsageError
from sonho.text.tokenizer import Tokenizer

__all__ = [
    "Corpus",
    "Part",
    "build_corpus",
    "encode_captions",
    "encode_for_evaluation",
    "encode_items",
    "encode_text",
    "resolved_item",
]


def build_corpus(
    paths: Sequence[str | Path],
    config: DataConfig,
    *,
    seed: int,
    folder: Path | None = None,
    tokenizer: Tokenizer | None = None,
    source_tokenizer: Tokenizer | None = None,
) -> Corpus:
    """Read, split and tokenise the inputs; or open the one prepared folder that `paths` names.

    Inputs of more than `prepare_megabytes`, and pictures, become shards in `folder` (None: a temporary one), smaller
    ones stay in memory. Without `tokenizer` one is fitted on all but the test part; pairs may have a second, for
    their sources.
    `Corpus.notes` says in sentences what was read and what was left out; the batches have notes of their own.
    """
    if len(paths) == 1 and is_prepared(paths[0]):
        corpus = _open_prepared(Path(paths[0]), config, tokenizer)
    else:
        files = _expand(paths)
        if config.pictures or input_bytes(files) > config.prepare_megabytes * 1e6:
            folder = folder or scratch_folder()
            corpus = prepare(
                files, config, seed=seed, folder=folder, tokenizer=tokenizer, source_tokenizer=source_tokenizer
            )
        else:
            corpus = tokenise(Job(files, config, seed, tokenizer, source_tokenizer))
        if any(format_suffix(file) == SOUND for file in files):
            corpus.notes.append(f"sound at {RATE:,} samples a second: a character is a sample of 8 bits (mu-law)")
    notes = list(corpus.notes)
    if data_kind(config) == "windows":
        test = None if read_shares(config).test_files else corpus.test  # a file of its own is no part of the text
        splits = {"train": corpus.train, "validation": corpus.validation, "test": test}
        parts = {name: part for name, part in splits.items() if part is not None}
        unit = "characters" if corpus.tokenizer.level == "char" else "tokens"
        notes.append(window_note(parts, config.window, config.stride, unit))
    return dataclasses.replace(corpus, kind=data_kind(config), notes=notes)


def encode_for_evaluation(
    paths: Sequence[str | Path],
    tokenizer: Tokenizer,
    config: DataConfig,
    *,
    label_names: Sequence[str] = (),
    source_tokenizer: Tokenizer | None = None,
) -> Part:
    """A held-out text as one part: the tokens that it would have as a split, and the labels if it is labelled.

    Symbols that the tokenizer lacks stand in `Part.unknown`. Raises DataError for a label not in `label_names`.
    """
    files = _expand(paths)
    large = input_bytes(files) > config.prepare_megabytes * 1e6
    folder = scratch_folder() if large else None
    job = Job(files, config, 0, tokenizer, source_tokenizer, folder, label_names=tuple(label_names))
    return encode_whole(job)


def encode_captions(
    paths: Sequence[str | Path], tokenizer: Tokenizer, config: DataConfig, *, folder: Path | None = None
) -> tuple[Part, Pictures]:
    """A held-out table of pictures and texts: the texts as one part, whose labels are the numbers of the pictures."""
    job = with_pictures(Job(_expand(paths), config, tokenizer=tokenizer, folder=folder or scratch_folder()))
    assert job.pictures is not None
    return encode_whole(job), job.pictures


def encode_text(text: str, tokenizer: Tokenizer, config: DataConfig) -> Part:
    """The same for a text at hand; of records, one on each line."""
    return encode_whole(Job([], config, tokenizer=tokenizer, text=text))


def resolved_item(paths: Sequence[str | Path], config: DataConfig) -> Item:
    """What an item of a text at hand is: as of the inputs that the settings were used on."""
    return item_of([] if any(is_prepared(path) for path in paths) else expand(paths), config)


def encode_items(texts: Sequence[str], tokenizer: Tokenizer, *, max_length: int = 0) -> Part:
    """Texts at hand as records without labels, whatever they hold: newlines are symbols, and empty ones count."""
    with PartWriter(tokenizer, "items", records=True, folder=None) as writer:
        config = DataConfig(max_length=max_length)
        write_records(apply_steps(tokenizer.steps, list(texts)), writer, config, watch=True)
        return writer.finish()


def _expand(paths: Sequence[str | Path]) -> list[Path]:
    for path in paths:
        if is_prepared(path):
            raise UsageError(f"{path} is prepared data, which can only be trained on, and by itself; name the texts")
    return expand(paths)


def _open_prepared(folder: Path, config: DataConfig, tokenizer: Tokenizer | None) -> Corpus:
    corpus = load_prepared(folder)
    kind = data_kind(config)
    if (kind == "records") != (corpus.kind == "records"):
        raise UsageError(f"{folder} was prepared with data.kind={corpus.kind}; ask for that, not for {kind}")
    if tokenizer is not None and tokenizer_sha256(tokenizer) != tokenizer_sha256(corpus.tokenizer):
        raise UsageError(f"{folder} was prepared with another tokenizer than the model's; prepare it with the model's")
    differing = differing_settings(folder, config)
    notes = list(corpus.notes)
    if differing:
        shown = " ".join(f"data.{name}={value}" for name, value in differing.items())
        notes.append(f"{folder} keeps the settings it was prepared with: {shown}")
    return dataclasses.replace(corpus, notes=notes)
