"""Texts and their translations: two columns of a table, or two plain texts line by line.

Knows pairs of strings and the splits they go to, not batches.
"""

from __future__ import annotations

import dataclasses
import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain, compress, islice, zip_longest
from pathlib import Path

from sonho.config import DataConfig
from sonho.data.characters import read_lines
from sonho.data.encode import PartWriter, write_records
from sonho.data.files import display_name, expand, format_suffix
from sonho.data.objects import read_jsonl, read_parquet
from sonho.data.parts import Part
from sonho.data.passes import MOST_HASHES, Job
from sonho.data.splits import SPLITS, RecordSplit, Shares, split_records
from sonho.data.tables import read_table
from sonho.errors import DataError, UsageError
from sonho.text.fitting import fit_tokenizer
from sonho.text.steps import Steps
from sonho.text.tokenizer import Tokenizer

ROWS_AT_ONCE = 4096
COLUMNS = ("source", "target")
TABLES = {".csv": ",", ".tsv": "\t", ".tab": "\t"}

Pair = tuple[str, str]


def iter_pairs(paths: Sequence[str | Path], config: DataConfig, left_out: Counter[str] | None = None) -> Iterator[Pair]:
    """Each text with its translation, without the white space around them.

    Tables have a pair a row, in `data.source_column` and `data.target_column` (without names: columns called source
    and target, or the first two); a plain text with tabs in its first line is a table. Other plain texts come in twos,
    a source and then its target, with a pair a line. Pairs with an empty side, or with more than `data.max_words` on
    one, are counted in `left_out`. Raises DataError where two files have not equally many lines, or one stands alone.
    """
    counted = Counter() if left_out is None else left_out
    for source, target in chain.from_iterable(_pairs_of(files, config) for files in _together(expand(paths), config)):
        pair = source.strip(), target.strip()
        if not all(pair):
            counted["of which a side is empty"] += 1
        elif config.max_words and max(len(side.split()) for side in pair) > config.max_words:
            counted[f"of more than {config.max_words} words (data.max_words)"] += 1
        else:
            yield pair


def read_pairs(job: Job, shares: Shares) -> tuple[Tokenizer, Tokenizer | None, dict[str, Part], list[str]]:
    """The target's tokenizer, the source's (None: one serves both), the parts and notes; reads three times.

    A pair goes where its source goes: near duplicates of a source share a side, whatever their translations.
    Tokenizers are fitted on all but the test where the job has none, pieces of words on the training part alone.
    """
    if next(iter_pairs(job.files, job.config), None) is None:
        shown = ", ".join(display_name(Path(file)) for file in job.files[:2])
        raise DataError(f"{shown}: no pair of texts that both say something; there is nothing to learn from")
    steps = Steps.of(job.config) if job.tokenizer is None else job.tokenizer.steps
    sources = ([source for source, _ in block] for block in _blocks(iter_pairs(job.files, job.config), steps))
    split = split_records(sources, shares, job.seed, folded=True)
    tokenizer, source_tokenizer = job.tokenizer, job.source_tokenizer
    if tokenizer is None:
        tokenizer, source_tokenizer = _fit(job, steps, split)
    left_out: Counter[str] = Counter()
    hashes = array("Q")
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(PairWriter(tokenizer, source_tokenizer, name, job.folder)) for name in SPLITS
        }
        for block in _blocks(iter_pairs(job.files, job.config, left_out), steps):
            values = split.hash([source for source, _ in block])
            if len(hashes) < MOST_HASHES:
                hashes.frombytes(values.tobytes())
            for name, mask in split.sides(values).items():
                watch = job.tokenizer is not None or name == "test"
                writers[name].write(list(compress(block, mask.tolist())), job.config, watch=watch)
        parts = {name: writer.finish() for name, writer in writers.items()}
    parts = {name: part for name, part in parts.items() if part.num_records or name == "train"}
    counts = ", ".join(f"{part.num_records:,} {name}" for name, part in parts.items())
    held_out = f"chosen by their source and seed {job.seed}" if len(parts) > 1 else "nothing is held out"
    notes = [f"{sum(part.num_records for part in parts.values()):,} pairs: {counts}; {held_out}"]
    if repeated := len(hashes) - len(set(hashes)):
        notes.append(f"{repeated:,} pairs have nearly the source of another and share their side of the split")
    notes += [f"{count:,} pairs {why} were left out" for why, count in left_out.items()]
    return tokenizer, source_tokenizer, parts, notes


def encode_pairs(pairs: Iterable[Pair], job: Job, name: str = "text") -> Part:
    """Pairs as one part, by the same rules and to the same tokens as the splits; the job has the tokenizers."""
    assert job.tokenizer is not None
    with PairWriter(job.tokenizer, job.source_tokenizer, name, job.folder) as writer:
        for block in _blocks(pairs, job.tokenizer.steps):
            writer.write(block, job.config, watch=True)
        return writer.finish()


