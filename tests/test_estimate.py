"""Intervals are those of scipy's own tests, and what they say in words follows from their ends alone."""

import math

import numpy as np
import pytest
from scipy import stats

from glotmix.estimate import (
    Estimate,
    PairedLayout,
    half_width,
    holm,
    over_repeats,
    pooled,
    pooled_means,
    student,
    unpaired,
    verdict,
)


def test_the_interval_of_a_mean_is_scipys():
    values = [1.0, 2.0, 4.0, 3.5]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    found = over_repeats(values)
    assert (found.value, found.low, found.high) == pytest.approx((np.mean(values), low, high))


def test_one_repeat_and_what_is_not_finite_have_no_interval():
    assert over_repeats([3.0]) == Estimate(3.0)
    assert over_repeats([3.0, math.inf]).low is None
    assert math.isnan(student(0))


def test_an_interval_ends_where_the_possible_ends():
    found = over_repeats([0.9, 1.0], within=(0, 1))
    assert found.high == 1
    assert found.low < 0.9


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(0.1, 0.3, "better"), (-0.3, -0.1, "worse"), (-0.1, 0.3, "within the noise"), (None, None, "no noise known")],
)
def test_a_verdict_follows_from_the_ends_of_the_interval(low, high, word):
    assert verdict(Estimate(0.1, low, high)) == word


def test_a_layout_of_two_treatments_is_the_paired_test():
    value_MS = np.random.default_rng(0).normal(size=(2, 6)) + np.arange(6)
    paired = stats.ttest_rel(*value_MS)
    layout = PairedLayout(value_MS)
    found, low, high = layout.difference(0, 1), *paired.confidence_interval()
    assert (found.low, found.high) == pytest.approx((low, high))
    assert layout.p_value(0, 1) == pytest.approx(paired.pvalue)
    assert PairedLayout(value_MS[:, :1]).difference(0, 1).low is None
    assert math.isnan(PairedLayout(value_MS[:, :1]).p_value(0, 1))


def test_what_a_seed_does_to_all_treatments_is_no_noise():
    rng = np.random.default_rng(1)
    value_MS = rng.normal(size=(4, 5))
    shifted = PairedLayout(value_MS + 100 * rng.normal(size=5)).difference(0, 1)
    plain = PairedLayout(value_MS).difference(0, 1)
    assert shifted.high - shifted.low == pytest.approx(plain.high - plain.low)


def test_pooled_deviation_by_hand():
    deviation, freedom = pooled([(1.0, 3.0), (2.0, 2.0, 5.0), (7.0,)])
    assert freedom == 3
    assert deviation == pytest.approx(math.sqrt((2 + 6) / 3))
    assert pooled([(1.0,), ()]) == (0.0, 0)


def test_holm_is_bonferroni_for_the_least_and_never_falls():
    p_P = np.array([0.01, 0.04, 0.03, 0.5])
    adjusted = holm(p_P)
    assert adjusted[0] == pytest.approx(0.04)
    assert (np.diff(adjusted[np.argsort(p_P)]) >= 0).all()
    assert adjusted.max() <= 1


def test_estimates_round_trip_through_json():
    for one in (Estimate(1.0, 0.5, 1.5), Estimate(2.0), Estimate(math.inf)):
        assert Estimate.from_json(one.to_json()) == one


@pytest.mark.parametrize("equal", [[0.667, 0.667], [0.1, 0.1, 0.1], [0.0, 0.0]])
def test_repeats_that_are_equal_tell_nothing_of_the_noise(equal):
    """Two seeds with the same accuracy: an interval from 0.667 to 0.667 would claim to know everything."""
    assert over_repeats(equal, within=(0, 1)) == Estimate(pytest.approx(equal[0]))
    assert np.isnan(half_width(np.array(equal)))
    assert pooled_means({"a": equal, "b": [x + 1 for x in equal]})["a"].low is None
    assert unpaired({"a": equal, "b": [x + 1 for x in equal]}, "a")["b"].low is None
    layout = PairedLayout(np.array([equal, [x + 1 for x in equal]]))
    assert layout.difference(0, 1) == Estimate(pytest.approx(-1))
    assert math.isnan(layout.p_value(0, 1))
    almost = [*equal[:-1], equal[-1] + 1e-9]  # a spread that is small is one
    assert over_repeats(almost).low is not None


def test_of_many_groups_one_that_repeats_equally_has_the_noise_of_all():
    found = pooled_means({"a": [1.0, 1.0], "b": [2.0, 2.2]})
    assert found["a"].high - found["a"].value == pytest.approx(student(2) * 0.1 / math.sqrt(2))
