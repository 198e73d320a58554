"""One law, one target: bounded robust least squares on the log of the loss, from many starts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from glotmix.laws.law import Inputs, Law, Problem

ROBUST_SCALE = 0.02
"""Residuals of log L beyond about this size count linearly (soft_l1), not squared: runs that went wrong do not rule."""

EDGE = 1e-6
"""How far inside its bounds, relative to their width or one, a start is moved."""


@dataclass(frozen=True)
class Solution:
    """Where the least squares ended."""

    theta_P: np.ndarray
    """Parameters of the best start."""
    cost: float
    """Half the robust sum of squares in units of ``ROBUST_SCALE``, prior included."""
    status: str
    """"converged", or what went wrong."""
    residual_R: np.ndarray
    """log of measured over predicted loss."""
    agreeing: float
    """Share of the starts that ended within 1 % of the best cost."""


def solve(
    law: Law,
    problem: Problem,
    inputs: Inputs,
    loss_R: np.ndarray,
    weight_R: np.ndarray,
    start_SP: np.ndarray,
    max_evaluations: int = 400,
) -> Solution:
    """Minimise ``Σ_r ρ(√weight_r (log L̂_r - log L_r) / ROBUST_SCALE)`` plus the law's prior, ρ = soft_l1.

    Trust-region reflective with the exact Jacobian and ``x_scale="jac"``; every start is run, the least cost wins.
    """
    low_P, high_P = law.bounds(problem)
    root_R = np.sqrt(weight_R) / ROBUST_SCALE
    log_R = np.log(loss_R)
    tiny = 1e-12

    def residuals(theta_P: np.ndarray) -> np.ndarray:
        predicted_R = np.maximum(law.predict(problem, theta_P, inputs), tiny)
        residual = root_R * (np.log(predicted_R) - log_R)
        known = law.prior(problem, theta_P)
        return residual if known is None else np.concatenate([residual, known[0]])

    def jacobian(theta_P: np.ndarray) -> np.ndarray:
        at = law.evaluate(problem, theta_P, inputs)
        rows = (root_R / np.maximum(at.loss_R, tiny))[:, None] * at.theta_RP
        known = law.prior(problem, theta_P)
        return rows if known is None else np.vstack([rows, known[1]])

    best, costs = None, []
    for start_P in start_SP:
        try:
            found = least_squares(
                residuals,
                _inside(start_P, low_P, high_P),
                jacobian,
                bounds=(low_P, high_P),
                loss="soft_l1",
                x_scale="jac",
                max_nfev=max_evaluations,
            )
        except (ValueError, np.linalg.LinAlgError):  # residuals not finite at this start: another start may do
            continue
        costs.append(found.cost)
        if best is None or found.cost < best.cost:
            best = found
    if best is None:
        empty = np.full(len(loss_R), np.nan)
        return Solution(np.full(len(low_P), np.nan), np.inf, "no start gave finite losses", empty, 0.0)
    status = "converged" if best.status > 0 else f"not converged after {max_evaluations} evaluations"
    predicted_R = law.predict(problem, best.x, inputs)
    agreeing = float(np.mean(np.array(costs) <= best.cost * 1.01 + 1e-9))
    return Solution(best.x, float(best.cost), status, log_R - np.log(np.maximum(predicted_R, tiny)), agreeing)


def _inside(theta_P: np.ndarray, low_P: np.ndarray, high_P: np.ndarray) -> np.ndarray:
    width = np.where(np.isfinite(high_P - low_P), high_P - low_P, 1.0)
    margin = np.minimum(EDGE, 0.25) * np.minimum(width, 1.0)
    return np.clip(theta_P, low_P + margin, high_P - margin)
