"""Projections on the allowed mixtures, at the ends of what floats hold."""

from __future__ import annotations

import numpy as np
import pytest

from glotmix.optimize import projection

NO_ROWS = (np.zeros((0, 3)), np.zeros(0), np.zeros(0))


@pytest.mark.parametrize("seed", range(20))
def test_shares_sum_to_one_however_far_the_weights_lie_apart(seed: int) -> None:
    """Weights from 1e-305 to 1e5 and none, as a step of mirror descent makes them where nothing limits it."""
    rng = np.random.default_rng(seed)
    for _ in range(50):
        weight_L = 10.0 ** rng.uniform(-305, 5, 3) * (rng.random(3) < 0.8)
        ceiling_L = np.where(rng.random(3) < 0.5, 1.0, rng.uniform(0.3, 1.0, 3))
        ceiling_L[rng.integers(3)] = 1.0
        p_L = projection.proportional(weight_L, np.zeros(3), ceiling_L, *NO_ROWS)
        assert abs(p_L.sum() - 1) <= 1e-12, weight_L
        assert (p_L <= ceiling_L).all()


def test_a_group_keeps_its_limits_however_far_the_weights_lie_apart() -> None:
    rng = np.random.default_rng(0)
    rows_GL = np.array([[1.0, 1.0, 0.0]])
    for _ in range(300):
        weight_L = 10.0 ** rng.uniform(-305, 5, 3) * (rng.random(3) < 0.8)
        p_L = projection.proportional(weight_L, np.zeros(3), np.ones(3), rows_GL, np.array([0.2]), np.array([0.5]))
        assert abs(p_L.sum() - 1) <= 1e-9, weight_L
        assert 0.2 - 1e-9 <= p_L[:2].sum() <= 0.5 + 1e-9
