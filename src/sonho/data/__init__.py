"""Files to integer arrays: sources, splits, tokens in memory or in shards, batches.

Needs NumPy only; Parquet and Zstandard load their libraries when such a file is read. Nothing is imported here: a
model is loaded with the names of its labels, and without all that reads texts.
"""
