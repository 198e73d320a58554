"""Resampled fits: how far the parameters could have come out otherwise."""

from __future__ import annotations

import numpy as np

from glotmix.fit.solve import Solution, solve
from glotmix.laws.law import Inputs, Law, Problem

TOLERANCE = 1e-4
"""Resampled fits stop when a step lowers the cost by less than this, relatively: far below their own spread."""


def resample(
    law: Law,
    problem: Problem,
    inputs: Inputs,
    weight_R: np.ndarray,
    found: Solution,
    B: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Parameters [B, P] refitted to ``L̂ exp(resampled residuals)``, each from the fitted point.

    The runs stay as they were planned and only their residuals are drawn anew: a design of a few coalitions has no
    runs to spare, and drawing runs would often lose the only one that tells a parameter. Each residual is first
    divided by ``√(1 - leverage)``, because the fit has made it that much smaller than the noise is. The means of the
    priors are drawn anew as well: a parameter that the runs do not tell then varies as widely as its prior allows
    (randomise, then optimise; Bardsley et al. 2014).
    """
    R, P = len(found.residual_R), len(found.theta_P)
    known = law.prior(problem, found.theta_P)
    K = 0 if known is None else len(known[0])
    fitted_R = law.predict(problem, found.theta_P, inputs)
    widened_R = found.residual_R * np.sqrt(weight_R) / np.sqrt(np.maximum(1 - found.leverage_R, 0.05))
    pool_R = widened_R - widened_R.mean()
    theta_BP = np.empty((B, P))
    for b in range(B):
        drawn_R = rng.choice(pool_R, R) / np.sqrt(weight_R)
        shift_K = rng.normal(size=K) if K else None
        loss_R = fitted_R * np.exp(drawn_R)
        again = solve(law, problem, inputs, loss_R, weight_R, found.theta_P[None], 30, TOLERANCE, shift_K)
        theta_BP[b] = again.theta_P if np.isfinite(again.cost) else found.theta_P
    return theta_BP
