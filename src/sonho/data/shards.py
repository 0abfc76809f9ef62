"""Token ids in files: written durably a shard at a time, read in place. Knows ids and files, not text."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import sys
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sonho.data import parts
from sonho.errors import DataError, StorageError

MAX_OPEN_FILES = 128


@dataclass(frozen=True)
class Shard:
    """One file of a split: its name in the folder, how many items it holds, and its SHA-256."""

    name: str
    count: int
    sha256: str


def shards_digest(shards: Sequence[Shard]) -> str:
    whole = hashlib.sha256()
    for shard in shards:
        whole.update(bytes.fromhex(shard.sha256))
    return whole.hexdigest()


class ShardWriter:
    """Appends arrays to `{name}-00000.bin`, `{name}-00001.bin`, ... of 64 MB each, or to one file.

    A shard gets its name only when it is complete and on the disk. Raises StorageError.
    """

    def __init__(self, folder: Path, name: str, dtype: np.dtype, *, one_file: bool = False) -> None:
        self.folder, self.name, self.dtype = folder, name, dtype.newbyteorder("<")
        self.shards: list[Shard] = []
        self._room = sys.maxsize if one_file else parts.PIECE_BYTES // dtype.itemsize
        self._begin()

    def append(self, items: np.ndarray) -> None:
        items = np.ascontiguousarray(items, dtype=self.dtype)
        while len(items):
            room = self._room - self._count
            self._write(items[:room])
            items = items[room:]
            if self._count == self._room:
                self._commit()
                self._begin()

    def finish(self) -> list[Shard]:
        if self._count or not self.shards:
            self._commit()
        self.abandon()
        return self.shards

    def abandon(self) -> None:
        """Leave nothing half-written behind."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    def _begin(self) -> None:
        self._temporary = self.folder / f"{self.name}.tmp"
        self._count = 0
        self._sha256 = hashlib.sha256()
        with self._disk_errors():
            self._file = self._temporary.open("wb", buffering=0)

    def _write(self, items: np.ndarray) -> None:
        data = items.view(np.uint8).data
        with self._disk_errors():
            while len(data):
                data = data[self._file.write(data) :]
        self._sha256.update(items.data)
        self._count += len(items)

    def _commit(self) -> None:
        shard = Shard(f"{self.name}-{len(self.shards):05d}.bin", self._count, self._sha256.hexdigest())
        with self._disk_errors():
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._temporary, self.folder / shard.name)
            sync_folder(self.folder)
        self.shards.append(shard)

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(f"cannot write shards to {self.folder}: {error.strerror or error}") from None


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class ShardStore:
    """Ids in shards, read with positioned reads.

    Mapped pages would count as this process's memory, a whole epoch of them; what is read
    here stays in the system's page cache instead.
    """

    def __init__(self, folder: Path, shards: Sequence[Shard], dtype: np.dtype) -> None:
        self.folder, self.shards = folder, list(shards)
        self.dtype = dtype
        self.digest = shards_digest(shards)
        self._ends = np.cumsum([shard.count for shard in shards], dtype=np.int64)
        self._handles: dict[int, int] = {}
        weakref.finalize(self, _close_all, self._handles)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def read(self, start: int, stop: int) -> np.ndarray:
        stop = min(stop, len(self))
        pieces = []
        while start < stop:
            shard = int(np.searchsorted(self._ends, start, side="right"))
            end = min(stop, int(self._ends[shard]))
            first = int(self._ends[shard]) - self.shards[shard].count
            pieces.append(self._read_shard(shard, start - first, end - start))
            start = end
        return pieces[0] if len(pieces) == 1 else np.concatenate([np.zeros(0, self.dtype), *pieces])

    def gather(self, starts: np.ndarray, length: int) -> np.ndarray:
        rows = np.zeros((len(starts), length), self.dtype)
        for row, start in zip(rows, starts.tolist(), strict=True):
            tokens = self.read(start, start + length)
            row[: len(tokens)] = tokens
        return rows

    def _read_shard(self, shard: int, start: int, count: int) -> np.ndarray:
        width = self.dtype.itemsize
        data = _read_at(self._handle(shard), count * width, start * width)
        if len(data) < count * width:
            raise DataError(f"{self.folder / self.shards[shard].name} is too short; prepare the data again")
        return np.frombuffer(data, self.dtype)

    def _handle(self, shard: int) -> int:
        if shard not in self._handles:
            if len(self._handles) >= MAX_OPEN_FILES:
                os.close(self._handles.pop(next(iter(self._handles))))
            path = self.folder / self.shards[shard].name
            try:
                self._handles[shard] = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            except OSError as error:
                raise DataError(f"cannot read {path}: {error.strerror}; prepare the data again") from None
        return self._handles[shard]


def map_offsets(path: Path, count: int) -> np.ndarray:
    """The (count,) int64 offsets of a prepared split, mapped; see `release`."""
    return np.memmap(path, np.dtype("<i8"), mode="r", shape=(count,))


def release(offsets: np.ndarray | None) -> None:
    """Give back the mapped pages read so far, which would count as this process's memory; they can be read again."""
    mapping = getattr(offsets, "_mmap", None)
    if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)


def _read_at(handle: int, size: int, offset: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(handle, size, offset)
    os.lseek(handle, offset, os.SEEK_SET)
    return os.read(handle, size)


def _close_all(handles: dict[int, int]) -> None:
    for handle in handles.values():
        os.close(handle)
