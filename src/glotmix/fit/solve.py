"""One law, one target: bounded robust least squares on the log of the loss, from many starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from glotmix.laws.law import Inputs, Law, Problem

ROBUST_SCALE = 0.02
"""Relative error of a run that a fit starts from, before the residuals tell theirs."""
KNEE = 2.0
"""Residuals beyond about this many standard deviations count linearly (soft_l1), not squared: runs that went wrong do
not rule. With normal noise this costs three percent of the runs' precision."""

TOLERANCE = 1e-9
"""Converged when an accepted step lowers the cost by less than this, relatively."""

SPRINT, FINALISTS = 40, 2
"""Iterations that every start gets, and how many of them go on until they converge."""

Residuals = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From parameters to residuals [M] and their Jacobian [M, P]."""


@dataclass(frozen=True)
class Robust:
    """How a residual r counts, in units of its scale: squared where it is small, linearly where it is large."""

    cost: Callable[[np.ndarray], np.ndarray]
    """ρ(r); half the square near zero."""
    weight: Callable[[np.ndarray], np.ndarray]
    """ρ'(r) / r."""


def _soft(r: np.ndarray) -> np.ndarray:
    """√(1 + (r / KNEE)²)."""
    return np.asarray(np.sqrt(1 + (r / KNEE) ** 2))


SOFT_L1 = Robust(lambda r: KNEE**2 * (_soft(r) - 1), lambda r: 1 / _soft(r))
"""Smooth; what fits use."""
HUBER = Robust(
    lambda r: np.where(np.abs(r) <= 1, 0.5 * r**2, np.abs(r) - 0.5), lambda r: 1 / np.maximum(np.abs(r), 1.0)
)
"""What other authors' fits use, for comparison with theirs."""


@dataclass(frozen=True)
class Solution:
    """Where the least squares ended."""

    theta_P: np.ndarray
    """Parameters of the best start."""
    cost: float
    """Half the robust sum of squares in standard deviations of the noise, prior included."""
    status: str
    """"converged", or what went wrong."""
    residual_R: np.ndarray
    """log of measured over predicted loss."""
    leverage_R: np.ndarray
    """How much of its own residual each run explains away, 0 to 1; their sum is the number of parameters in use, which
    a prior makes smaller than the number of parameters."""
    agreeing: float
    """Share of the starts that ended within 1 % of the best cost."""


