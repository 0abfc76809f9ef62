"""The passes over the input: one to measure it and fit the tokenizer, one to encode every split."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np

from sonho.config import DataConfig
from sonho.data.encode import PartWriter, write_records, write_stream
from sonho.data.files import display_name
from sonho.data.items import items_of
from sonho.data.labels import LabelKind, label_ids, label_kind
from sonho.data.notes import Alike, record_notes, stream_notes
from sonho.data.parts import Part
from sonho.data.pictures import Pictures
from sonho.data.sources import Block, iter_blocks, iter_text
from sonho.data.splits import SPLITS, RecordSplit, Shares, TextCutter, data_kind, split_records, stream_sizes
from sonho.errors import DataError
from sonho.text.fitting import fit_tokenizer
from sonho.text.steps import Steps
from sonho.text.strip import strip_block
from sonho.text.tokenizer import Tokenizer

MOST_HASHES = 4_000_000  # records among which duplicates are counted: 32 MB


@dataclass(frozen=True)
class Job:
    """What is read, how, and where the ids go: into memory, or as shards into `folder`."""

    files: Sequence[str | Path]
    config: DataConfig
    seed: int = 0
    tokenizer: Tokenizer | None = None  # None: fitted on the text
    source_tokenizer: Tokenizer | None = None  # of pairs, where the sources have one of their own
    folder: Path | None = None
    text: str | None = None  # read in place of files
    label_names: tuple[str, ...] = ()  # of labelled records: the labels that there are; empty: those found
    pictures: Pictures | None = None  # of a table of pictures: those that could be read

    def chunks(self) -> Iterator[str]:
        """One long text, in pieces."""
        return iter_text(self.files, self.config) if self.text is None else iter([self.text] if self.text else [])

    def blocks(self, steps: Steps) -> Iterator[Block]:
        """The items as they will be learned, with the label or picture of each, or the tags of all their characters.

        The steps come before the split: two titles that differ only in case are one, lower-cased.
        """
        if self.text is not None:
            blocks = iter([Block(items_of(self.text, self.config), [], [])])
        else:
            blocks = iter_blocks(self.files, self.config)
        for block in blocks:
            if self.pictures is not None:
                block = self.pictures.rows_with(block)
            texts, names = apply_steps(steps, block.texts), block.names
            if self.labelled == "tags":
                texts, names = strip_block(texts, self.config.strip)
            yield Block(texts, names, block.groups)

    @property
    def labelled(self) -> LabelKind | None:
        """What comes with labels, if anything. The records of a text at hand have none."""
        kind = label_kind(self.config)
        return None if kind == "labels" and self.text is not None else kind

    @property
    def numbered(self) -> bool:
        """Whether each item keeps its number, counted from 0, in place of a label: it has a vector elsewhere."""
        return self.text is None and bool(self.config.vectors)

    @property
    def marked(self) -> LabelKind | None:
        """What stays with the items: labels, tags, or numbers, which are kept as labels are."""
        numbered = self.numbered or self.pictures is not None
        return "labels" if numbered else self.labelled if self.label_names else None

    def marks(self, labels: Sequence[str], first: int, count: int) -> np.ndarray | None:
        """What stays with each of `count` items from number `first` on, (count,) int64.

        Its own number, or that of its picture or label.
        """
        if self.numbered:
            return np.arange(first, first + count)
        if self.pictures is not None:
            return self.pictures.numbers(labels)
        return label_ids(labels, self.label_names) if self.labelled and self.label_names else None


def apply_steps(steps: Steps, records: list[str]) -> list[str]:
    """The tokenizer's steps on each record."""
    together = "".join(records)
    # No step changes a part of a text and leaves the whole as it is, so most blocks need one look.
    return records if steps.apply(together) == together else [steps.apply(record) for record in records]


