import numpy as np
import pytest

from sonho.decoding.products import WEIGHTS_PER_BLOCK, RowProduct

RNG = np.random.default_rng(0)


def random(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("rows", "inputs"), [(1, 1), (5, 3), (84, 128), (509, 131), (3, WEIGHTS_PER_BLOCK + 9)])
def test_row_products_are_matrix_products(rows, inputs):
    weight, vectors = random(rows, inputs), random(4, inputs)
    expected = vectors.astype(np.float64) @ weight.T.astype(np.float64)
    np.testing.assert_allclose(RowProduct(weight)(vectors), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("rows", "inputs"), [(5, 3), (28, 7), (84, 128), (509, 131), (1024, 256)])
def test_a_row_has_the_same_bits_alone_and_among_others(rows, inputs):
    product, vectors = RowProduct(random(rows, inputs)), random(9, inputs)
    together = product(vectors)
    for row in range(9):
        np.testing.assert_array_equal(product(vectors[row : row + 1]), together[row : row + 1])
        np.testing.assert_array_equal(product(vectors[row:]), together[row:])
