"""One law, one target: bounded robust least squares on the log of the loss, from many starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dposv, dpotrf

from glotmix.laws.law import Inputs, Law, Problem

ROBUST_SCALE = 0.02
"""Relative error of a run that a fit starts from, before the residuals tell theirs."""
KNEE = 2.0
"""Residuals beyond about this many standard deviations count linearly (soft_l1), not squared: runs that went wrong do
not rule. With normal noise this costs three percent of the runs' precision."""

TOLERANCE, ROUGH = 1e-7, 1e-6
"""Converged when accepted steps lower the cost by less than this, relatively; the latter before the noise is known. A
cost of half a hundred runs then falls by less than a thousandth of what one standard deviation is worth."""

DAMPING, FALL = 1e-3, 1 / 5
"""Damping of the first step, and the least factor by which a good step lowers it."""
BEND = 0.5
"""Second derivative of what a law adds up by the logarithm of one of its factors, as a part of the first: the exponents
by which helpers complete one another, about a half."""
SPRINT, FINALISTS = 40, 2
"""Iterations that every start gets, and how many of them go on until they converge."""
WELL_TOLD = 1e-5
"""Least diagonal of the factor of the scaled information with which no direction needs to be looked at for itself."""
SAME_END = 1e-6
"""Relative difference of costs below which two starts ended at the same optimum."""
SAMPLE, SAMPLE_EACH = 300, 6
"""Runs that the starts are tried on where there are half as many again: so many, and so many for every parameter."""

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
    moved_K: np.ndarray
    """How far the means of the priors are moved, in standard deviations; [1] where none is."""

    def __call__(self, x_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residuals [M] and their derivatives [M, P]: those of the runs first, then those of the prior."""
        theta_P = outer(x_P, self.log_P)
        at = self.law.evaluate(self.problem, theta_P, self.inputs)
        predicted_R = np.maximum(at.loss_R, 1e-12)
        residual = self.root_R * (np.log(predicted_R) - self.log_loss_R)
        rows = (self.root_R / predicted_R)[:, None] * at.gradient_theta_RP
        unit_P = np.where(self.log_P, theta_P, 1.0)
        rows *= unit_P
        if (known := self.law.prior(self.problem, theta_P)) is not None:
            residual, rows = np.concatenate([residual, known[0] - self.moved_K]), np.vstack([rows, known[1] * unit_P])
        return residual, rows

    def of_runs(self, x_P: np.ndarray) -> np.ndarray:
        """The residuals of the runs alone, [R], which cost half as much."""
        loss_R = self.law.predict(self.problem, outer(x_P, self.log_P), self.inputs)
        return np.asarray(self.root_R * (np.log(np.maximum(loss_R, 1e-12)) - self.log_loss_R))

    def where(self, some: np.ndarray) -> Equations:
        """The residuals of some of the runs."""
        inputs, log_loss_R, root_R = self.inputs.where(some), self.log_loss_R[some], self.root_R[some]
        return Equations(self.law, self.problem, inputs, log_loss_R, root_R, self.log_P, self.moved_K)


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
    kinds = law.prior_kinds(problem) if problem.shift else ()
    moved_K = np.array([problem.shift.get(kind, 0.0) for kind in kinds]) if kinds else np.zeros(1)
    return Equations(law, problem, inputs, np.log(loss_R), np.sqrt(weight_R) / scale, log_P, moved_K)


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
    least cost wins. Of many runs the starts are tried on ``SAMPLE``, drawn at random and always the same, and the
    finalists go on with all. A parameter whose lower bound is above zero is a scale, and the fit works on its log.
    """
    low_P, high_P = law.bounds(problem)
    wanted = equations(law, problem, inputs, loss_R, weight_R, scale)
    bounds = inner(low_P, wanted.log_P), inner(high_P, wanted.log_P)
    # The prior is Gaussian: only the runs' residuals are made robust.
    robust = len(loss_R)
    few = max(SAMPLE, SAMPLE_EACH * len(low_P))
    sampled = len(start_SP) > 1 and robust > 1.5 * few
    tried = wanted.where(np.sort(np.random.default_rng(0).permutation(robust)[:few])) if sampled else wanted
    first = min(SPRINT, iterations)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        starts = [inner(np.clip(start_P, low_P, high_P), wanted.log_P) for start_P in start_SP]
        some = len(tried.log_loss_R)
        log_P = wanted.log_P
        ends = [levenberg_marquardt(tried, x_P, *bounds, some, first, tolerance, scales_P=log_P) for x_P in starts]
        ends.sort(key=lambda end: end[1])
        best = ends[0][1]
        agreeing = float(np.mean([end[1] <= best * 1.01 + 1e-9 for end in ends]))
        ends, left = ends[:FINALISTS], iterations - first
        if sampled:  # nothing has seen all runs yet; what ended where the best one did would end there again
            ends = [(x_P, cost, False) for x_P, cost, _ in ends if cost == best or cost > best * (1 + SAME_END)]
            left = iterations
        for k, (x_P, cost, converged) in enumerate(ends):
            if not converged and np.isfinite(cost) and left > 0:
                ends[k] = levenberg_marquardt(wanted, x_P, *bounds, robust, left, tolerance, scales_P=log_P)
    x_P, cost, converged = min(ends, key=lambda end: end[1])
    if not np.isfinite(cost):
        nothing = np.full(len(low_P), np.nan)
        no_R = np.full(len(loss_R), np.nan)
        return Solution(nothing, np.inf, "no start gave finite losses", no_R, no_R, 0.0)
    theta_P = outer(x_P, wanted.log_P)
    residual_M, rows_MP = wanted(x_P)
    status = "converged" if converged else f"not converged after {iterations} iterations"
    residual_R = -residual_M[:robust] / wanted.root_R
    return Solution(theta_P, cost, status, residual_R, _leverage(residual_M, rows_MP, robust), agreeing)


def _leverage(residual_M: np.ndarray, rows_MP: np.ndarray, robust: int) -> np.ndarray:
    """Diagonal of the hat matrix of the last, weighted linear problem."""
    root_M = np.ones(len(residual_M))
    root_M[:robust] = np.sqrt(SOFT_L1.weight(residual_M[:robust]))
    seen_MP = root_M[:, None] * rows_MP
    normal_PP = seen_MP.T @ seen_MP
    size_P = np.sqrt(np.maximum(normal_PP.diagonal(), 1e-200))
    factor_PP, failed = dpotrf(normal_PP / np.outer(size_P, size_P), lower=1)
    if not failed and factor_PP.diagonal().min() > WELL_TOLD:
        left_PR = solve_triangular(factor_PP, (seen_MP[:robust] / size_P).T, lower=True, check_finite=False)
        return np.asarray(np.minimum((left_PR**2).sum(axis=0), 1.0))
    left_MP, size_P, _ = np.linalg.svd(seen_MP, full_matrices=False)
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
    scales_P: np.ndarray | None = None,
    damping: float = DAMPING,
) -> tuple[np.ndarray, float, bool]:
    """Projected Levenberg–Marquardt with Marquardt's scaling; the first ``robust`` residuals are made robust.

    Source: Nielsen, Damping Parameter in Marquardt's Method (1999), for the damping; a parameter at its bound whose
    gradient points outwards is held there. Ten times the speed of a general trust-region code at this size, because
    an iteration costs one small symmetric solve.

    Gauss and Newton's matrix lacks the residuals' own second derivatives. Of the logarithm of a factor in a sum they
    are about the first ones (``BEND``): where the runs push a weight of transfer down to where its prior holds it, the
    matrix is several times too small, steps overshoot until damping creeps up, and creeping looks like having arrived.
    So once a step was too long they are added to the diagonal (those that enlarge it, so that it stays positive
    definite). Where no step is, they are left out: the end is reached faster without.

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
        scales_P: which parameters are logarithms of factors; None for none.
        damping: of the first step, relative to the diagonal.

    Returns:
        Parameters, cost, whether it converged.
    """
    x_P = np.clip(x_P, low_P, high_P)
    residual_M, rows_MP = residuals(x_P) if first is None else first
    cost = _cost(residual_M, robust, rho)
    if not (np.isfinite(cost) and np.isfinite(rows_MP).all()):
        return x_P, np.inf, False
    growth, scale_P = 2.0, np.zeros(len(x_P))
    small, bent, root_M = 0, False, np.ones(len(residual_M))
    for _ in range(iterations):
        root_M[:robust] = np.sqrt(rho.weight(residual_M[:robust]))
        half_MP = root_M[:, None] * rows_MP
        slope_P = half_MP.T @ (root_M * residual_M)
        normal_PP = half_MP.T @ half_MP
        scale_P = np.maximum(scale_P, np.maximum(normal_PP.diagonal(), 1e-12))
        free_P = ~(((x_P <= low_P) & (slope_P > 0)) | ((x_P >= high_P) & (slope_P < 0)))
        if not free_P.any() or np.abs(slope_P[free_P] / np.sqrt(scale_P[free_P])).max() < 1e-10 * (1 + cost):
            return x_P, cost, True
        if bent and scales_P is not None:
            bend_P = half_MP[:robust].T @ (root_M[:robust] * residual_M[:robust])
            normal_PP.flat[:: len(x_P) + 1] += BEND * scales_P * np.maximum(bend_P, 0.0)
        step_P = _step(normal_PP, slope_P, damping * scale_P, free_P)
        new_P = np.clip(x_P + step_P, low_P, high_P)
        moved_P = new_P - x_P
        new_residual_M, new_rows_MP = residuals(new_P)
        new_cost = _cost(new_residual_M, robust, rho)
        gain = cost - new_cost
        if np.isfinite(new_cost) and np.isfinite(new_rows_MP).all() and gain >= 0:
            expected = -(slope_P @ moved_P) - 0.5 * moved_P @ normal_PP @ moved_P
            damping *= max(FALL, 1 - (2 * gain / float(expected) - 1) ** 3) if expected > 0 else 1.0
            damping, growth = max(damping, 1e-12), 2.0
            small = small + 1 if gain <= tolerance * cost else 0
            x_P, residual_M, rows_MP, cost = new_P, new_residual_M, new_rows_MP, new_cost
            if small >= patience:
                return x_P, cost, True
        else:
            damping, growth, bent = damping * growth, growth * 2, True
            if damping > 1e12:  # no step helps: as low as rounding lets it be
                return x_P, cost, True
    return x_P, cost, False


