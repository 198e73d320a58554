"""Shapley values from fewer runs than there are coalitions.

Sequential estimators ask a payoff function for coalitions of their choosing; the others take any table of coalitions
that were run, in one batch, and :func:`glotmix.mixture.design.spread_coalitions` says which to run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

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
SPREADS = (0.2, 0.5, 1.0, 1.5)
"""Standard deviations of ln w that are tried: languages that are all worth about the same, to very unequal ones."""
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
    for t, y_R in enumerate(payoff_RT.T):
        if prior is None:
            curves = [_saturating(inside_RL, y_R, spread) for spread in SPREADS]
        else:
            law = partial(_payoff_of, prior, t)
            curves = [Curve(law, partial(_known, law))]
        processes = [_process(inside_RL, y_R, *curve.linearised(inside_RL)) for curve in curves]
        # How unequal the languages are is what the runs make most probable.
        best = int(np.argmin([process.surprise for process in processes]))
        at_C, basis_CP = curves[best].linearised(every_CL)
        mean_C, covariance_CC = processes[best].everywhere(every_CL, basis_CP)
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
    curves = [_saturating(inside_RL, y_R, SPREADS[-1]) for y_R in payoff_RT.T]
    left_RT = payoff_RT - np.column_stack([curve.fitted(inside_RL) for curve in curves])
    rest = kernel_shap(inside_RL, left_RT)
    base_TL = np.array([W_LC @ curve.fitted(every_CL) for curve in curves])
    return Estimate(base_TL + rest.value_TL, rest.deviation_TL, len(inside_RL))


def estimated(
    measurements: Measurements, empty_loss: Mapping[str, float], seed: int = 0, prior: Payoff | None = None
) -> TransferMatrix:
    """Shapley values from a table in which not every coalition was run.

    Up to ``MOST_MODELLED`` languages by :func:`surrogate`, with intervals; beyond, the saturating curve's values by
    antithetic permutations (its payoffs cost nothing) plus KernelSHAP of what the curve leaves over, without intervals.
    ``method`` says which.

    Args:
        measurements: runs, among them coalitions as :func:`glotmix.transfer.game.game_from` understands them.
        empty_loss: target to the loss of a model that was trained on nothing.
        seed: of the permutations.
        prior: payoffs of a fitted law, which then takes the curve's place (*law-adjusted* values).

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
        found = surrogate(inside_RL, payoff_RT, prior)
        method = "Shapley, estimated from a model of the game" if prior is None else "Shapley, law-adjusted"
    else:
        found, method = (
            _adjusted(inside_RL, payoff_RT, np.random.default_rng(seed), prior),
            "Shapley, regression-adjusted",
        )
    spread_TL = NORMAL_95 * found.deviation_TL
    known = bool(np.isfinite(spread_TL).all())
    low_TL, high_TL = (found.value_TL - spread_TL, found.value_TL + spread_TL) if known else (None, None)
    return TransferMatrix(played.targets, players, found.value_TL, low_TL, high_TL, "bpb", method, notes)


def _adjusted(inside_RL: np.ndarray, payoff_RT: np.ndarray, rng: np.random.Generator, prior: Payoff | None) -> Estimate:
    """:func:`regression_adjusted` without a list of all coalitions."""
    n = inside_RL.shape[1]
    curves = [_saturating(inside_RL, y_R, SPREADS[-1]) for y_R in payoff_RT.T] if prior is None else []

    def payoff(inside: np.ndarray) -> np.ndarray:
        if prior is not None:
            return prior(inside)
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


def _payoff_of(prior: Payoff, t: int, inside: np.ndarray) -> np.ndarray:
    return prior(inside)[:, t]


