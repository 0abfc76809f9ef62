"""Moments of a run that others may listen to, and the listeners that write its record.

A callback overrides the moments it cares for. It may read the trainer, never change it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from sonho.errors import StorageError

if TYPE_CHECKING:
    from sonho.training.trainer import Trainer


class Callback:
    """The moments, in the order in which a run meets them."""

    def on_start(self, trainer: Trainer) -> None:
        """Before the first step, or the first after a resume."""

    def on_step(self, trainer: Trainer, loss: float) -> None:
        """After every optimiser step; `loss` is its nats per token."""

    def on_log(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        """A line for metrics.jsonl."""

    def on_sample(self, trainer: Trainer, sample: dict[str, Any]) -> None:
        """A text drawn from the averaged weights."""

    def on_message(self, trainer: Trainer, text: str) -> None:
        """Something that a person should know, such as a warning."""

    def on_checkpoint(self, trainer: Trainer) -> None:
        """Just before a checkpoint is written: what was heard so far must be on the disk."""

    def on_end(self, trainer: Trainer) -> None:
        """After the last step, or when the run was stopped."""


class JsonLines:
    """A file of JSON lines that can be cut back to where a checkpoint saw it."""

    def __init__(self, path: Path, position: int = 0) -> None:
        """Open `path` and drop everything after byte `position`. Raises StorageError."""
        self.path = path
        try:
            self._file: TextIO = open(path, "a", encoding="utf-8")  # noqa: SIM115 - lives as long as the run
            self._file.truncate(position)
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror or error}") from None

    def write(self, record: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(record, ensure_ascii=True) + "\n")
            self._file.flush()
        except OSError as error:
            raise StorageError(f"cannot write {self.path}: {error.strerror or error}") from None

    def sync(self) -> int:
        """Put everything on the disk and say how many bytes that is."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            return os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise StorageError(f"cannot write {self.path}: {error.strerror or error}") from None

    def close(self) -> None:
        self._file.close()


class RunRecord(Callback):
    """Writes metrics.jsonl and samples.jsonl of a run folder."""

    def __init__(self, folder: Path, positions: dict[str, int] | None = None) -> None:
        positions = positions or {}
        self.files = {
            name: JsonLines(folder / f"{name}.jsonl", positions.get(name, 0)) for name in ("metrics", "samples")
        }

    def on_log(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        self.files["metrics"].write(metrics)

    def on_sample(self, trainer: Trainer, sample: dict[str, Any]) -> None:
        self.files["samples"].write(sample)

    def positions(self) -> dict[str, int]:
        """Bytes of each file that are safely on the disk."""
        return {name: file.sync() for name, file in self.files.items()}

    def on_end(self, trainer: Trainer) -> None:
        for file in self.files.values():
            file.sync()
            file.close()


class TensorBoard(Callback):
    """Writes the numbers of metrics.jsonl as TensorBoard events as well."""

    def __init__(self, folder: Path) -> None:
        from tensorboardX import SummaryWriter

        self.writer = SummaryWriter(str(folder / "tensorboard"))

    def on_log(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        for name, value in metrics.items():
            if name != "step" and isinstance(value, int | float):
                self.writer.add_scalar(name, value, metrics["step"])

    def on_end(self, trainer: Trainer) -> None:
        self.writer.close()
