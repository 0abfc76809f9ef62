"""Independent items in batches of like length, padded as little as can be."""

from __future__ import annotations

import numpy as np

from sonho.data.batch import NO_TARGET, Batch, check_index
from sonho.data.parts import MemoryStore, Part
from sonho.data.shards import store_of
from sonho.data.shuffle import derive_key, permuted

BATCHES_IN_BLOCK = 64
MOST_MEASURED = 100_000  # records; more would not change the share of padding


class RecordBatches:
    """Each epoch shuffles all records, sorts blocks of 64 batches by length and shuffles the batches of a block.

    A record reads <eos>, then its tokens; it predicts its tokens, then <eos>. The first input has no
    meaning of its own: it is what the state before any text looks at. Where tokens have tags, those are the targets.
    Pairs are sorted by their targets and then by their sources, which come beside them.
    """

    carries_state = False

    def __init__(self, part: Part, batch_size: int, seed: int, eos_id: int, pad_id: int) -> None:
        if part.offsets is None:
            raise ValueError("records are wanted, but the part is one text")
        self.part, self.seed, self.eos_id, self.pad_id = part, seed, eos_id, pad_id
        self._offsets = store_of(part.offsets)
        self._source_offsets = None
        if part.source is not None:
            assert part.source.offsets is not None
            self._source_offsets = store_of(part.source.offsets)
        self._tags = None if part.tags is None else store_of(part.tags)
        self.num_records = part.num_records
        self.batch_size = max(1, min(batch_size, self.num_records))
        self.tokens_per_epoch = part.num_tokens
        self._block: tuple[tuple[int, int], np.ndarray] | None = None  # a memory of work done, not a state
        self.notes = []
        if self.batch_size < batch_size:
            self.notes.append(f"{self.num_records:,} records make one batch of {self.batch_size}, not of {batch_size}")
        self.notes.append(
            f"{100 * self.padding_efficiency():.1f} % of the positions in a batch are tokens, the rest padding"
        )

    def steps_in(self, epoch: int) -> int:
        return -(-self.num_records // self.batch_size)

    def batch(self, epoch: int, index: int) -> Batch:
        check_index(self, epoch, index)
        block, place = divmod(index, BATCHES_IN_BLOCK)
        spans = self._sorted_block(epoch, block)
        batches = -(-len(spans) // self.batch_size)
        key = derive_key("batches", self.seed, epoch, block)
        place = int(permuted(np.array([place]), batches, key)[0])
        return self._pad(spans[place * self.batch_size : (place + 1) * self.batch_size])

    def padding_efficiency(self) -> float:
        """Share of real tokens in the batches, measured on the first epoch (or 100,000 records of it)."""
        real = padded = 0
        block_size = self.batch_size * BATCHES_IN_BLOCK
        for block in range(-(-min(self.num_records, MOST_MEASURED) // block_size)):
            lengths = np.diff(self._sorted_block(0, block)[:, :2])[:, 0]
            for start in range(0, len(lengths), self.batch_size):
                piece = lengths[start : start + self.batch_size]
                real += int(piece.sum())
                padded += int(piece.max()) * len(piece)
        return real / padded if padded else 1.0

    def _sorted_block(self, epoch: int, block: int) -> np.ndarray:
        """Where the records of a block begin and end, and their numbers, the shortest first; (up to 64 * N, 3)."""
        if self._block is None or self._block[0] != (epoch, block):
            first = block * BATCHES_IN_BLOCK * self.batch_size
            places = np.arange(first, min(first + BATCHES_IN_BLOCK * self.batch_size, self.num_records))
            records = permuted(places, self.num_records, derive_key("records", self.seed, epoch))
            spans = np.column_stack([self._offsets.gather(records, 2), records])
            if self._source_offsets is not None:
                spans = spans[np.argsort(np.diff(self._source_offsets.gather(records, 2))[:, 0], kind="stable")]
            spans = spans[np.argsort(spans[:, 1] - spans[:, 0], kind="stable")]
            self._block = (epoch, block), spans
        return self._block[1]

    def _pad(self, spans: np.ndarray) -> Batch:
        lengths = (spans[:, 1] - spans[:, 0]).astype(np.int64)  # (N,)
        tokens = self.part.tokens.gather(spans[:, 0], int(lengths.max())).astype(np.int64)  # (N, T), ends with <eos>
        inside = np.arange(tokens.shape[1]) < lengths[:, None]  # (N, T)
        inputs = np.full(tokens.shape, self.pad_id, np.int64)
        inputs[:, 0] = self.eos_id
        np.copyto(inputs[:, 1:], tokens[:, :-1], where=inside[:, 1:])
        targets = np.where(inside, tokens, NO_TARGET)
        if self._tags is not None:
            # The input begins with <eos>, so that a tag stands where its token is read, one place later.
            tags = self._tags.gather(spans[:, 0], tokens.shape[1])  # (N, T)
            targets[:, 0] = NO_TARGET
            targets[:, 1:] = np.where(inside[:, 1:], tags[:, :-1], NO_TARGET)
        sources, source_lengths = self._sources(spans[:, 2])
        return Batch(
            inputs=inputs,
            targets=targets,
            lengths=lengths,
            fresh=True,
            num_tokens=int((targets >= 0).sum()),
            labels=None if self.part.labels is None else self.part.labels[spans[:, 2]],
            sources=sources,
            source_lengths=source_lengths,
        )

    def _sources(self, records: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Of pairs the sources of the records (N, S), with <eos>, and their lengths (N,)."""
        if self._source_offsets is None:
            return None, None
        assert self.part.source is not None
        return padded(self.part.source, self._source_offsets.gather(records, 2), self.pad_id)


def take_records(part: Part, rows: np.ndarray) -> Part:
    """Some records of a part by their numbers (R,), in that order and in memory; pairs with their sources."""
    assert part.offsets is not None
    spans = [part.offsets[row : row + 2].tolist() for row in rows]
    tokens = [part.tokens.read(start, stop) for start, stop in spans]
    lengths = np.array([0, *map(len, tokens)], np.int64)
    source = None if part.source is None else take_records(part.source, rows)
    store = MemoryStore(np.concatenate([np.zeros(0, part.tokens.dtype), *tokens]))
    return Part(store, np.cumsum(lengths), num_chars=0, num_bytes=0, source=source)


def padded(part: Part, spans: np.ndarray, pad_id: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Records of a part by where they begin and end (N, 2): their tokens (N, T) int64, padded, and lengths (N,)."""
    lengths = (spans[:, 1] - spans[:, 0]).astype(np.int64)
    tokens = part.tokens.gather(spans[:, 0], int(lengths.max())).astype(np.int64)
    return np.where(np.arange(tokens.shape[1]) < lengths[:, None], tokens, pad_id), lengths
