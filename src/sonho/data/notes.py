"""Sentences about the data, printed with every run. Knows counts, not how they came about."""

from __future__ import annotations

from array import array
from typing import Literal

import numpy as np

from sonho.config import DataConfig
from sonho.data.parts import Part
from sonho.data.windows import count_windows

# What keeps records on one side of the split.
Alike = Literal["exact", "near", "group"]


def stream_notes(parts: dict[str, Part], sizes: dict[str, int]) -> list[str]:
    """How many characters each split has; `sizes` are those of the splits that were cut from the text itself."""
    chars = {name: sizes.get(name) or part.num_chars for name, part in parts.items()}
    held_out = "the tail is held out" if len(parts) > 1 else "nothing is held out"
    return [f"{sum(chars.values()):,} characters: {_sizes(chars)}; {held_out}"]


def record_notes(parts: dict[str, Part], hashes: array[int], seed: int, alike: Alike = "exact") -> list[str]:
    """How many records each split has, and how many share a number; `hashes` has one a record.

    `alike` says which do: exact duplicates, those that differ only in case, spaces and punctuation, or a group.
    """
    records = {name: part.num_records for name, part in parts.items()}
    chars = sum(part.num_chars for part in parts.values())
    chosen = "group" if alike == "group" else "text"
    held_out = f"chosen by their {chosen} and seed {seed}" if len(parts) > 1 else "nothing is held out"
    notes = [f"{sum(records.values()):,} records of {chars:,} characters: {_sizes(records)}; {held_out}"]
    distinct = len(np.unique(np.frombuffer(hashes, np.uint64)))
    if alike == "group":
        notes.append(f"{distinct:,} groups, each on one side of the split")
    elif repeated := len(hashes) - distinct:
        notes.append(f"{repeated:,} records are {alike} duplicates of others and share their side of the split")
    return notes


def part_notes(name: str, part: Part, config: DataConfig) -> list[str]:
    """What is missing from a split."""
    notes = []
    if part.num_cut:
        notes.append(f"{name}: {part.num_cut:,} records are longer than data.max_length tokens and were cut there")
    if part.unknown:
        shown = ", ".join(repr(symbol) for symbol in part.unknown[:10]) + (" …" if len(part.unknown) > 10 else "")
        notes.append(f"{name}: symbols that the vocabulary lacks were left out: {shown}")
    if part.num_unknown:
        notes.append(f"{name}: {100 * part.num_unknown / part.num_tokens:.2f} % of the tokens are <unk>")
    if not part.num_predicted:
        notes.append(f"{name}: {part.num_tokens} tokens are too few to predict one from another; left out")
    return notes


def window_note(parts: dict[str, Part], window: int, stride: int, unit: str) -> str:
    """How the windows of one text fall to its splits; those that span a cut would leak, and belong to none."""
    counts = {name: count_windows(part.num_tokens, window, stride) for name, part in parts.items()}
    total = count_windows(sum(part.num_tokens for part in parts.values()), window, stride)
    across = f", {total - sum(counts.values()):,} across the cut left out" if len(counts) > 1 else ""
    return f"{total:,} windows of {window} every {stride} {unit}: {_sizes(counts)}{across}"


def _sizes(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
