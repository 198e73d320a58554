import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from glotmix.mixture.apportionment import apportion


def one(quota, total, low, high):
    return apportion(np.array([quota], float), np.array([total]), np.array([low]), np.array([high]))[0].tolist()


def test_largest_remainder_by_hand():
    # Hamilton's method on the textbook case: quotas 21.4, 10.7, 7.9 of 40 seats.
    assert one([21.4, 10.7, 7.9], 40, [0, 0, 0], [40, 40, 40]) == [21, 11, 8]


def test_ties_go_to_the_earlier_column():
    assert one([0.5, 0.5, 1.0], 2, [0, 0, 0], [9, 9, 9]) == [1, 0, 1]


def test_bounds_push_units_to_those_with_room():
    assert one([2.5, 2.5, 5.0], 10, [0, 0, 0], [2, 9, 5]) == [2, 3, 5]
    assert one([0.2, 0.8, 9.0], 10, [1, 1, 0], [9, 9, 9]) == [1, 1, 8]
    assert one([0.0, 0.0, 10.0], 10, [0, 0, 0], [9, 9, 1]) == [5, 4, 1]  # more than one round


@st.composite
def problems(draw):
    n = draw(st.integers(1, 4))
    low = draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    high = [a + draw(st.integers(0, 4)) for a in low]
    total = draw(st.integers(sum(low), sum(high)))
    weights = [draw(st.floats(0.01, 1)) for _ in range(n)]
    return [total * weight / sum(weights) for weight in weights], total, low, high


@given(problems())
@settings(max_examples=60)
def test_result_is_within_bounds_and_minimises_the_squared_error(problem):
    """Against every feasible allocation by brute force."""
    quota, total, low, high = problem
    got = one(*problem)
    assert sum(got) == total
    assert all(a <= x <= b for a, x, b in zip(low, got, high, strict=True))
    feasible = [
        x for x in itertools.product(*(range(a, b + 1) for a, b in zip(low, high, strict=True))) if sum(x) == total
    ]
    best = min(sum((np.array(x) - quota) ** 2) for x in feasible)
    assert sum((np.array(got) - quota) ** 2) <= best + 1e-9


def test_rows_are_independent():
    rng = np.random.default_rng(0)
    quota = rng.dirichlet(np.ones(5), size=50) * 100
    total, low, high = np.full(50, 100), np.zeros((50, 5), int), np.full((50, 5), 100)
    together = apportion(quota, total, low, high)
    apart = [apportion(quota[i : i + 1], total[:1], low[:1], high[:1])[0] for i in range(50)]
    np.testing.assert_array_equal(together, apart)
