"""Shapley values from fewer runs than there are coalitions.

Sequential estimators ask a payoff function for coalitions of their choosing; the others take any table of coalitions
that were run, in one batch, and :func:`design` says which to run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import least_squares, minimize

from glotmix.errors import BadInput
from glotmix.measurements import Measurements
from glotmix.transfer.game import members, plays_coalition
from glotmix.transfer.matrix import TransferMatrix
from glotmix.transfer.shapley import weights

Payoff = Callable[[np.ndarray], np.ndarray]
"""From coalitions (booleans [C, L]) to payoffs [C, T]."""
MOST_MODELLED = 12
"""Languages up to which all coalitions are written out."""
PERMUTATIONS = 4000
"""Orders of arrival in which a curve's values are averaged; they cost no runs."""
NORMAL_95 = 1.96


@dataclass(frozen=True)
class Estimate:
    """Shapley values of one game."""

    value_TL: np.ndarray
    """Estimated values."""
    deviation_TL: np.ndarray
    """Their standard deviations; NaN where the estimator has none."""
    runs: int
    """Coalitions that were asked for, the empty one not counted."""


def permutation(payoff: Payoff, n: int, runs: int, rng: np.random.Generator, antithetic: bool = False) -> Estimate:
    """Mean marginal contribution over random orders of arrival; with ``antithetic`` every order is also run backwards.

    Source: Castro et al., Polynomial calculation of the Shapley value based on sampling (2009); Mitchell et al.,
    Sampling permutations for Shapley value estimation (2022). The full coalition is asked for once.
    """
    nobody, everybody = np.zeros((1, n), dtype=bool), np.ones((1, n), dtype=bool)
    first, last = payoff(nobody)[0], payoff(everybody)[0]
    walks: list[np.ndarray] = []
    asked, order = 1, np.arange(n)
    while asked + n - 1 <= runs or not walks:
        order = order[::-1] if antithetic and len(walks) % 2 else rng.permutation(n)
        chain = np.tril(np.ones((n, n), dtype=bool))[:-1]
        inside = np.zeros((n - 1, n), dtype=bool)
        inside[:, order] = chain
        path_CT = np.vstack([first[None], payoff(inside), last[None]])
        walk_TL = np.empty((len(first), n))
        walk_TL[:, order] = np.diff(path_CT, axis=0).T
        walks.append(walk_TL)
        asked += n - 1
    value_TL = np.mean(walks, axis=0)
    deviation_TL = (
        np.std(walks, axis=0, ddof=1) / np.sqrt(len(walks)) if len(walks) > 1 else np.full_like(value_TL, np.nan)
    )
    return Estimate(value_TL, deviation_TL, asked)