def read_stream(job: Job, shares: Shares) -> tuple[Tokenizer, dict[str, Part], list[str]]:
    """Tokenise one long text; its tail is held out.

    The symbols of the validation part are known, so that it has no strange ones, but no pieces of words are learned
    from it: names that only it has would be pieces of their own, and it would seem easier than any other text.
    """
    counter = _Counter()
    text = counter.watch(_with_text(job.chunks(), job.files))
    tokenizer = job.tokenizer
    if tokenizer is None and not shares.test and job.config.level != "subword":
        tokenizer = fit_tokenizer(text, job.config, seed=job.seed)
    for _ in text:  # a tokenizer that was given, or needs no fitting, has left the counting undone
        pass
    least = job.config.window + 1 if data_kind(job.config) == "windows" else job.config.bptt
    sizes = stream_sizes(counter.num_chars, shares, least)
    if tokenizer is None:
        # Of a test share not even the letters are looked at.
        known = sizes["train"] + (0 if job.config.level == "subword" else sizes["validation"])
        learned = TextCutter(job.chunks()).take(known)
        tokenizer = fit_tokenizer(learned, job.config, seed=job.seed)
    cutter = TextCutter(job.chunks())
    parts = {}
    for name, size in sizes.items():
        if size or name == "train":
            with PartWriter(tokenizer, name, records=False, folder=job.folder) as writer:
                write_stream(cutter.take(size), writer, watch=job.tokenizer is not None or name == "test")
                parts[name] = writer.finish()
    return tokenizer, parts, stream_notes(parts, sizes)


def read_records(job: Job, shares: Shares) -> tuple[Tokenizer, dict[str, Part], list[str]]:
    """Tokenise independent items; a seeded choice of them is held out. The job of labelled ones has their names."""
    steps = Steps.of(job.config) if job.tokenizer is None else job.tokenizer.steps
    grouped = bool(job.config.group_column or job.pictures is not None)
    keys = (block.groups or block.texts for block in job.blocks(steps))
    split = split_records(keys, shares, job.seed, folded=job.labelled is not None and not grouped)
    tokenizer = job.tokenizer or _fit_to_records(job, steps, split)
    hashes, first = array("Q"), 0
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(PartWriter(tokenizer, name, records=True, folder=job.folder, labelled=job.marked))
            for name in SPLITS
        }
        for texts, names, groups in job.blocks(steps):
            values = split.hash(groups or texts)
            marks = job.marks(names, first, len(texts))
            first += len(texts)
            for name, mask in split.sides(values).items():
                watch = job.tokenizer is not None or name == "test"
                chosen = mask if job.labelled != "tags" else np.repeat(mask, [len(text) for text in texts])
                own = None if marks is None else marks[chosen]
                write_records(list(compress(texts, mask.tolist())), writers[name], job.config, watch=watch, labels=own)
            if len(hashes) < MOST_HASHES:
                hashes.frombytes(values.tobytes())
        parts = {name: writer.finish() for name, writer in writers.items()}
    parts = {name: part for name, part in parts.items() if part.num_records or name == "train"}
    alike: Alike = "group" if grouped else "near" if job.labelled is not None else "exact"
    return tokenizer, parts, record_notes(parts, hashes, job.seed, alike)


def _fit_to_records(job: Job, steps: Steps, split: RecordSplit) -> Tokenizer:
    """A tokenizer fitted on all records but the test's; pieces of words on those of the training part alone."""
    pieces = job.config.level == "subword"

    def learned() -> Iterator[str]:
        for texts, _, groups in job.blocks(steps):
            if split.test_below or pieces:
                sides = split.sides(split.hash(groups or texts))
                texts = list(compress(texts, (sides["train"] if pieces else ~sides["test"]).tolist()))
            # Symbols can be counted in one piece; words must not run into each other.
            yield from ["".join(texts)] if job.config.level == "char" and steps.normalize == "none" else texts

    return fit_tokenizer(_with_text(learned(), job.files), job.config, seed=job.seed)


class _Counter:
    """Counts characters as they pass."""

    num_chars = 0

    def watch(self, chunks: Iterable[str]) -> Iterator[str]:
        for chunk in chunks:
            self.num_chars += len(chunk)
            yield chunk


def _with_text(chunks: Iterable[str], files: Sequence[str | Path]) -> Iterator[str]:
    """The same chunks; DataError if there is nothing but white space in all of them."""
    has_text = False
    for chunk in chunks:
        has_text = has_text or not (not chunk or chunk.isspace())
        yield chunk
    if not has_text:
        where = ", ".join(display_name(Path(file)) for file in files[:3]) + (", ..." if len(files) > 3 else "")
        raise DataError(f"{where or 'the text'} is empty or holds only white space; there is nothing to learn from")
