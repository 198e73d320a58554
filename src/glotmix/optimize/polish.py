"""Polish: sequential quadratic programming from a point near the optimum; a maximum becomes an epigraph.

A Gaussian process follows powers of the shares. With shares as variables its slope at a share of zero has no end, and
steps that look well by the slopes end anywhere; with these powers as variables it is as smooth there as elsewhere.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy.optimize import minimize

from glotmix.laws.gaussian_process import POWER, TINY
from glotmix.optimize.composite import Composite

TOLERANCE = 1e-13
"""Change of the objective, scaled so that mixtures differ by about one, at which an optimum is found."""
OF_A_BOX = 1e-10
"""The same for a law with a black box, whose slopes are not as exact."""


def polish(composite: Composite, p_L: np.ndarray, *, iterations: int = 200, tolerance: float = TOLERANCE) -> np.ndarray:
    """SLSQP from ``p``; the better of where it began and where it ended, on the limits to rounding.

    A maximum over targets is written as ``min τ`` with ``τ ≥ x_t(p)``, which is smooth. For a quantile the targets
    under the maximum are chosen again until they stay the same.
    """
    best_L, best = p_L, composite.value(p_L)
    tolerance = max(tolerance, OF_A_BOX) if composite.boxed else tolerance
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
    power = POWER if composite.boxed else 1.0
    x_M = composite.pieces(p_L)
    within = composite.objective.subset(x_M) if peak else np.zeros(0, dtype=bool)
    slope_ML = composite.slopes(p_L)
    extra = 1 if peak else 0

    def share(z: np.ndarray) -> np.ndarray:
        """Shares that variables stand for; a trial step may be out of bounds, and sums have slopes there."""
        return np.asarray(z[:L] if power == 1 else np.maximum(z[:L], 0.0) ** (1 / power))

    def inside(z: np.ndarray) -> np.ndarray:
        return np.asarray(np.clip(share(z), floor_L, ceiling_L))

    def by_z(z: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Derivatives by the variables, from those by the shares; that of τ is 0."""
        chained = rows * (np.maximum(z[:L], 0.0) ** (1 / power - 1) / power)
        return np.hstack([chained, np.zeros((*chained.shape[:-1], extra))])

    # SLSQP stops on absolute changes, so the objective is scaled to have differences of order one.
    steep_ML = (slope_ML - (slope_ML @ p_L)[:, None]) * np.maximum(p_L, TINY) ** (1 - power)
    scale = 1 / max(float(np.abs(steep_ML).max()), 1e-12)

    def value(z: np.ndarray) -> float:
        p = inside(z)
        return float(z[L]) + scale * composite.penalty(p)[0] if peak else float(_finite(scale * composite.value(p)))

    def gradient(z: np.ndarray) -> np.ndarray:
        p = inside(z)
        if not peak:
            return _finite(by_z(z, scale * composite.gradient(p)))
        slope_Z = by_z(z, scale * composite.penalty(p)[1])
        slope_Z[L] = 1.0
        return slope_Z

    rows = np.vstack([constraints.rows_GL, -constraints.rows_GL])
    bounds = np.concatenate([constraints.low_G, -constraints.high_G])
    equal_EL = np.vstack([np.ones(L), constraints.kept_KL])
    equal_E = np.append(1.0, np.zeros(len(equal_EL) - 1))
    held = [{"type": "eq", "fun": lambda z: equal_EL @ share(z) - equal_E, "jac": lambda z: by_z(z, equal_EL)}]
    if len(rows):
        held.append({"type": "ineq", "fun": lambda z: rows @ share(z) - bounds, "jac": lambda z: by_z(z, rows)})
    if peak:

        def below(z: np.ndarray) -> np.ndarray:
            slope_MZ = _finite(by_z(z, -scale * composite.slopes(inside(z))[within]))
            slope_MZ[:, L] = 1.0
            return slope_MZ

        held.append(
            {
                "type": "ineq",
                "fun": lambda z: _finite(z[L] - scale * composite.pieces(inside(z))[within]),
                "jac": below,
            }
        )
    # Below a hundred-thousandth the law gives the slope of that share: none is sought there.
    low_L = floor_L if power == 1 else np.minimum(np.maximum(floor_L, TINY), ceiling_L)
    box = list(zip(low_L**power, ceiling_L**power, strict=True)) + [(None, None)] * extra
    start_L = np.maximum(p_L, low_L) ** power
    start = np.append(start_L, scale * x_M[within].max()) if peak else start_L
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
    if not np.isfinite(found.x).all():
        return p_L
    ended_L = inside(found.x)
    return np.where((ended_L <= 1.001 * low_L) & (floor_L < low_L), floor_L, ended_L)


def _finite(x: np.ndarray | float) -> np.ndarray:
    """A trial step may land where a law is infinite; a large finite number makes the line search step back."""
    return np.asarray(np.nan_to_num(x, nan=0.0, posinf=1e10, neginf=-1e10))
