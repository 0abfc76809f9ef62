import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sonho.data.shuffle import derive_key, permuted


@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
def test_every_number_stands_at_exactly_one_place(count, key):
    assert sorted(permuted(np.arange(count), count, key).tolist()) == list(range(count))


def test_a_place_does_not_depend_on_the_others_asked_for():
    whole = permuted(np.arange(1000), 1000, key=3)
    np.testing.assert_array_equal(permuted(np.array([7, 999, 0]), 1000, key=3), whole[[7, 999, 0]])


def test_keys_give_unlike_orders():
    orders = np.array([permuted(np.arange(500), 500, derive_key("a", epoch)) for epoch in range(20)])
    same = (orders[:, None] == orders[None, :]).mean(axis=2)  # (20, 20)
    assert same[~np.eye(20, dtype=bool)].max() < 0.03


def test_an_order_keeps_no_trace_of_the_one_before():
    order = permuted(np.arange(100_000), 100_000, key=1)
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.02
    assert abs(np.corrcoef(order, np.arange(100_000))[0, 1]) < 0.02
    assert (np.diff(order) == 1).sum() < 10


def test_a_place_of_a_huge_order_costs_nothing():
    places = permuted(np.arange(5), 10**15, key=1)
    assert len(set(places.tolist())) == 5
    assert places.max() > 10**12


def test_keys_are_the_same_on_every_machine():
    assert derive_key("records", 0, 1) == 6571294557219279901