def design(n: int, runs: int, rng: np.random.Generator) -> np.ndarray:
    """Which coalitions to run, [runs, n]: everybody, then sizes from the outside in (1 and n-1, 2 and n-2, …).

    Small and large coalitions carry the most weight in a Shapley value; a size that does not fit whole is sampled in
    complementary pairs. Source: Covert & Lee, Improving KernelSHAP (2021), for the pairs.
    """
    if runs >= 2**n - 1:
        return members(n)[1:]
    chosen = [(1 << n) - 1]
    everybody = (1 << n) - 1
    size_C = members(n).sum(axis=1)
    for size in range(1, n // 2 + 1):
        ring = np.flatnonzero(size_C == size)
        ring = ring[rng.permutation(len(ring))]
        pairs = np.column_stack([ring, everybody - ring]).reshape(-1)
        fresh = [int(c) for c in dict.fromkeys(pairs.tolist()) if c not in chosen]
        chosen += fresh[: runs - len(chosen)]
        if len(chosen) >= runs:
            break
    return members(n)[np.array(chosen[:runs])]


def kernel_shap(inside_RL: np.ndarray, payoff_RT: np.ndarray) -> Estimate:
    """Weighted least squares on the coalitions that were run, efficiency held exactly.

    Minimises ``Σ_S k(S) (u(S) - Σ_{l∈S} φ_l)²`` with ``k(S) = (n-1) / (C(n,s) s (n-s))``, each size sharing its weight
    among the coalitions of that size that were run. Source: Lundberg & Lee, A unified approach to interpreting model
    predictions (2017). The runs must hold the full coalition, maybe several times.

    Raises:
        BadInput: the full coalition was not run, or the runs cannot tell all values.
    """
    n = inside_RL.shape[1]
    size_R = inside_RL.sum(axis=1)
    if not (size_R == n).any():
        raise BadInput("the full coalition was not run", expected="at least one run of all languages")
    whole_T = payoff_RT[size_R == n].mean(axis=0)
    part_R = (size_R > 0) & (size_R < n)
    x_RL, y_RT, s_R = inside_RL[part_R].astype(float), payoff_RT[part_R], size_R[part_R]
    run_S = np.bincount(s_R, minlength=n + 1)
    k_R = (n - 1) / (s_R * (n - s_R)) / run_S[s_R]
    # Efficiency eliminates the last language: φ_n = whole - Σ others.
    left_RL = x_RL[:, :-1] - x_RL[:, -1:]
    right_RT = y_RT - x_RL[:, -1:] * whole_T
    root_R = np.sqrt(k_R)[:, None]
    found, _, rank, _ = np.linalg.lstsq(root_R * left_RL, root_R * right_RT, rcond=None)
    if rank < n - 1:
        raise BadInput(f"{part_R.sum()} coalitions tell only {rank} of {n - 1} values", expected="more coalitions")
    value_TL = np.column_stack([found.T, whole_T - found.sum(axis=0)])
    return Estimate(value_TL, np.full_like(value_TL, np.nan), len(inside_RL))


def surrogate(inside_RL: np.ndarray, payoff_RT: np.ndarray, prior: Payoff | None = None) -> Estimate:
    """Exact values of a model of the game: a saturating curve, corrected by a Gaussian process on what it leaves over.

    The curve is ``A ((1 + Σ_{l∈S} w_l)^-γ - 1)/(-γ)``, the law of an effective share in terms of who is present; the
    process has a linear part and one that falls by a factor per differing member, so it can take back any error of the
    curve. Values are linear in payoffs, so those of the process come with a standard deviation. The empty coalition is
    known to pay nothing.

    Args:
        inside_RL: coalitions that were run (repeats allowed).
        payoff_RT: their payoffs.
        prior: payoffs of a fitted law, used in place of the curve: *law-adjusted* values, the law as control variate.
    """
    n = inside_RL.shape[1]
    every_CL = members(n)[1:]
    W_LC = weights(n)[:, 1:]
    values, deviations = [], []
    for t in range(payoff_RT.shape[1]):
        if prior is None:
            curve = _saturating(inside_RL, payoff_RT[:, t])
            (at_R, basis_RP), (at_C, basis_CP) = curve.linearised(inside_RL), curve.linearised(every_CL)
        else:
            at_R, at_C = prior(inside_RL)[:, t], prior(every_CL)[:, t]
            basis_RP, basis_CP = np.zeros((len(inside_RL), 0)), np.zeros((len(every_CL), 0))
        left_R = payoff_RT[:, t] - at_R
        mean_C, covariance_CC = _process(inside_RL, left_R, every_CL, basis_RP, basis_CP)
        values.append(W_LC @ (at_C + mean_C))
        deviations.append(np.sqrt(np.maximum(np.einsum("lc,cd,ld->l", W_LC, covariance_CC, W_LC), 0)))
    return Estimate(np.array(values), np.array(deviations), len(inside_RL))


def regression_adjusted(inside_RL: np.ndarray, payoff_RT: np.ndarray) -> Estimate:
    """Exact values of the saturating curve plus KernelSHAP of what it leaves over.

    Source: Witter et al., Regression-adjusted Monte Carlo estimators for Shapley values (2025), with trees there and
    our curve here. Unlike :func:`surrogate` it trusts the residuals fully: less biased, more noisy.
    """
    W_LC = weights(inside_RL.shape[1])[:, 1:]
    every_CL = members(inside_RL.shape[1])[1:]
    curves = [_saturating(inside_RL, y_R) for y_R in payoff_RT.T]
    left_RT = payoff_RT - np.column_stack([curve.fitted(inside_RL) for curve in curves])
    rest = kernel_shap(inside_RL, left_RT)
    base_TL = np.array([W_LC @ curve.fitted(every_CL) for curve in curves])
    return Estimate(base_TL + rest.value_TL, rest.deviation_TL, len(inside_RL))


def estimated(measurements: Measurements, empty_loss: Mapping[str, float], seed: int = 0) -> TransferMatrix:
    """Shapley values from a table in which not every coalition was run.

    Up to ``MOST_MODELLED`` languages by :func:`surrogate`, with intervals; beyond, the saturating curve's values by
    antithetic permutations (its payoffs cost nothing) plus KernelSHAP of what the curve leaves over, without intervals.
    ``method`` says which.

    Args:
        measurements: runs, among them coalitions as :func:`glotmix.transfer.game.game_from` understands them.
        empty_loss: target to the loss of a model that was trained on nothing.
        seed: of the permutations.

    Raises:
        BadInput: fewer coalitions than languages, or (beyond ``MOST_MODELLED``) too few to tell all values.
    """
    if lacking := [target for target in measurements.targets if target not in empty_loss]:
        raise BadInput(f"no loss of the empty coalition for {', '.join(lacking)}", where="empty_loss")
    played = measurements.where(plays_coalition(measurements))
    players, n = measurements.languages, len(measurements.languages)
    inside_RL = played.p_RL > 0
    different = len(np.unique(inside_RL, axis=0))
    if different < min(n + 1, 2**n - 1):
        raise BadInput(f"{different} coalitions of {n} languages", expected=f"at least {min(n + 1, 2**n - 1)}")
    payoff_RT = np.array([empty_loss[target] for target in played.targets]) - played.loss_RT
    empty = {target: float(empty_loss[target]) for target in played.targets}
    notes = {"coalitions": different, "runs": len(played), "empty_loss": empty}
    if n <= MOST_MODELLED:
        found, method = surrogate(inside_RL, payoff_RT), "Shapley, estimated from a model of the game"
    else:
        found, method = _adjusted(inside_RL, payoff_RT, np.random.default_rng(seed)), "Shapley, regression-adjusted"
    spread_TL = NORMAL_95 * found.deviation_TL
    known = bool(np.isfinite(spread_TL).all())
    low_TL, high_TL = (found.value_TL - spread_TL, found.value_TL + spread_TL) if known else (None, None)
    return TransferMatrix(played.targets, players, found.value_TL, low_TL, high_TL, "bpb", method, notes)


def _adjusted(inside_RL: np.ndarray, payoff_RT: np.ndarray, rng: np.random.Generator) -> Estimate:
    """:func:`regression_adjusted` without a list of all coalitions."""
    n = inside_RL.shape[1]
    curves = [_saturating(inside_RL, y_R) for y_R in payoff_RT.T]

    def payoff(inside: np.ndarray) -> np.ndarray:
        return np.column_stack([curve.fitted(inside) for curve in curves])

    base = permutation(payoff, n, PERMUTATIONS * n, rng, antithetic=True)
    rest = kernel_shap(inside_RL, payoff_RT - payoff(inside_RL))
    return Estimate(base.value_TL + rest.value_TL, rest.deviation_TL, len(inside_RL))


@dataclass(frozen=True)
class Curve:
    """A saturating curve fitted to one target's payoffs."""

    fitted: Callable[[np.ndarray], np.ndarray]
    """From coalitions to payoffs [C]."""
    linearised: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    """From coalitions to the payoffs at the prior's mean and their change by one prior standard deviation of every
    parameter [C, P], both in the linearisation at the fitted point."""


def _saturating(inside_RL: np.ndarray, y_R: np.ndarray) -> Curve:
    """The curve ``A ((1 + Σ w)^-γ - 1)/(-γ)`` with weak priors on ln w, ln A and γ, linearised where it fits best.

    The process then weighs data against prior, so that its intervals know how well the curve is told.
    """
    n = inside_RL.shape[1]
    unit = float(np.abs(y_R).max()) or 1.0
    x_RL = inside_RL.astype(float)

    def curve(theta: np.ndarray, x_RL: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        w_L, gamma, A = np.exp(theta[:n]), theta[n], np.exp(theta[n + 1])
        log_R = np.log1p(x_RL @ w_L)
        z_R = gamma * log_R
        small_R = np.abs(z_R) < 1e-6
        safe_R = np.where(small_R, 1.0, z_R)
        ratio_R = np.where(small_R, 1 - z_R / 2, -np.expm1(-safe_R) / safe_R)
        value_R = A * log_R * ratio_R
        by_w_RL = (A * np.exp(-z_R - log_R))[:, None] * x_RL * w_L
        slope_R = np.where(small_R, -0.5, (np.exp(-safe_R) - ratio_R) / safe_R)
        return value_R, np.column_stack([by_w_RL, A * log_R**2 * slope_R, value_R])

    middle = np.concatenate([np.full(n, -0.5), [0.5, 0.0]])
    spread = np.concatenate([np.full(n, 1.5), [1.0, 1.5]])

    def residuals(theta: np.ndarray) -> np.ndarray:
        return np.concatenate([(curve(theta, x_RL)[0] - y_R / unit) / 0.05, (theta - middle) / spread])

    def jacobian(theta: np.ndarray) -> np.ndarray:
        return np.vstack([curve(theta, x_RL)[1] / 0.05, np.diag(1 / spread)])

    theta = least_squares(residuals, middle, jacobian, x_scale="jac", max_nfev=200).x

    def linearised(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value_C, rows_CP = curve(theta, inside.astype(float))
        return unit * (value_C + rows_CP @ (middle - theta)), unit * rows_CP * spread

    return Curve(lambda inside: unit * curve(theta, inside.astype(float))[0], linearised)


def _process(
    inside_RL: np.ndarray, y_R: np.ndarray, every_CL: np.ndarray, basis_RP: np.ndarray, basis_CP: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and covariance over every coalition; hyperparameters by penalised evidence."""
    unit = float(np.sqrt(np.mean(y_R**2))) or 1.0
    basis_RP, basis_CP = basis_RP / unit, basis_CP / unit
    x_RL, z_CL = inside_RL.astype(float), every_CL.astype(float)
    y_R = y_R / unit
    n = x_RL.shape[1]
    middle = np.array([-2.0, -1.0, -1.0, -1.0])

    def kernel(hyper: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        linear, amplitude, rate = np.exp(2 * hyper[0]), np.exp(2 * hyper[1]), np.exp(hyper[2])
        differing = a.sum(1)[:, None] + b.sum(1)[None] - 2 * a @ b.T
        # The process is zero on the empty coalition: conditioned on it in closed form.
        near = np.exp(-rate * differing) - np.exp(-rate * (a.sum(1)[:, None] + b.sum(1)[None]))
        return linear * a @ b.T / n + amplitude * near

    def evidence(hyper: np.ndarray) -> float:
        noisy = kernel(hyper, x_RL, x_RL) + basis_RP @ basis_RP.T + (np.exp(2 * hyper[3]) + 1e-8) * np.eye(len(y_R))
        factor = cho_factor(noisy, lower=True)
        fit = 0.5 * y_R @ cho_solve(factor, y_R) + np.log(np.diag(factor[0])).sum()
        return float(fit + 0.5 * (((hyper - middle) / 1.5) ** 2).sum())

    hyper = minimize(evidence, middle, method="L-BFGS-B", bounds=[(-8, 3), (-8, 3), (-5, 2), (-8, 2)]).x
    noisy_RR = kernel(hyper, x_RL, x_RL) + basis_RP @ basis_RP.T + (np.exp(2 * hyper[3]) + 1e-8) * np.eye(len(y_R))
    factor = cho_factor(noisy_RR, lower=True)
    across_CR = kernel(hyper, z_CL, x_RL) + basis_CP @ basis_RP.T
    mean_C = unit * across_CR @ cho_solve(factor, y_R)
    covariance_CC = kernel(hyper, z_CL, z_CL) + basis_CP @ basis_CP.T - across_CR @ cho_solve(factor, across_CR.T)
    return mean_C, unit**2 * covariance_CC
