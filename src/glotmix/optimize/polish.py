"""Polish: sequential quadratic programming from a point near the optimum; a maximum becomes an epigraph."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.optimize import minimize

from glotmix.optimize.composite import Composite

TOLERANCE = 1e-13
"""Change of the objective, scaled so that mixtures differ by about one, at which an optimum is found."""


def polish(composite: Composite, p_L: np.ndarray, *, iterations: int = 200, tolerance: float = TOLERANCE) -> np.ndarray:
    """SLSQP from ``p``; the better of where it began and where it ended, on the limits to rounding.

    A maximum over targets is written as ``min τ`` with ``τ ≥ x_t(p)``, which is smooth. For a quantile the targets
    under the maximum are chosen again until they stay the same.
    """
    best_L, best = p_L, composite.value(p_L)
    for _ in range(20):
        found_L = composite.constraints.project(_once(composite, best_L, iterations, tolerance))
        found = composite.value(found_L)
        if not found < best:
            return best_L
        gained, best_L, best = best - found, found_L, found
        if not composite.objective.peak or gained <= max(1e-12, tolerance) * abs(best):
            return best_L
    return best_L


def _once(composite: Composite, p_L: np.ndarray, iterations: int, tolerance: float) -> np.ndarray:
    constraints, peak = composite.constraints, composite.objective.peak
    L = len(p_L)
    floor_L, ceiling_L = constraints.floor_L, constraints.ceiling_L
    x_M = composite.pieces(p_L)
    within = composite.objective.subset(x_M) if peak else np.zeros(0, dtype=bool)
    slope_ML = composite.slopes(p_L)
    # SLSQP stops on absolute changes, so the objective is scaled to have differences of order one.
    scale = 1 / max(float(np.abs(slope_ML - (slope_ML @ p_L)[:, None]).max()), 1e-12)
    extra = 1 if peak else 0

    def inside(z: np.ndarray) -> np.ndarray:
        return np.asarray(np.clip(z[:L], floor_L, ceiling_L))

    def value(z: np.ndarray) -> float:
        p = inside(z)
        return float(z[L]) + scale * composite.penalty(p)[0] if peak else float(_finite(scale * composite.value(p)))

    def gradient(z: np.ndarray) -> np.ndarray:
        p = inside(z)
        if peak:
            return np.append(scale * composite.penalty(p)[1], 1.0)
        return _finite(scale * composite.gradient(p))

    rows = np.vstack([constraints.rows_GL, -constraints.rows_GL])
    bounds = np.concatenate([constraints.low_G, -constraints.high_G])
    equal_EL = np.vstack([np.ones(L), constraints.kept_KL])
    equal_E = np.append(1.0, np.zeros(len(equal_EL) - 1))
    held = [
        {
            "type": "eq",
            "fun": lambda z: equal_EL @ z[:L] - equal_E,
            "jac": lambda z: np.hstack([equal_EL, np.zeros((len(equal_EL), extra))]),
        }
    ]
    if len(rows):
        held.append(
            {
                "type": "ineq",
                "fun": lambda z: rows @ z[:L] - bounds,
                "jac": lambda z: np.hstack([rows, np.zeros((len(rows), extra))]),
            }
        )
    if peak:
        held.append(
            {
                "type": "ineq",
                "fun": lambda z: _finite(z[L] - scale * composite.pieces(inside(z))[within]),
                "jac": lambda z: np.hstack(
                    [_finite(-scale * composite.slopes(inside(z))[within]), np.ones((int(within.sum()), 1))]
                ),
            }
        )
    box = list(zip(floor_L, ceiling_L, strict=True)) + [(None, None)] * extra
    start = np.append(p_L, scale * x_M[within].max()) if peak else p_L
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a trial step out of bounds by rounding; it is clipped
        found = minimize(
            value,
            start,
            jac=gradient,
            method="SLSQP",
            bounds=box,
            constraints=held,
            options={"ftol": tolerance, "maxiter": iterations},
        )
    return inside(found.x) if np.isfinite(found.x).all() else p_L


def _finite(x: np.ndarray | float) -> np.ndarray:
    """A trial step may land where a law is infinite; a large finite number makes the line search step back."""
    return np.asarray(np.nan_to_num(x, nan=0.0, posinf=1e10, neginf=-1e10))
