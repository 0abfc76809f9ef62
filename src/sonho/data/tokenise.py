"""From files to the token ids of every split: the passes over the text. Knows splits and tokenizers, not batches."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from sonho.config import DataConfig, DataKind
from sonho.data.encode import PartWriter, RecordEncoder, write_stream
from sonho.data.notes import part_notes, record_notes, stream_notes
from sonho.data.parts import Part
from sonho.data.sources import iter_records, iter_text
from sonho.data.splits import (
    SPLITS,
    Shares,
    TextCutter,
    data_kind,
    read_shares,
    split_records,
    stream_sizes,
)
from sonho.errors import DataError
from sonho.text.fitting import fit_tokenizer
from sonho.text.steps import Steps, fold_newlines
from sonho.text.tokenizer import Tokenizer

LEAST_TOKENS = 20
_MOST_HASHES = 4_000_000  # records among which duplicates are counted: 32 MB


@dataclass(frozen=True)
class Corpus:
    """A text as token ids, split."""

    kind: DataKind
    tokenizer: Tokenizer
    train: Part
    validation: Part | None
    test: Part | None
    digest: str  # SHA-256 of the tokenizer, all tokens and the split: what resuming must find unchanged
    notes: list[str] = field(default_factory=list)  # sentences to print


@dataclass(frozen=True)
class Job:
    """What is read, how, and where the ids go: into memory, or as shards into `folder`."""

    files: Sequence[str | Path]
    config: DataConfig
    seed: int = 0
    tokenizer: Tokenizer | None = None  # None: fitted on the text
    folder: Path | None = None
    text: str | None = None  # read in place of files

    def iter_text(self) -> Iterator[str]:
        return iter_text(self.files, self.config) if self.text is None else iter([self.text] if self.text else [])

    def iter_records(self) -> Iterator[str]:
        if self.text is None:
            return iter_records(self.files, self.config)
        return (line for line in fold_newlines(self.text).split("\n") if line and not line.isspace())


def tokenise(job: Job) -> Corpus:
    """Read the files two or three times: to measure and to fit the tokenizer, then to encode.

    Raises DataError where there is too little to learn from.
    """
    kind, shares = data_kind(job.config), read_shares(job.config)
    tokenizer, parts, notes = (_records if kind == "records" else _stream)(job, shares)
    if shares.test_file:
        test_job = Job([shares.test_file], job.config, tokenizer=tokenizer, folder=job.folder)
        parts["test"] = encode_whole(test_job, "test")
    total = sum(part.num_tokens for part in parts.values())
    if total < LEAST_TOKENS:
        raise DataError(f"the text has only {total} tokens; at least {LEAST_TOKENS} are needed to learn from")
    notes.append(f"{tokenizer.vocab_size:,} tokens in the vocabulary, level {tokenizer.level}")
    notes += [note for name, part in parts.items() for note in part_notes(name, part, job.config)]
    # One token of text predicts nothing, so it cannot judge.
    usable = {name: part for name, part in parts.items() if part.num_predicted}
    return Corpus(
        kind=kind,
        tokenizer=tokenizer,
        train=parts["train"],
        validation=usable.get("validation"),
        test=usable.get("test"),
        digest=corpus_digest(tokenizer, kind, usable),
        notes=notes,
    )


def encode_whole(job: Job, name: str = "text") -> Part:
    """Files that are not split, by the same rules and to the same tokens as the splits."""
    assert job.tokenizer is not None
    records = data_kind(job.config) == "records"
    with PartWriter(job.tokenizer, name, records=records, folder=job.folder) as writer:
        if records:
            encoder = RecordEncoder(writer, job.config, watch=True)
            for record in job.iter_records():
                encoder.add(job.tokenizer.steps.apply(record))
            encoder.flush()
        else:
            write_stream(job.iter_text(), writer, watch=True)
        part = writer.finish()
    if not part.num_tokens:
        shown = ", ".join(map(str, job.files)) or "the text"
        raise DataError(f"{shown}: empty, or without a symbol that the model knows; there is nothing to score")
    return part


def tokenizer_sha256(tokenizer: Tokenizer) -> str:
    """SHA-256 of the tokenizer as JSON."""
    return hashlib.sha256(json.dumps(tokenizer.to_json(), sort_keys=True).encode()).hexdigest()


def corpus_digest(tokenizer: Tokenizer, kind: DataKind, parts: dict[str, Part]) -> str:
    """One number for the tokenizer, all tokens and their split; windows are a way to read a stream."""
    layout = "records" if kind == "records" else "stream"
    facts = [layout, tokenizer_sha256(tokenizer), {name: part.digest for name, part in parts.items()}]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _stream(job: Job, shares: Shares) -> tuple[Tokenizer, dict[str, Part], list[str]]:
    counter = _Counter()
    text = _with_text(counter.watch(job.iter_text()))
    tokenizer = job.tokenizer
    if tokenizer is None and not shares.test:
        tokenizer = fit_tokenizer(text, job.config, seed=job.seed)
    for _ in text:  # a tokenizer that was given, or needs no fitting, has left the counting undone
        pass
    least = job.config.window + 1 if data_kind(job.config) == "windows" else job.config.bptt
    sizes = stream_sizes(counter.num_chars, shares, least)
    if tokenizer is None:
        # Of a test share not even the letters are looked at.
        learned = TextCutter(job.iter_text()).take(sizes["train"] + sizes["validation"])
        tokenizer = fit_tokenizer(learned, job.config, seed=job.seed)
    cutter = TextCutter(job.iter_text())
    parts = {}
    for name, size in sizes.items():
        if size or name == "train":
            with PartWriter(tokenizer, name, records=False, folder=job.folder) as writer:
                write_stream(cutter.take(size), writer, watch=job.tokenizer is not None or name == "test")
                parts[name] = writer.finish()
    return tokenizer, parts, stream_notes(parts)


def _records(job: Job, shares: Shares) -> tuple[Tokenizer, dict[str, Part], list[str]]:
    steps = Steps.of(job.config) if job.tokenizer is None else job.tokenizer.steps

    def records() -> Iterator[str]:
        # As they will be learned: lower-cased, two titles that differ only in case are one.
        return map(steps.apply, job.iter_records())

    split = split_records(records(), shares, job.seed)
    tokenizer = job.tokenizer
    if tokenizer is None:
        learned = (r for r in records() if not split.test_below or split.side(split.hash(r)) != "test")
        tokenizer = fit_tokenizer(_with_text(learned), job.config, seed=job.seed)
    hashes = array("Q")
    with ExitStack() as stack:
        encoders = {}
        for name in SPLITS:
            writer = PartWriter(tokenizer, name, records=True, folder=job.folder)
            stack.enter_context(writer)
            watch = job.tokenizer is not None or name == "test"
            encoders[name] = RecordEncoder(writer, job.config, watch=watch)
        for record in records():
            value = split.hash(record)
            encoders[split.side(value)].add(record)
            if len(hashes) < _MOST_HASHES:
                hashes.append(value)
        for encoder in encoders.values():
            encoder.flush()
        parts = {name: encoder.writer.finish() for name, encoder in encoders.items()}
    parts = {name: part for name, part in parts.items() if part.num_records or name == "train"}
    return tokenizer, parts, record_notes(parts, hashes, job.seed)


class _Counter:
    """Counts characters as they pass."""

    num_chars = 0

    def watch(self, chunks: Iterable[str]) -> Iterator[str]:
        for chunk in chunks:
            self.num_chars += len(chunk)
            yield chunk


def _with_text(chunks: Iterable[str]) -> Iterator[str]:
    """The same chunks; DataError if there is nothing but white space in all of them."""
    has_text = False
    for chunk in chunks:
        has_text = has_text or not chunk.isspace()
        yield chunk
    if not has_text:
        raise DataError("the input is empty or holds only white space; there is nothing to learn from")