def _step(normal_PP: np.ndarray, slope_P: np.ndarray, damping_P: np.ndarray, free_P: np.ndarray) -> np.ndarray:
    """``-(H + diag(damping))⁻¹ slope`` in the free parameters, 0 in the others."""
    step_P = np.zeros(len(slope_P))
    system = normal_PP if free_P.all() else normal_PP[np.ix_(free_P, free_P)]
    system = system.copy()
    system.flat[:: len(system) + 1] += damping_P[free_P]
    _, found, failed = dposv(system, -slope_P[free_P], lower=1)
    step_P[free_P] = np.linalg.solve(system, -slope_P[free_P]) if failed else found
    return step_P


def _cost(residual_M: np.ndarray, robust: int, rho: Robust) -> float:
    return float(rho.cost(residual_M[:robust]).sum() + 0.5 * (residual_M[robust:] ** 2).sum())


def inner(theta_P: np.ndarray, log_P: np.ndarray) -> np.ndarray:
    """The fit's own variables: logarithms of the scales."""
    x_P = np.array(theta_P, dtype=float)
    x_P[log_P] = np.log(x_P[log_P])
    return x_P


def outer(x_P: np.ndarray, log_P: np.ndarray) -> np.ndarray:
    """Back to parameters."""
    theta_P = np.array(x_P, dtype=float)
    theta_P[log_P] = np.exp(theta_P[log_P])
    return theta_P
