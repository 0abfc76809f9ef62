"""Products of a weight matrix with a few vectors, each row as if it were alone.

A library multiply of a whole batch rounds differently for different batch sizes, and a large one
wakes threads that cost more than they bring. Here each row is its own matrix-vector product, cut
into blocks that are too small for the library to thread: the numbers of a row depend neither on
the other rows nor on the number of processors.
"""

from __future__ import annotations

import numpy as np

from sonho.decoding.state import Array

# Older OpenBLAS threads a matrix-vector product from 9216 weights on.
WEIGHTS_PER_BLOCK = 8192


class RowProduct:
    """`RowProduct(weight)(vectors)`: (M, K) and (N, K) to (N, M), float32.

    >>> RowProduct(np.array([[1, 2], [3, 4], [5, 6]], np.float32))(np.array([[1, 10]], np.float32)).tolist()
    [[21.0, 43.0, 65.0]]
    """

    def __init__(self, weight: Array) -> None:
        self._rows, inputs = weight.shape
        height = min(self._rows, max(1, WEIGHTS_PER_BLOCK // inputs))
        blocks = -(-self._rows // height)
        self._padded = blocks * height
        padded = np.zeros((self._padded, inputs), dtype=np.float32)
        padded[: self._rows] = weight
        self._blocks = padded.reshape(blocks, height, inputs)

    def __call__(self, vectors: Array) -> Array:
        if len(vectors) == 1:  # the same products, by a shorter way through NumPy
            products = np.matmul(self._blocks, vectors[0])  # (blocks, height)
        else:
            products = np.matmul(self._blocks, vectors[:, None, :, None])  # (N, blocks, height, 1)
        flat: Array = products.reshape(len(vectors), self._padded)
        return flat if self._padded == self._rows else flat[:, : self._rows]