class PairWriter:
    """Collects the ids of one split, source and target beside each other."""

    def __init__(
        self, tokenizer: Tokenizer, source_tokenizer: Tokenizer | None, name: str, folder: Path | None
    ) -> None:
        self._sides = [
            PartWriter(source_tokenizer or tokenizer, f"{name}-source", records=True, folder=folder),
            PartWriter(tokenizer, name, records=True, folder=folder),
        ]

    def write(self, pairs: Sequence[Pair], config: DataConfig, *, watch: bool) -> None:
        """Encode pairs to which the tokenizer's steps have been applied; a long side is cut by itself."""
        for writer, texts in zip(self._sides, zip(*pairs, strict=True), strict=False):
            write_records(list(texts), writer, dataclasses.replace(config, num_chars=0), watch=watch)

    def finish(self) -> Part:
        source, target = (side.finish() for side in self._sides)
        return dataclasses.replace(target, source=source, digest=pair_digest(source.digest, target.digest))

    def __enter__(self) -> PairWriter:
        return self

    def __exit__(self, *error: object) -> None:
        for side in self._sides:
            side.__exit__(*error)


def pair_digest(source: str, target: str) -> str:
    """The digest of a split of pairs from those of its sides."""
    return hashlib.sha256(f"{source} {target}".encode()).hexdigest()


def _fit(job: Job, steps: Steps, split: RecordSplit) -> tuple[Tokenizer, Tokenizer | None]:
    """The target's tokenizer and the source's (None where the vocabulary is shared), fitted on all but the test.

    Pieces of words are learned from the training part alone, as everywhere: see `passes.read_stream`.
    """

    def texts(places: Sequence[int]) -> Iterator[str]:
        for block in _blocks(iter_pairs(job.files, job.config), steps):
            sides = split.sides(split.hash([source for source, _ in block]))
            learned = sides["train"] if job.config.level == "subword" else ~sides["test"]
            for pair in compress(block, learned.tolist()):
                yield from (pair[place] for place in places)

    if job.config.shared_vocab:
        return fit_tokenizer(texts((0, 1)), job.config, seed=job.seed), None
    source = fit_tokenizer(texts((0,)), job.config, seed=job.seed)
    return fit_tokenizer(texts((1,)), job.config, seed=job.seed), source


def _blocks(pairs: Iterable[Pair], steps: Steps) -> Iterator[list[Pair]]:
    """Some thousands of pairs at a time, as they will be learned: the steps come before the split."""
    rest = iter(pairs)
    while block := list(islice(rest, ROWS_AT_ONCE)):
        yield [(steps.apply(source), steps.apply(target)) for source, target in block]


def _together(files: Sequence[Path], config: DataConfig) -> Iterator[tuple[Path, ...]]:
    """Each table by itself, and plain texts in twos."""
    alone: Path | None = None
    for file in files:
        if _delimiter(file, config) or format_suffix(file) in (".jsonl", ".ndjson", ".parquet"):
            yield (file,)
        elif alone is None:
            alone = file
        else:
            yield alone, file
            alone = None
    if alone is not None:
        raise UsageError(
            f"{display_name(alone)} has no translation beside it: plain texts come in twos, a source and its target "
            "line by line; a table has two columns (--source-column, --target-column)"
        )


def _delimiter(file: Path, config: DataConfig) -> str:
    """Between the columns of a table; of a plain text with a tab in its first line, the tab."""
    suffix = format_suffix(file)
    if suffix in TABLES:
        return TABLES[suffix]
    is_plain = suffix not in (".jsonl", ".ndjson", ".parquet")
    return "\t" if is_plain and "\t" in next(read_lines(file, config), "") else ""


def _pairs_of(files: tuple[Path, ...], config: DataConfig) -> Iterator[Pair]:
    if len(files) == 2:
        yield from _lines_of(*files, config)
        return
    [file] = files
    delimiter = _delimiter(file, config)
    given = (config.source_column, config.target_column)
    if all(given) != any(given):
        raise UsageError("a pair needs both data.source_column and data.target_column; one of them is missing")
    # Without names: the columns that are called so, else the first two.
    names = [f"{name}|{place}" if delimiter else name for place, name in enumerate(COLUMNS, start=1)]
    own = dataclasses.replace(config, columns=list(given) if all(given) else names)
    if delimiter:
        rows = read_table(file, own, delimiter)
    else:
        rows = read_parquet(file, own) if format_suffix(file) == ".parquet" else read_jsonl(file, own)
    yield from ((source, target) for source, target in rows)


def _lines_of(source: Path, target: Path, config: DataConfig) -> Iterator[Pair]:
    """The lines of two files side by side; an empty line keeps its place."""
    lines = zip_longest(read_lines(source, config), read_lines(target, config))
    for count, (one, other) in enumerate(lines):
        if one is None or other is None:
            more = 1 + sum(1 for _ in lines)
            counts = (count + more, count) if other is None else (count, count + more)
            raise DataError(
                f"{display_name(source)} has {counts[0]:,} lines and {display_name(target)} {counts[1]:,}; "
                "line by line translations need equally many"
            )
        yield one, other
