"""Runs by phase: what each phase weighs under a learning rate that decays."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.integrate import quad

from glotmix.mixture.mixture import Mixture
from glotmix.mixture.phases import Course, Phases
from glotmix.mixture.schedule import Schedule, Stage

LENGTHS, RATES = np.array([[0.3, 0.5, 0.2]]), np.array([[2.0, 1.0, 0.2]])
PHASES = Phases(np.array([[[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]]), LENGTHS, RATES)


@pytest.mark.parametrize("late", [-9.0, -1.0, -1e-6, 0.0, 1e-5, 0.7, 12.0])
def test_weights_are_integrals_over_the_cumulative_learning_rate(late: float) -> None:
    ends, done = np.append(0.0, np.cumsum(LENGTHS[0])), np.append(0.0, np.cumsum((LENGTHS * RATES)[0]))

    def kernel(s: float) -> float:
        return float(np.exp(late * np.interp(s, ends, done / done[-1])))

    parts = np.array([quad(kernel, a, b)[0] for a, b in itertools.pairwise(ends)])
    weight_RK, slope_RK = PHASES.weights(late)
    np.testing.assert_allclose(weight_RK[0], parts / parts.sum(), rtol=1e-9)
    up, down = (PHASES.weights(late + step)[0] for step in (1e-5, -1e-5))
    np.testing.assert_allclose(slope_RK, (up - down) / 2e-5, rtol=1e-5, atol=1e-9)


def test_late_text_counts_more_where_lambda_is_positive_and_all_alike_where_it_is_zero() -> None:
    np.testing.assert_allclose(PHASES.weights(0.0)[0], LENGTHS, rtol=1e-12)
    density = [PHASES.weights(late)[0] / LENGTHS for late in (2.0, -2.0)]
    assert (np.diff(density[0]) > 0).all()
    assert (np.diff(density[1]) < 0).all()


def test_a_run_without_a_phase_is_a_run_without_it() -> None:
    """A phase of length zero neither weighs nor moves the others."""
    padded = Phases(np.array([[[0.2, 0.8], [0.6, 0.4], [0.6, 0.4]]]), np.array([[0.7, 0.3, 0.0]]), np.ones((1, 3)))
    plain = Phases(padded.p_RKL[:, :2], padded.length_RK[:, :2], padded.rate_RK[:, :2])
    for late in (-3.0, 0.0, 5.0):
        np.testing.assert_allclose(padded.weights(late)[0][:, :2], plain.weights(late)[0], rtol=1e-12)
        assert padded.weights(late)[0][0, 2] == 0
    assert padded.schedule(0, ("a", "b")) == plain.schedule(0, ("a", "b"))


def test_a_course_that_is_cut_elsewhere_has_the_same_learning_rate() -> None:
    course = Course(LENGTHS[0], RATES[0]).cut([0.5, 0.9])
    np.testing.assert_allclose(course.length_K, [0.5, 0.4, 0.1])
    np.testing.assert_allclose(course.rate_K, [(0.3 * 2 + 0.2) / 0.5, (0.3 + 0.1 * 0.2) / 0.4, 0.2])
    assert course.ends == pytest.approx((0.5, 0.9))


def test_schedules_and_shares_of_a_run_are_each_other() -> None:
    course = Course(np.array([0.75, 0.25]), np.ones(2))
    schedule = Schedule((Stage(0.0, Mixture({"a": 0.25, "b": 0.75})), Stage(0.75, Mixture({"a": 1.0, "b": 0.0}))))
    x_X = course.of_schedule(schedule, ("a", "b"))
    np.testing.assert_allclose(x_X, [0.1875, 0.5625, 0.25, 0.0])
    assert course.schedule(x_X, ("a", "b")) == schedule
    np.testing.assert_allclose(
        course.of_schedule(Schedule.constant(Mixture({"b": 1.0})), ("a", "b")), [0, 0.75, 0, 0.25]
    )
