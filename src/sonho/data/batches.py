"""The choice between the ways to cut tokens into batches."""

from __future__ import annotations

from sonho.config import DataConfig
from sonho.data.batch import Batch, Batches
from sonho.data.parts import Part
from sonho.data.records import RecordBatches
from sonho.data.splits import data_kind
from sonho.data.stream import StreamBatches
from sonho.data.windows import WindowBatches
from sonho.errors import UsageError
from sonho.text.tokenizer import Tokenizer

__all__ = ["Batch", "Batches", "RecordBatches", "StreamBatches", "WindowBatches", "make_batches"]


def make_batches(part: Part, tokenizer: Tokenizer, config: DataConfig, seed: int) -> Batches:
    """The batches of a split, as its settings ask; what a small text cannot give stands in their `notes`."""
    kind = data_kind(config)
    if (kind == "records") != (part.offsets is not None):
        has = "one long text" if part.offsets is None else "records"
        raise UsageError(f"data.kind={kind} does not fit data that was read as {has}; read it again or change the kind")
    if kind == "records":
        return RecordBatches(part, config.batch_size, seed, tokenizer.eos_id, tokenizer.pad_id)
    if kind == "windows":
        return WindowBatches(part, config.batch_size, config.window, config.stride, config.objective, seed)
    return StreamBatches(part, config.batch_size, config.bptt, seed)
