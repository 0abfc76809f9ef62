"""Text to the token ids of one split, in memory or in shards. Knows tokenizers and stores, not files or splits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sonho.config import DataConfig
from sonho.data.batch import NO_TARGET
from sonho.data.labels import LabelKind
from sonho.data.parts import MemoryStore, Part, TokenStore, part_digest
from sonho.data.shards import ShardStore, ShardWriter, map_offsets
from sonho.errors import UsageError
from sonho.text.tokenizer import Tokenizer

DEFAULT_MAX_LENGTH = 1000
MOST_UNKNOWN_SHOWN = 50
_BLOCK_CHARS = 1 << 20


class PartWriter:
    """Collects the ids of one split, and counts what they stand for."""

    def __init__(
        self, tokenizer: Tokenizer, name: str, *, records: bool, folder: Path | None, labelled: LabelKind | None = None
    ) -> None:
        self.tokenizer = tokenizer
        self.num_cut = 0
        self.unknown: dict[str, None] = {}
        self._seen = np.zeros(tokenizer.vocab_size, np.int64)  # how often each id occurs, (V,)
        self._end = 0
        self._tokens = ArrayWriter(tokenizer.dtype, folder, name)
        self._offsets = None
        if records:
            self._offsets = ArrayWriter(np.dtype(np.int64), folder, f"{name}-offsets", one_file=True)
            self._offsets.append(np.zeros(1, np.int64))
        self.labelled, self._labels = labelled, None
        if labelled:
            self._labels = ArrayWriter(np.dtype(np.int64), folder, f"{name}-{labelled}", one_file=True)

    def append(self, tokens: np.ndarray, lengths: np.ndarray | None = None, labels: np.ndarray | None = None) -> None:
        """Add ids (L,), and for records the length of each, its <eos> included, and the labels if there are any."""
        for start in range(0, len(tokens), _BLOCK_CHARS):
            block = tokens[start : start + _BLOCK_CHARS]
            self._seen += np.bincount(block, minlength=len(self._seen))
        self._tokens.append(tokens)
        if self._offsets is not None and lengths is not None:
            self._offsets.append(self._end + np.cumsum(lengths, dtype=np.int64))
        if self._labels is not None and labels is not None:
            self._labels.append(labels.astype(np.int64))
        self._end += len(tokens)

    def note_unknown(self, text: str) -> None:
        """Remember which symbols the tokenizer leaves out, up to fifty."""
        if self.tokenizer.unk_id is None and len(self.unknown) < MOST_UNKNOWN_SHOWN:
            self.unknown.update(dict.fromkeys(self.tokenizer.unknown_in(text)))

    def finish(self) -> Part:
        tokens = self._tokens.finish()
        offsets = None if self._offsets is None else self._offsets.finish()
        labels = None if self._labels is None else self._labels.finish()
        unk_id = self.tokenizer.unk_id
        marks: dict[str, Any] = {} if labels is None else {str(self.labelled): _as_array(labels)}
        return Part(
            tokens=tokens,
            offsets=None if offsets is None else _as_array(offsets),
            num_chars=int(self._seen @ self.tokenizer.char_counts()),
            num_bytes=int(self._seen @ self.tokenizer.byte_counts()),
            num_unknown=0 if unk_id is None else int(self._seen[unk_id]),
            unknown=tuple(self.unknown)[:MOST_UNKNOWN_SHOWN],
            num_cut=self.num_cut,
            digest=part_digest(
                tokens.digest,
                None if offsets is None else offsets.digest,
                None if labels is None else labels.digest,
            ),
            **marks,
        )

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, *_: object) -> None:
        """After an error nothing half-written stays behind."""
        for arrays in (self._tokens, self._offsets, self._labels):
            if arrays is not None:
                arrays.abandon()


def write_stream(chunks: Iterable[str], writer: PartWriter, *, watch: bool) -> None:
    """Encode one long text; `watch` notes symbols that the tokenizer lacks."""

    def watched() -> Iterator[str]:
        for chunk in chunks:
            writer.note_unknown(chunk)
            yield chunk

    for tokens in writer.tokenizer.encode_chunks(watched() if watch else chunks):
        writer.append(tokens)


def write_records(
    records: list[str], writer: PartWriter, config: DataConfig, *, watch: bool, labels: np.ndarray | None = None
) -> None:
    """Encode a block of records, to which the tokenizer's steps have been applied, with their labels if any.

    Each ends with <eos>; long ones are cut as the settings say, which count without <eos>. Labels are one a
    record (R,), or of tags one a character of all records.
    """
    if not records:
        return
    if watch:
        writer.note_unknown("".join(records))
    if writer.labelled == "tags":
        records = [with_known_symbols(record, writer.tokenizer) for record in records]
    tokens, lengths = encode_block(records, writer.tokenizer)
    if config.num_chars and labels is not None:
        raise UsageError("data.num_chars cuts records into pieces that have no labels; use data.max_length")
    if config.num_chars:
        lengths = _in_pieces(lengths, config.num_chars)
    longest = config.max_length or max(DEFAULT_MAX_LENGTH, config.num_chars)
    writer.num_cut += int((lengths > longest).sum())
    if writer.labelled == "tags" and labels is not None:
        tags, kept = _cut(labels, lengths, longest)
        labels = _with_ends(tags, kept, NO_TARGET)
    tokens, lengths = _cut(tokens, lengths, longest)
    writer.append(_with_ends(tokens, lengths, writer.tokenizer.eos_id), lengths + 1, labels)


def with_known_symbols(text: str, tokenizer: Tokenizer) -> str:
    """The text with the commonest symbol in place of each that the tokenizer lacks, so that no place is lost."""
    unknown = tokenizer.unknown_in(text)
    common = tokenizer.decode([1])
    return text.translate(dict.fromkeys(map(ord, unknown), common)) if unknown else text


def encode_block(records: list[str], tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """The ids of all records in a row (L,), and how many each has (R,), without <eos>.

    One call for all is tens of times quicker than one each; it is made where it can be proved that
    the ids are the same.
    """
    together = _as_symbols(records, tokenizer)
    if together is not None:
        return together
    lines = [r for r in records if _is_line(r)] if tokenizer.level == "subword" else []
    encoded = iter(_encode_lines(lines, tokenizer) if lines else [])
    arrays = [next(encoded) if lines and _is_line(record) else tokenizer.encode(record) for record in records]
    return np.concatenate(arrays), np.fromiter(map(len, arrays), np.int64, len(arrays))


def _as_symbols(records: list[str], tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray] | None:
    """Where a token is a character or a byte: equal lengths prove that no symbol was left out."""
    if tokenizer.level not in ("char", "byte") or tokenizer.steps.normalize != "none":
        return None
    tokens = tokenizer.encode("".join(records))
    texts = records if tokenizer.level == "char" else [r.encode("utf-8", "surrogateescape") for r in records]
    lengths = np.fromiter(map(len, texts), np.int64, len(records))
    return (tokens, lengths) if lengths.sum() == len(tokens) else None


def _is_line(record: str) -> bool:
    """Whether newlines around the record would be tokens by themselves, and the record the same tokens."""
    return not (record[:1].isspace() or record[-1:].isspace() or "\n" in record or not record)


def _encode_lines(lines: list[str], tokenizer: Tokenizer) -> list[np.ndarray]:
    """Pieces of words never span a newline between visible characters, so many records make one text."""
    newline = tokenizer.encode("\n")
    tokens = tokenizer.encode("\n".join(["", *lines]))
    starts = np.flatnonzero(tokens == newline[0])
    assert len(newline) == 1
    assert len(starts) == len(lines)
    return [piece[1:] for piece in np.split(tokens, starts)[1:]]


class ArrayWriter:
    """Arrays joined end to end, in memory or in files."""

    def __init__(self, dtype: np.dtype, folder: Path | None, name: str, *, one_file: bool = False) -> None:
        self.dtype, self.one_file = dtype, one_file
        self.pieces: list[np.ndarray] = []
        self.writer: ShardWriter | None = None
        if folder is not None:
            self.writer = ShardWriter(folder, name, dtype, one_file=one_file)

    def append(self, items: np.ndarray) -> None:
        if self.writer is not None:
            self.writer.append(items)
        else:
            self.pieces.append(items)

    def finish(self) -> TokenStore:
        if self.writer is not None:
            return ShardStore(self.writer.folder, self.writer.finish(), self.dtype)
        return MemoryStore(np.concatenate([np.zeros(0, self.dtype), *self.pieces]), one_file=self.one_file)

    def abandon(self) -> None:
        if self.writer is not None:
            self.writer.abandon()


def _as_array(offsets: TokenStore) -> np.ndarray:
    if isinstance(offsets, ShardStore) and len(offsets):  # an empty file cannot be mapped
        return map_offsets(offsets.folder / offsets.shards[0].name, len(offsets))
    return offsets.read(0, len(offsets))


def _in_pieces(lengths: np.ndarray, piece: int) -> np.ndarray:
    """Lengths of the pieces of at most `piece` tokens into which records fall."""
    counts = np.maximum(-(-lengths // piece), 1)
    pieces = np.full(int(counts.sum()), piece, np.int64)
    pieces[np.cumsum(counts) - 1] = lengths - (counts - 1) * piece
    return pieces


def _cut(tokens: np.ndarray, lengths: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    if not len(lengths) or lengths.max() <= longest:
        return tokens, lengths
    starts = np.cumsum(lengths) - lengths
    places = np.arange(len(tokens)) - np.repeat(starts, lengths)
    return tokens[places < longest], np.minimum(lengths, longest)


def _with_ends(tokens: np.ndarray, lengths: np.ndarray, eos_id: int) -> np.ndarray:
    joined = np.full(len(tokens) + len(lengths), eos_id, tokens.dtype)
    is_text = np.ones(len(joined), bool)
    is_text[np.cumsum(lengths + 1) - 1] = False
    joined[is_text] = tokens
    return joined
