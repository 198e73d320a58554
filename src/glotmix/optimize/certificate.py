"""Certificate: how far from optimal a mixture can be, and what each limit costs, from one linear program."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from glotmix.errors import GlotmixError
from glotmix.optimize.composite import Composite


@dataclass(frozen=True)
class Certificate:
    """Optimality of one mixture."""

    gap: float
    """``F(p)`` minus the least value of F's linearisation at p over all allowed mixtures: for a convex F no mixture is
    better by more than this, for any other F it is zero exactly at a stationary mixture. With a black box it is what
    moves were seen to bring (:func:`~glotmix.optimize.search.probed`)."""
    floor_L: np.ndarray
    """Multipliers of the floors: dF*/dfloor ≥ 0."""
    ceiling_L: np.ndarray
    """Multipliers of the ceilings: dF*/dceiling ≤ 0."""
    low_G: np.ndarray
    """Multipliers of least group sums."""
    high_G: np.ndarray
    """Multipliers of greatest group sums."""


def certify(composite: Composite, p_L: np.ndarray) -> Certificate:
    """Linearise at ``p`` and minimise over the limits.

    For a sum: ``min_s ∇F·s``. For a maximum, whose pieces are linearised one by one: ``min τ + ∇penalty·s`` with
    ``τ ≥ x_t + ∇x_t·(s - p)``. The program's dual values are the multipliers of the original problem when the gap is 0.

    Raises:
        GlotmixError: the linear program ended with anything but an optimum.
    """
    program = composite.constraints.linear_program()
    G = len(composite.constraints.low_G)
    if composite.objective.peak:
        x_M, slope_ML = composite.pieces(p_L), composite.slopes(p_L)
        within = composite.objective.subset(x_M)
        x_M, slope_ML = x_M[within], slope_ML[within]
        value = float(x_M.max())
        # In units of the largest difference, so that the solver's tolerances are relative.
        rows = np.hstack([slope_ML, -np.ones((len(x_M), 1))])
        bounds = slope_ML @ p_L - (x_M - value)
        groups = np.zeros((0, len(p_L) + 1)) if not G else np.hstack([program["A_ub"], np.zeros((2 * G, 1))])
        program["A_ub"] = np.vstack([groups, rows])
        program["b_ub"] = np.append(program["b_ub"] if G else [], bounds)
        program["A_eq"] = np.hstack([program["A_eq"], np.zeros((len(program["A_eq"]), 1))])
        program["bounds"] = np.vstack([program["bounds"], [-np.inf, np.inf]])
        slope_L = composite.penalty(p_L)[1]
        cost, here = np.append(slope_L, 1.0), float(slope_L @ p_L)
    else:
        cost = composite.gradient(p_L)
        here = float(cost @ p_L)
    scale = max(float(np.ptp(cost)), float(np.abs(cost).max()) * 1e-9, 1e-12)
    found = linprog(cost / scale, **program)
    if found.status != 0:
        raise GlotmixError(f"the optimality check failed: {found.message}")
    L = len(p_L)
    groups = scale * (found.ineqlin.marginals[: 2 * G] if G else np.zeros(0))
    return Certificate(
        here - scale * float(found.fun),
        scale * found.lower.marginals[:L],
        scale * found.upper.marginals[:L],
        -groups[G:],
        groups[:G],
    )
