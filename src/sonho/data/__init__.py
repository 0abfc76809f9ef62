"""Files to integer arrays: sources, splits, tokens in memory or in shards, batches.

Needs NumPy only; Parquet and Zstandard load their libraries when such a file is read.
"""

from sonho.data.batches import Batch, Batches, make_batches
from sonho.data.corpus import Corpus, Part, build_corpus, encode_for_evaluation, encode_text
from sonho.data.prepare import load_prepared, prepare
from sonho.data.sources import expand, iter_records, iter_text

__all__ = [
    "Batch",
    "Batches",
    "Corpus",
    "Part",
    "build_corpus",
    "encode_for_evaluation",
    "encode_text",
    "expand",
    "iter_records",
    "iter_text",
    "load_prepared",
    "make_batches",
    "prepare",
]
