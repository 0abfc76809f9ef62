import numpy as np
import pytest

from sonho.decoding.philox import philox4x32, uniforms

ONES = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES, ONES, ONES, ONES), (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_known_answers(counter, key, expected):
    assert philox4x32(np.array(counter, np.uint64), key).tolist() == list(expected)


def test_many_counters_at_once_give_what_each_gives_alone():
    counters = np.random.default_rng(0).integers(0, 2**32, (4, 5), dtype=np.uint64)
    together = philox4x32(counters, (3, 4))
    for column in range(5):
        assert together[:, column].tolist() == philox4x32(counters[:, column], (3, 4)).tolist()


def test_a_uniform_is_the_high_53_bits_of_the_first_two_words():
    seed, stream, position = 2**40 + 5, 2**33 + 6, 2**34 + 7
    counter = np.array([7, 4, 6, 2], np.uint64)
    high, low = philox4x32(counter, (5, 256)).tolist()[:2]
    assert uniforms(seed, stream, position, 1).tolist() == [((high << 32 | low) >> 11) / 2**53]


def test_uniforms_do_not_depend_on_where_a_block_begins():
    whole = uniforms(9, 1, 0, 50)
    np.testing.assert_array_equal(whole[13:], uniforms(9, 1, 13, 37))


def test_uniforms_fill_the_unit_interval_evenly():
    numbers = uniforms(123, 0, 0, 20_000)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts, _ = np.histogram(numbers, bins=10, range=(0, 1))
    assert (abs(counts - 2000) < 200).all()


def test_seeds_and_streams_give_different_numbers():
    rows = [uniforms(seed, stream, 0, 4).tolist() for seed in (0, 1, 2**32, 2**63 - 1) for stream in (0, 1)]
    assert len({tuple(row) for row in rows}) == len(rows)
