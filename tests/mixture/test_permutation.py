import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from glotmix.mixture.samplers.permutation import SORTED, hashed, key_of, permuted, shuffled


@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
@settings(max_examples=40)
def test_every_key_permutes_every_domain(size, key):
    image = permuted(np.arange(size), size, np.array([key], dtype=np.uint64))
    np.testing.assert_array_equal(np.sort(image), np.arange(size))


def test_domains_beyond_32_bits_stay_injective():
    size = 10**15 + 7
    image = permuted(np.arange(0, size, size // 1000), size, key_of(1))
    assert len(np.unique(image)) == len(image)
    assert image.min() >= 0
    assert image.max() < size


def test_one_position_at_a_time_is_the_same_permutation():
    keys = hashed(key_of("k"), np.arange(3))
    for size in (20, 5000):
        position, which = np.arange(60) % 20, np.arange(60) % 3
        together = permuted(position, size, keys, which)
        apart = [permuted(position[[n]], size, keys[[n % 3]])[0] for n in range(60)]
        np.testing.assert_array_equal(together, apart)


def test_images_and_neighbours_are_uniform_over_keys():
    """Chi-square over 20,000 keys on both sides of SORTED; a rotation by the key fails the second at p = 0."""
    for size in (5, SORTED + 1):
        keys = hashed(key_of("uniform", size), np.arange(20_000))
        first = permuted(np.zeros(20_000, int), size, keys, np.arange(20_000))
        second = permuted(np.ones(20_000, int), size, keys, np.arange(20_000))
        assert chisquare(np.bincount(first, minlength=size)).pvalue > 1e-4
        assert chisquare(np.bincount((second - first) % size, minlength=size)[1:]).pvalue > 1e-4


def test_large_permutations_look_random():
    """Serial correlation, fixed points and inversions of one permutation of 50,000 (identity: 1, 50,000 and 0)."""
    n = 50_000
    for key in range(5):
        image = permuted(np.arange(n), n, key_of(key))
        correlation = np.corrcoef(image[:-1], image[1:])[0, 1]
        assert abs(correlation) < 5 / np.sqrt(n)
        assert np.count_nonzero(image == np.arange(n)) < 8  # Poisson(1)
        rises = np.count_nonzero(np.diff(image) > 0)
        assert abs(rises - n / 2) < 5 * np.sqrt(n / 12)


def test_shuffled_is_a_uniform_permutation():
    orders = shuffled(hashed(key_of("s"), np.arange(6000)), 6)
    assert (np.sort(orders, axis=1) == np.arange(6)).all()
    for column in orders.T:
        assert chisquare(np.bincount(column, minlength=6)).pvalue > 1e-4


def test_keys_tell_parts_apart_and_never_change():
    assert key_of(1, "a") != key_of("1a")
    assert key_of(0, "block") != key_of(0, "sequence")
    assert int(key_of(0, "block")[0]) == 0xDBE0546E42836B75


def test_the_order_is_pinned():
    """An order that changes between versions would break every resumed run."""
    assert permuted(np.arange(8), 5000, key_of("pinned")).tolist() == [3122, 2067, 1430, 2083, 3824, 1881, 3206, 3163]
    assert shuffled(key_of("pinned"), 8)[0].tolist() == [5, 2, 7, 0, 3, 6, 1, 4]
