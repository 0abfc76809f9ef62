"""Samples as WAV files: mono, 16 bits."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sonho.errors import StorageError


def write_wav(samples: NDArray[np.floating], rate: int, path: Path) -> None:
    """Write samples in [-1, 1], shape (L,), at `rate` a second. Raises StorageError."""
    data = np.rint(np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()
    try:
        with path.open("wb") as target, wave.open(target) as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(data)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from None