def _known(fitted: Callable[[np.ndarray], np.ndarray], inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A curve without parameters of its own."""
    return fitted(inside), np.zeros((len(inside), 0))


def _saturating(inside_RL: np.ndarray, y_R: np.ndarray, spread: float) -> Curve:
    """The curve ``A ((1 + Σ w)^-γ - 1)/(-γ)`` with ``ln w = m + spread · z``, linearised where it fits best.

    z, m, γ and ln A have weak Gaussian priors. The process then weighs data against prior, so that its intervals know
    how well the curve is told.
    """
    n = inside_RL.shape[1]
    unit = float(np.abs(y_R).max()) or 1.0
    x_RL = inside_RL.astype(float)

    def curve(theta: np.ndarray, x_RL: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        w_L, gamma, A = np.exp(theta[n] + spread * theta[:n]), theta[n + 1], np.exp(theta[n + 2])
        log_R = np.log1p(x_RL @ w_L)
        z_R = gamma * log_R
        small_R = np.abs(z_R) < 1e-6
        safe_R = np.where(small_R, 1.0, z_R)
        ratio_R = np.where(small_R, 1 - z_R / 2, -np.expm1(-safe_R) / safe_R)
        value_R = A * log_R * ratio_R
        by_log_w_RL = (A * np.exp(-z_R - log_R))[:, None] * x_RL * w_L
        slope_R = np.where(small_R, -0.5, (np.exp(-safe_R) - ratio_R) / safe_R)
        columns = [spread * by_log_w_RL, by_log_w_RL.sum(axis=1), A * log_R**2 * slope_R, value_R]
        return value_R, np.column_stack(columns)

    middle = np.concatenate([np.zeros(n), [-0.5, 0.5, 0.0]])
    width = np.concatenate([np.ones(n), [1.0, 1.0, 1.5]])

    def residuals(theta: np.ndarray) -> np.ndarray:
        return np.concatenate([(curve(theta, x_RL)[0] - y_R / unit) / 0.05, (theta - middle) / width])

    def jacobian(theta: np.ndarray) -> np.ndarray:
        return np.vstack([curve(theta, x_RL)[1] / 0.05, np.diag(1 / width)])

    theta = least_squares(residuals, middle, jacobian, x_scale="jac", max_nfev=200).x

    def linearised(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value_C, rows_CP = curve(theta, inside.astype(float))
        return unit * (value_C + rows_CP @ (middle - theta)), unit * rows_CP * width

    return Curve(lambda inside: unit * curve(theta, inside.astype(float))[0], linearised)


@dataclass(frozen=True)
class Process:
    """A process over coalitions, conditioned on those that were run."""

    x_RL: np.ndarray
    """Coalitions that were run, 0 or 1."""
    basis_RP: np.ndarray
    """Change of the curve there by a standard deviation of each of its parameters, in units of ``unit``."""
    hyper: np.ndarray
    """ln of the linear part, of the amplitude, of the rate, of the noise."""
    unit: float
    """Root mean square of what the curve leaves over."""
    factor: tuple[np.ndarray, bool]
    """Cholesky factor of the covariance of the runs, noise included."""
    left_R: np.ndarray
    """What the curve leaves over, in units of ``unit``."""
    surprise: float
    """Minus the log evidence, penalised."""

    def everywhere(self, every_CL: np.ndarray, basis_CP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Posterior mean and covariance over coalitions."""
        z_CL, basis_CP = every_CL.astype(float), basis_CP / self.unit
        across_CR = _kernel(self.hyper, z_CL, self.x_RL) + basis_CP @ self.basis_RP.T
        prior_CC = _kernel(self.hyper, z_CL, z_CL) + basis_CP @ basis_CP.T
        covariance_CC = prior_CC - across_CR @ cho_solve(self.factor, across_CR.T)
        return self.unit * across_CR @ cho_solve(self.factor, self.left_R), self.unit**2 * covariance_CC


def _kernel(hyper: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    linear, amplitude, rate = np.exp(2 * hyper[0]), np.exp(2 * hyper[1]), np.exp(hyper[2])
    differing = a.sum(1)[:, None] + b.sum(1)[None] - 2 * a @ b.T
    # The process is zero on the empty coalition: conditioned on it in closed form.
    near = np.exp(-rate * differing) - np.exp(-rate * (a.sum(1)[:, None] + b.sum(1)[None]))
    return np.asarray(linear * a @ b.T / a.shape[1] + amplitude * near)


def _process(inside_RL: np.ndarray, y_R: np.ndarray, at_R: np.ndarray, basis_RP: np.ndarray) -> Process:
    """The process of what a curve leaves over; hyperparameters by penalised evidence."""
    x_RL = inside_RL.astype(float)
    unit = float(np.sqrt(np.mean((y_R - at_R) ** 2))) or 1.0
    basis_RP, left_R = basis_RP / unit, (y_R - at_R) / unit
    middle = np.array([-2.0, -1.0, -1.0, -1.0])

    def noisy(hyper: np.ndarray) -> tuple[np.ndarray, bool]:
        noise = (np.exp(2 * hyper[3]) + 1e-8) * np.eye(len(left_R))
        factor, lower = cho_factor(_kernel(hyper, x_RL, x_RL) + basis_RP @ basis_RP.T + noise, lower=True)
        return factor, bool(lower)

    def surprise(hyper: np.ndarray) -> float:
        factor = noisy(hyper)
        fit = 0.5 * left_R @ cho_solve(factor, left_R) + np.log(np.diag(factor[0])).sum()
        return float(fit + 0.5 * (((hyper - middle) / 1.5) ** 2).sum())

    found = minimize(surprise, middle, method="L-BFGS-B", bounds=[(-8, 3), (-8, 3), (-5, 2), (-8, 2)])
    told = float(found.fun) + len(left_R) * float(np.log(unit))
    return Process(x_RL, basis_RP, found.x, unit, noisy(found.x), left_R, told)
