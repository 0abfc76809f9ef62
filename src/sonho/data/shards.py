"""Token ids in files: written durably a shard at a time, read in place. Knows ids and files, not text."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sonho.data import parts
from sonho.data.parts import MemoryStore, TokenStore
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
        self.dtype = dtype.newbyteorder("<")
        self.digest = shards_digest(shards)
        self._ends = np.cumsum([shard.count for shard in shards], dtype=np.int64)
        self._firsts = [int(end) - shard.count for end, shard in zip(self._ends, shards, strict=True)]
        self._handles: dict[int, int] = {}
        weakref.finalize(self, _close_all, self._handles)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def read(self, start: int, stop: int) -> np.ndarray:
        stop = min(stop, len(self))
        pieces = [np.zeros(0, self.dtype)]
        while start < stop:
            shard = int(np.searchsorted(self._ends, start, side="right"))
            end = min(stop, int(self._ends[shard]))
            pieces.append(np.frombuffer(self._read_shard(shard, start, end), self.dtype))
            start = end
        return np.concatenate(pieces)

    def gather(self, starts: np.ndarray, length: int) -> np.ndarray:
        shards = np.searchsorted(self._ends, starts, side="right")  # (N,)
        rows = []
        for start, shard in zip(starts.tolist(), shards.tolist(), strict=True):
            if shard < len(self.shards) and start + length <= self._ends[shard]:
                rows.append(self._read_shard(shard, start, start + length))
            else:
                rows.append(self.read(start, start + length).tobytes().ljust(length * self.dtype.itemsize, b"\0"))
        return np.frombuffer(b"".join(rows), self.dtype).reshape(len(starts), length)

    def _read_shard(self, shard: int, start: int, stop: int) -> bytes:
        """Ids of one shard; the places count from the beginning of the store."""
        first = self._firsts[shard]
        width = self.dtype.itemsize
        data = _read_at(self._handle(shard), (stop - start) * width, (start - first) * width)
        if len(data) < (stop - start) * width:
            raise DataError(f"{self.folder / self.shards[shard].name} is too short; prepare the data again")
        return data

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
    """The (count,) int64 offsets of a prepared split, mapped."""
    return np.memmap(path, np.dtype("<i8"), mode="r", shape=(count,))


def store_of(offsets: np.ndarray) -> TokenStore:
    """Offsets to be read here and there: mapped ones by positioned reads, which leave no pages behind."""
    if isinstance(offsets, np.memmap) and offsets.filename is not None:
        path = Path(offsets.filename)
        return ShardStore(path.parent, [Shard(path.name, len(offsets), "")], offsets.dtype)
    return MemoryStore(offsets)


def _read_at(handle: int, size: int, offset: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(handle, size, offset)
    os.lseek(handle, offset, os.SEEK_SET)
    return os.read(handle, size)


def _close_all(handles: dict[int, int]) -> None:
    for handle in handles.values():
        os.close(handle)
