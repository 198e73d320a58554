"""Resampled fits: how far the parameters could have come out otherwise."""

from __future__ import annotations

import numpy as np

from glotmix.fit.solve import Solution, equations, resolve
from glotmix.laws.law import Inputs, Law, Problem


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
    known = law.prior(problem, found.theta_P)
    widened_R = found.residual_R * np.sqrt(weight_R) / np.sqrt(np.maximum(1 - found.leverage_R, 0.05))
    drawn_BR = rng.choice(widened_R - widened_R.mean(), (B, len(widened_R))) / np.sqrt(weight_R)
    shift_BK = None if known is None else rng.normal(size=(B, len(known[0])))
    fitted_R = law.predict(problem, found.theta_P, inputs)
    return resolve(equations(law, problem, inputs, fitted_R, weight_R), found, drawn_BR, shift_BK)