@dataclass(frozen=True)
class Equations:
    """The residuals of a law at runs, in the fit's own variables: ln θ where the lower bound is above zero."""

    law: Law
    """The family."""
    problem: Problem
    """What the law knows of the target."""
    inputs: Inputs
    """The runs."""
    log_loss_R: np.ndarray
    """ln of the measured losses."""
    root_R: np.ndarray
    """One over the standard deviation of each residual, ``√weight / scale``."""
    log_P: np.ndarray
    """Which parameters are scales."""

    def __call__(self, x_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residuals [M] and their derivatives [M, P]: those of the runs first, then those of the prior."""
        theta_P = outer(x_P, self.log_P)
        at = self.law.evaluate(self.problem, theta_P, self.inputs)
        predicted_R = np.maximum(at.loss_R, 1e-12)
        residual = self.root_R * (np.log(predicted_R) - self.log_loss_R)
        rows = (self.root_R / predicted_R)[:, None] * at.gradient_theta_RP
        if (known := self.law.prior(self.problem, theta_P)) is not None:
            residual, rows = np.concatenate([residual, known[0]]), np.vstack([rows, known[1]])
        return residual, rows * np.where(self.log_P, theta_P, 1.0)


def equations(
    law: Law,
    problem: Problem,
    inputs: Inputs,
    loss_R: np.ndarray,
    weight_R: np.ndarray,
    scale: float = ROBUST_SCALE,
) -> Equations:
    """The residuals whose robust sum of squares a fit minimises; ``scale`` is the noise of a run of weight 1."""
    log_P = law.bounds(problem)[0] > 0
    return Equations(law, problem, inputs, np.log(loss_R), np.sqrt(weight_R) / scale, log_P)


def solve(
    law: Law,
    problem: Problem,
    inputs: Inputs,
    loss_R: np.ndarray,
    weight_R: np.ndarray,
    start_SP: np.ndarray,
    iterations: int = 200,
    tolerance: float = TOLERANCE,
    scale: float = ROBUST_SCALE,
) -> Solution:
    """Minimise ``Σ_r ρ(√weight_r (log L̂_r - log L_r) / scale)`` plus the law's prior, ρ = soft_l1.

    Every start is run for ``SPRINT`` iterations, and the best ``FINALISTS`` of those that have not converged go on; the
    least cost wins. A parameter whose lower bound is above zero is a scale, and the fit works on its logarithm.
    """
    low_P, high_P = law.bounds(problem)
    wanted = equations(law, problem, inputs, loss_R, weight_R, scale)
    bounds = inner(low_P, wanted.log_P), inner(high_P, wanted.log_P)
    # The prior is Gaussian: only the runs' residuals are made robust.
    robust = len(loss_R)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        first = min(SPRINT, iterations)
        starts = [inner(np.clip(start_P, low_P, high_P), wanted.log_P) for start_P in start_SP]
        ends = [levenberg_marquardt(wanted, x_P, *bounds, robust, first, tolerance) for x_P in starts]
        ends.sort(key=lambda end: end[1])
        for k, (x_P, cost, converged) in enumerate(ends[:FINALISTS]):
            if not converged and np.isfinite(cost) and first < iterations:
                ends[k] = levenberg_marquardt(wanted, x_P, *bounds, robust, iterations - first, tolerance)
    x_P, cost, converged = min(ends, key=lambda end: end[1])
    if not np.isfinite(cost):
        nothing = np.full(len(low_P), np.nan)
        no_R = np.full(len(loss_R), np.nan)
        return Solution(nothing, np.inf, "no start gave finite losses", no_R, no_R, 0.0)
    theta_P = outer(x_P, wanted.log_P)
    residual_M, rows_MP = wanted(x_P)
    status = "converged" if converged else f"not converged after {iterations} iterations"
    agreeing = float(np.mean([end[1] <= cost * 1.01 + 1e-9 for end in ends]))
    residual_R = -residual_M[:robust] / wanted.root_R
    return Solution(theta_P, cost, status, residual_R, _leverage(residual_M, rows_MP, robust), agreeing)


def _leverage(residual_M: np.ndarray, rows_MP: np.ndarray, robust: int) -> np.ndarray:
    """Diagonal of the hat matrix of the last, weighted linear problem."""
    root_M = np.ones(len(residual_M))
    root_M[:robust] = np.sqrt(SOFT_L1.weight(residual_M[:robust]))
    left_MP, size_P, _ = np.linalg.svd(root_M[:, None] * rows_MP, full_matrices=False)
    seen_P = size_P > 1e-10 * float(size_P.max())
    return np.asarray(np.minimum((left_MP[:robust, seen_P] ** 2).sum(axis=1), 1.0))


def levenberg_marquardt(
    residuals: Residuals,
    x_P: np.ndarray,
    low_P: np.ndarray,
    high_P: np.ndarray,
    robust: int,
    iterations: int,
    tolerance: float = TOLERANCE,
    first: tuple[np.ndarray, np.ndarray] | None = None,
    patience: int = 2,
    rho: Robust = SOFT_L1,
) -> tuple[np.ndarray, float, bool]:
    """Projected Levenberg–Marquardt with Marquardt's scaling; the first ``robust`` residuals are made robust.

    Source: Nielsen, Damping Parameter in Marquardt's Method (1999), for the damping; a parameter at its bound whose
    gradient points outwards is held there. Ten times the speed of a general trust-region code at this size, because
    an iteration costs one small symmetric solve.

    Args:
        residuals: what is to become small.
        x_P: where to start.
        low_P: lower bounds.
        high_P: upper bounds.
        robust: how many residuals are made robust.
        iterations: most steps.
        tolerance: a step that lowers the cost by less than this, relatively, is small.
        first: residuals and Jacobian at the start, where they are known.
        patience: small steps in a row after which it is converged.
        rho: how the robust ones count.

    Returns:
        Parameters, cost, whether it converged.
    """
    x_P = np.clip(x_P, low_P, high_P)
    residual_M, rows_MP = residuals(x_P) if first is None else first
    cost = _cost(residual_M, robust, rho)
    if not (np.isfinite(cost) and np.isfinite(rows_MP).all()):
        return x_P, np.inf, False
    damping, growth, scale_P = 1e-2, 2.0, np.zeros(len(x_P))
    small = 0
    for _ in range(iterations):
        weight_M = np.ones(len(residual_M))
        weight_M[:robust] = rho.weight(residual_M[:robust])
        weighted_MP = weight_M[:, None] * rows_MP
        slope_P = weighted_MP.T @ residual_M
        normal_PP = weighted_MP.T @ rows_MP
        scale_P = np.maximum(scale_P, np.maximum(np.diag(normal_PP), 1e-12))
        free_P = ~(((x_P <= low_P) & (slope_P > 0)) | ((x_P >= high_P) & (slope_P < 0)))
        if not free_P.any() or np.abs(slope_P[free_P] / np.sqrt(scale_P[free_P])).max() < 1e-10 * (1 + cost):
            return x_P, cost, True
        step_P = np.zeros(len(x_P))
        system = normal_PP[np.ix_(free_P, free_P)] + damping * np.diag(scale_P[free_P])
        step_P[free_P] = np.linalg.solve(system, -slope_P[free_P])
        new_P = np.clip(x_P + step_P, low_P, high_P)
        moved_P = new_P - x_P
        new_residual_M, new_rows_MP = residuals(new_P)
        new_cost = _cost(new_residual_M, robust, rho)
        gain = cost - new_cost
        if np.isfinite(new_cost) and np.isfinite(new_rows_MP).all() and gain >= 0:
            expected = -(slope_P @ moved_P) - 0.5 * moved_P @ normal_PP @ moved_P
            damping *= max(1 / 3, 1 - (2 * gain / float(expected) - 1) ** 3) if expected > 0 else 1.0
            damping, growth = max(damping, 1e-12), 2.0
            small = small + 1 if gain <= tolerance * cost else 0
            x_P, residual_M, rows_MP, cost = new_P, new_residual_M, new_rows_MP, new_cost
            if small >= patience:
                return x_P, cost, True
        else:
            damping, growth = damping * growth, growth * 2
            if damping > 1e12:  # no step helps: as low as rounding lets it be
                return x_P, cost, True
    return x_P, cost, False


def _cost(residual_M: np.ndarray, robust: int, rho: Robust) -> float:
    return float(rho.cost(residual_M[:robust]).sum() + 0.5 * (residual_M[robust:] ** 2).sum())


def inner(theta_P: np.ndarray, log_P: np.ndarray) -> np.ndarray:
    """The fit's own variables: logarithms of the scales."""
    return np.where(log_P, np.log(np.where(log_P, theta_P, 1.0)), theta_P)


def outer(x_P: np.ndarray, log_P: np.ndarray) -> np.ndarray:
    """Back to parameters."""
    return np.where(log_P, np.exp(np.where(log_P, x_P, 0.0)), x_P)
