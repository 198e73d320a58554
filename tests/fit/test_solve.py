"""The solver ends where the least squares are least, also where runs push many weights down to their priors."""

from __future__ import annotations

import numpy as np
import pytest

from glotmix.fit.solve import equations, inner, levenberg_marquardt
from glotmix.laws import find_law
from glotmix.laws.law import Inputs, Problem


@pytest.mark.parametrize("L", [20, 40])
def test_what_looks_like_having_arrived_is_no_creeping(L: int) -> None:
    """Few of the languages help, and noise says of half of the others that they harm: their weights go far down. Where
    the second derivatives of their logarithms are left out, steps overshoot, damping grows, and the search ends ten
    times further from the least cost than it is told to."""
    rng = np.random.default_rng(0)
    R = 3 * L
    p_RL = rng.dirichlet(np.full(L, 0.5), R)
    w_L = np.where(rng.random(L) < 0.15, rng.uniform(0.05, 0.4, L), 0.0)
    w_L[0] = 1.0
    loss_R = (p_RL @ w_L + 1e-3) ** -0.08 * np.exp(0.01 * rng.standard_normal(R))
    law, problem = find_law("shapley_law"), Problem("l0", tuple(f"l{i}" for i in range(L)))
    inputs = Inputs(p_RL, np.full(R, np.nan), np.full(R, np.nan))
    wanted = equations(law, problem, inputs, loss_R, np.ones(R), 0.01)
    low_P, high_P = (inner(bound_P, wanted.log_P) for bound_P in law.bounds(problem))
    start_P = inner(law.starts(problem, inputs, loss_R, 1, rng)[0], wanted.log_P)

    def ended(tolerance: float, scales_P: np.ndarray | None) -> float:
        cost, converged = levenberg_marquardt(wanted, start_P, low_P, high_P, R, 1000, tolerance, scales_P=scales_P)[1:]
        assert converged
        return cost

    least = ended(1e-13, wanted.log_P)
    assert least == pytest.approx(ended(1e-13, None), abs=1e-6)  # the least cost itself is the same
    assert ended(1e-5, wanted.log_P) - least < 1e-5
    assert ended(1e-5, None) - least > 5e-5
