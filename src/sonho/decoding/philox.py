"""Random numbers by counting: Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011).

    key      seed low 32 bits, seed high 32 bits
    counter  position low, position high, stream low, stream high
    uniform  the 53 high bits of (word 0, word 1) read as one 64-bit number, times 2**-53

A draw is a pure function of (seed, stream, position), so a text does not depend on what else was
drawn, in what order or on which machine, and a twin in another language can give the same numbers.
"""

from __future__ import annotations

import numpy as np

from sonho.decoding.state import Array

MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)


def philox4x32(counter: Array, key: tuple[int, int]) -> Array:
    """Ten rounds. `counter` (4, ...) and the result (4, ...) hold 32-bit words as uint64.

    >>> [hex(word) for word in philox4x32(np.zeros(4, np.uint64), (0, 0))]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = np.asarray(counter, dtype=np.uint64)
    k0, k1 = key
    for _ in range(10):
        left, right = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0 = (right >> HALF) ^ c1 ^ np.uint64(k0)
        c2 = (left >> HALF) ^ c3 ^ np.uint64(k1)
        c1, c3 = right & LOW, left & LOW
        k0, k1 = (k0 + KEY_STEPS[0]) & 0xFFFFFFFF, (k1 + KEY_STEPS[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3])


def uniforms(seed: int, stream: int, start: int, count: int) -> Array:
    """`count` numbers in [0, 1) for the positions from `start` on. Returns (count,) float64."""
    positions = np.arange(start, start + count, dtype=np.uint64)
    streams = np.full(count, stream, dtype=np.uint64)
    counter = np.stack([positions & LOW, positions >> HALF, streams & LOW, streams >> HALF])
    words = philox4x32(counter, (seed & 0xFFFFFFFF, seed >> 32))
    bits = ((words[0] << HALF) | words[1]) >> np.uint64(11)
    numbers: Array = bits.astype(np.float64) * 2.0**-53
    return numbers
