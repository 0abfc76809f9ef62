"""Vectors that stand beside records: one row of a .npy file each. Knows arrays, not what they mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sonho.errors import DataError, InputNotFoundError


def read_vectors(path: str | Path) -> np.ndarray:
    """The rows (R, F) of a .npy file, as numbers, mapped from the disk.

    An array of one dimension is one column. Raises InputNotFoundError, or DataError for what is no such array.
    """
    path = Path(path)
    if not path.is_file():
        raise InputNotFoundError(f"no such file of vectors: {path}")
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise DataError(f"{path} is not an array; write one with numpy.save") from None
    if not isinstance(rows, np.ndarray) or rows.ndim not in (1, 2) or rows.dtype.kind not in "fiub" or not rows.size:
        shown = f"{rows.dtype} {rows.shape}" if isinstance(rows, np.ndarray) else "several arrays"
        raise DataError(f"{path} holds {shown}; rows of numbers are wanted, one for each record")
    return rows[:, None] if rows.ndim == 1 else rows


def check_count(path: str | Path, rows: int, records: int) -> None:
    """Raise DataError unless there is a row for each record."""
    if rows != records:
        raise DataError(f"{path} has {rows:,} rows, but {records:,} records were read; each needs one row, in order")
