"""From files to the token ids of every split: the passes over the text. Knows splits and tokenizers, not batches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sonho.config import DataKind
from sonho.data.encode import PartWriter, write_records, write_stream
from sonho.data.files import display_name, expand
from sonho.data.labels import find_label_names, label_note
from sonho.data.notes import part_notes
from sonho.data.pairs import encode_pairs, iter_pairs, read_pairs
from sonho.data.parts import Part
from sonho.data.passes import Job, read_records, read_stream
from sonho.data.pictures import Pictures, read_pictures
from sonho.data.sample import spread_sample
from sonho.data.sources import iter_blocks
from sonho.data.splits import data_kind, read_shares
from sonho.errors import DataError, UsageError
from sonho.text.steps import Steps
from sonho.text.tokenizer import Tokenizer

LEAST_TOKENS = 20


@dataclass(frozen=True, eq=False)
class Corpus:
    """A text as token ids, split."""

    kind: DataKind
    tokenizer: Tokenizer  # of pairs the target's
    train: Part
    validation: Part | None
    test: Part | None
    digest: str  # SHA-256 of the tokenizer, all tokens and the split: what resuming must find unchanged
    notes: list[str] = field(default_factory=list)  # sentences to print
    label_names: tuple[str, ...] = ()  # of labelled records, by number
    source_tokenizer: Tokenizer | None = None  # of pairs whose sources have one of their own
    pictures: Pictures | None = None  # of records that have one: by the numbers in the parts' `labels`


def tokenise(job: Job) -> Corpus:
    """Read the files two or three times: to measure and to fit the tokenizer, then to encode.

    Raises DataError where there is too little to learn from.
    """
    files, sample_note = spread_sample([Path(file) for file in job.files], job.config)
    if sample_note and (job.numbered or job.config.pairs):
        beside = "data.vectors" if job.numbered else "a translation"
        raise UsageError(f"each record has its own of {beside}, so all are read; leave out data.sample_megabytes")
    job = replace(job, files=files)
    kind, shares = data_kind(job.config), read_shares(job.config)
    if job.config.pairs and (kind != "records" or job.labelled or job.numbered):
        raise UsageError("data.pairs are records, a text and its translation; leave out labels and vectors")
    if job.labelled:
        if kind != "records":
            raise UsageError(f"labels belong to records, but data.kind is {kind}; leave it out or take --kind records")
        job = replace(job, label_names=job.label_names or _names_of(job))
    if job.config.pictures:
        if kind != "records" or job.labelled or job.numbered:
            raise UsageError("data.pictures has one for each record; take --kind records, and no labels or vectors")
        job = with_pictures(job)
    if job.config.group_column and kind != "records":
        raise UsageError("data.group_column keeps records together; take --kind records")
    if job.numbered and (kind != "records" or job.labelled):
        raise UsageError("data.vectors has a row for each record; take --kind records, and no labels beside it")
    source_tokenizer: Tokenizer | None = None
    if job.config.pairs:
        tokenizer, source_tokenizer, parts, notes = read_pairs(job, shares)
    else:
        tokenizer, parts, notes = (read_records if kind == "records" else read_stream)(job, shares)
    total = sum(part.num_tokens for part in parts.values())
    if total < LEAST_TOKENS or not parts["train"].num_predicted:
        raise DataError(f"the text has only {total} tokens; at least {LEAST_TOKENS} are needed to learn from")
    given = {"validation": tuple(job.config.validation_files), "test": shares.test_files}
    for name, paths in given.items():
        if paths and job.numbered:
            raise UsageError(
                f"data.{name} is a file, whose records have no rows in data.vectors; give a share such as 0.1"
            )
        if paths:
            files = expand(paths)
            own = replace(job, files=files, tokenizer=tokenizer, source_tokenizer=source_tokenizer, text=None)
            parts[name] = encode_whole(own, name)
            notes.append(f"{name}: {', '.join(map(display_name, files))}")
    if sample_note:
        notes.insert(0, sample_note)
    if source_tokenizer is not None:
        notes.append(f"source: {vocabulary_note(source_tokenizer)}")
    notes += [] if job.pictures is None else job.pictures.notes()
    notes.append(vocabulary_note(tokenizer))
    for name, part in parts.items():
        notes += part_notes(name, part, job.config)
        notes += [] if part.source is None else part_notes(f"{name}, source", part.source, job.config)
    if (labels := parts["train"].labels) is None:
        labels = parts["train"].tags
    if labels is not None and job.labelled:
        counts = np.bincount(labels[labels >= 0], minlength=len(job.label_names))
        notes.append(label_note(job.label_names, counts))
    # One token of text predicts nothing, so it cannot judge.
    usable = {name: part for name, part in parts.items() if part.num_predicted}
    return Corpus(
        kind=kind,
        tokenizer=tokenizer,
        train=parts["train"],
        validation=usable.get("validation"),
        test=usable.get("test"),
        digest=corpus_digest(tokenizer, kind, usable, job.label_names, source_tokenizer),
        notes=notes,
        label_names=job.label_names,
        source_tokenizer=source_tokenizer,
        pictures=job.pictures,
    )


def with_pictures(job: Job) -> Job:
    """The job with the pictures that its rows name, and those of a test file. Raises what `read_pictures` does."""
    blocks = iter_blocks([*job.files, *job.config.validation_files, *read_shares(job.config).test_files], job.config)
    names = dict.fromkeys(name for block in blocks for name in block.names)
    return replace(job, pictures=read_pictures(list(names), job.config, job.folder))


def _names_of(job: Job) -> tuple[str, ...]:
    """Every label in the files; one that only the test has is told by `label_ids`."""
    steps = Steps.of(job.config) if job.tokenizer is None else job.tokenizer.steps
    return find_label_names(block.names for block in job.blocks(steps))


def encode_whole(job: Job, name: str = "text") -> Part:
    """Files that are not split, by the same rules and to the same tokens as the splits."""
    assert job.tokenizer is not None
    if job.config.pairs:
        part = encode_pairs(iter_pairs(job.files, job.config), job, name)
        return _with_tokens(part, job)
    records = data_kind(job.config) == "records"
    labelled = job.marked if records else None
    with PartWriter(job.tokenizer, name, records=records, folder=job.folder, labelled=labelled) as writer:
        if records:
            first = 0
            for texts, names, _ in job.blocks(job.tokenizer.steps):
                write_records(texts, writer, job.config, watch=True, labels=job.marks(names, first, len(texts)))
                first += len(texts)
        else:
            write_stream(job.chunks(), writer, watch=True)
        part = writer.finish()
    return _with_tokens(part, job)


def _with_tokens(part: Part, job: Job) -> Part:
    """The part, unless there is nothing in it."""
    if not part.num_tokens:
        shown = ", ".join(display_name(Path(file)) for file in job.files) or "the text"
        raise DataError(f"{shown}: empty, or without a symbol that the model knows; there is nothing to score")
    return part


def vocabulary_note(tokenizer: Tokenizer) -> str:
    """How many symbols there are, and how many ids with the special ones."""
    special = ["<pad>", "<eos>"] + ["<unk>"] * (tokenizer.unk_id is not None)
    symbols = tokenizer.vocab_size - len(special)
    named = f"{', '.join(special[:-1])} and {special[-1]}"
    return f"{symbols:,} symbols in the vocabulary ({tokenizer.vocab_size:,} ids with {named}), level {tokenizer.level}"


def tokenizer_sha256(tokenizer: Tokenizer) -> str:
    """SHA-256 of the tokenizer as JSON."""
    return hashlib.sha256(json.dumps(tokenizer.to_json(), sort_keys=True).encode()).hexdigest()


def corpus_digest(
    tokenizer: Tokenizer,
    kind: DataKind,
    parts: dict[str, Part],
    label_names: Sequence[str] = (),
    source_tokenizer: Tokenizer | None = None,
) -> str:
    """One number for the tokenizer, all tokens and their split; windows are a way to read a stream."""
    layout = "records" if kind == "records" else "stream"
    facts: list[Any] = [layout, tokenizer_sha256(tokenizer), {name: part.digest for name, part in parts.items()}]
    if label_names:
        facts.append(list(label_names))
    if source_tokenizer is not None:
        facts.append(tokenizer_sha256(source_tokenizer))
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
