"""Seeded permutations that need no memory: any position of a shuffled order is computed when it is asked for."""

from __future__ import annotations

import hashlib
import math

import numpy as np

_ROUNDS = 6


def derive_key(*parts: int | str) -> int:
    """A 64-bit key from numbers and words, the same on every machine."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def permuted(positions: np.ndarray, count: int, key: int) -> np.ndarray:
    """What stands at `positions` (int64, each < count) of the shuffled order of 0..count-1.

    A Feistel network over pairs (high, low) of digits with base about sqrt(count): shuffling the
    333 million windows of a 1 GB text costs nothing beforehand. Values that fall outside 0..count-1,
    a few in sqrt(count), go round again.

    >>> sorted(permuted(np.arange(5), 5, key=7).tolist())
    [0, 1, 2, 3, 4]
    """
    base = math.isqrt(max(count - 1, 0)) + 1  # base * base >= count
    high_base = max(-(-count // base), 1)
    values = _rounds(positions.astype(np.uint64), base, high_base, key)
    while (outside := values >= count).any():
        values[outside] = _rounds(values[outside], base, high_base, key)
    return values.astype(np.int64)


def _rounds(values: np.ndarray, base: int, high_base: int, key: int) -> np.ndarray:
    high, low = np.divmod(values, np.uint64(base))
    for number in range(_ROUNDS):
        salt = (key + 0x9E3779B97F4A7C15 * (number + 1)) & 0xFFFFFFFFFFFFFFFF
        if number % 2:
            low = (low + _mix(high, salt) % np.uint64(base)) % np.uint64(base)
        else:
            high = (high + _mix(low, salt) % np.uint64(high_base)) % np.uint64(high_base)
    return np.asarray(high * np.uint64(base) + low)


def _mix(values: np.ndarray, salt: int) -> np.ndarray:
    """The finaliser of splitmix64: every input bit reaches every output bit. Wraps at 64 bits."""
    mixed = values ^ np.uint64(salt)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))
