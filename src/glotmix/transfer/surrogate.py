"""A model of the game: Shapley values, with errors, from fewer runs than there are coalitions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import least_squares, minimize

from glotmix.transfer.estimate import Payoff, SampledValues, kernel_shap, permutation
from glotmix.transfer.game import members
from glotmix.transfer.shapley import weights

MOST_MODELLED = 12
"""Languages up to which all coalitions are written out."""
PERMUTATIONS = 4000
"""Orders of arrival in which a curve's values are averaged; they cost no runs."""
SPREADS = (0.2, 0.5, 1.0, 1.5)
"""Standard deviations of ln w that are tried: languages that are all worth about the same, to very unequal ones."""


def surrogate(
    inside_RL: np.ndarray,
    payoff_RT: np.ndarray,
    prior: Payoff | None = None,
    *,
    noise_RT: np.ndarray | None = None,
    empty_runs_T: np.ndarray | None = None,
    W_LC: np.ndarray | None = None,
) -> SampledValues:
    """Exact values of a model of the game: a saturating curve, corrected by a Gaussian process on what it leaves over.

    The curve is ``A ((1 + Σ_{l∈S} w_l)^-γ - 1)/(-γ)``, the law of an effective share in terms of who is present; the
    process has a linear part and one that falls by a factor per differing member, so it can take back any error of the
    curve. Values are linear in payoffs, so those of the process come with a standard deviation. The empty coalition is
    known to pay nothing.

    Args:
        inside_RL: coalitions that were run (repeats allowed).
        payoff_RT: their payoffs; NaN where a run lacks the target.
        prior: payoffs of a fitted law, used in place of the curve: *law-adjusted* values, the law as control variate.
        noise_RT: how noisy runs are relative to each other; default equally. The level is found by evidence. Without
            repeats this must not be: evidence takes a misfit where the target was absent for noise.
        empty_runs_T: of how many runs the loss of the empty coalition is a mean, whose noise then counts (taken as the
            noisiest run's); 0 where it was given.
        W_LC: from payoffs by coalition number to the values wanted, [L, 2^n]; default Shapley values.
    """
    n = inside_RL.shape[1]
    every_CL = members(n)[1:]
    W_LC = (weights(n) if W_LC is None else W_LC)[:, 1:]
    values, covariances, freedoms = [], [], []
    for t in range(payoff_RT.shape[1]):
        known_R = np.isfinite(payoff_RT[:, t])
        some_RL, y_R = inside_RL[known_R], payoff_RT[known_R, t]
        noise_R = np.ones(len(y_R)) if noise_RT is None else noise_RT[known_R, t]
        if prior is None:
            curves = [_saturating(some_RL, y_R, spread) for spread in SPREADS]
        else:
            law = partial(_payoff_of, prior, t)
            curves = [PayoffCurve(law, partial(_known, law))]
        processes = [_process(some_RL, y_R, noise_R, *curve.linearised(some_RL)) for curve in curves]
        # How unequal the languages are is what the runs make most probable.
        best = int(np.argmin([process.surprise for process in processes]))
        at_C, basis_CP = curves[best].linearised(every_CL)
        mean_C, covariance_CC = processes[best].everywhere(every_CL, basis_CP)
        covariance_LL = W_LC @ covariance_CC @ W_LC.T
        if empty_runs_T is not None and empty_runs_T[t]:  # an error of L(∅) moves all values alike
            covariance_LL = covariance_LL + (processes[best].noise * noise_R.max() / n) ** 2 / empty_runs_T[t]
        values.append(W_LC @ (at_C + mean_C))
        covariances.append(covariance_LL)
        # The scale of curve, process and noise together is told by every run: with it integrated out under its
        # scale-free prior, values follow a t distribution with as many degrees of freedom.
        freedoms.append(len(y_R))
    covariance_TLL = np.array(covariances)
    deviation_TL = np.sqrt(np.maximum(np.einsum("tll->tl", covariance_TLL), 0))
    return SampledValues(np.array(values), deviation_TL, len(inside_RL), covariance_TLL, np.array(freedoms))


def regression_adjusted(inside_RL: np.ndarray, payoff_RT: np.ndarray) -> SampledValues:
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
    return SampledValues(base_TL + rest.value_TL, rest.deviation_TL, len(inside_RL))


def adjusted(
    inside_RL: np.ndarray, payoff_RT: np.ndarray, rng: np.random.Generator, prior: Payoff | None
) -> SampledValues:
    """:func:`regression_adjusted` without a list of all coalitions: the curve's values come from permutations."""
    n = inside_RL.shape[1]
    curves = [_saturating(inside_RL, y_R, SPREADS[-1]) for y_R in payoff_RT.T] if prior is None else []

    def payoff(inside: np.ndarray) -> np.ndarray:
        if prior is not None:
            return prior(inside)
        return np.column_stack([curve.fitted(inside) for curve in curves])

    base = permutation(payoff, n, PERMUTATIONS * n, rng, antithetic=True)
    rest = kernel_shap(inside_RL, payoff_RT - payoff(inside_RL))
    return SampledValues(base.value_TL + rest.value_TL, rest.deviation_TL, len(inside_RL))


@dataclass(frozen=True)
class PayoffCurve:
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


def _saturating(inside_RL: np.ndarray, y_R: np.ndarray, spread: float) -> PayoffCurve:
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

    return PayoffCurve(lambda inside: unit * curve(theta, inside.astype(float))[0], linearised)


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

    @property
    def noise(self) -> float:
        """Standard deviation of a run of relative noise 1."""
        return self.unit * float(np.exp(self.hyper[3]))

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


def _process(
    inside_RL: np.ndarray,
    y_R: np.ndarray,
    relative_R: np.ndarray,
    at_R: np.ndarray,
    basis_RP: np.ndarray,
) -> Process:
    """The process of what a curve leaves over; hyperparameters by penalised evidence."""
    x_RL = inside_RL.astype(float)
    unit = float(np.sqrt(np.mean((y_R - at_R) ** 2))) or 1.0
    basis_RP, left_R = basis_RP / unit, (y_R - at_R) / unit
    middle = np.array([-2.0, -1.0, -1.0, -1.0])

    def noisy(hyper: np.ndarray) -> tuple[np.ndarray, bool]:
        noise_R = np.exp(2 * hyper[3]) * relative_R**2 + 1e-8
        matrix_RR = _kernel(hyper, x_RL, x_RL) + basis_RP @ basis_RP.T + np.diag(noise_R)
        factor, lower = cho_factor(matrix_RR, lower=True)
        return factor, bool(lower)

    def surprise(hyper: np.ndarray) -> float:
        factor, lower = noisy(hyper)
        fit = 0.5 * left_R @ cho_solve((factor, lower), left_R) + np.log(np.diag(factor)).sum()
        return float(fit + 0.5 * (((hyper - middle) / 1.5) ** 2).sum())

    found = minimize(surprise, middle, method="L-BFGS-B", bounds=[(-8, 3), (-8, 3), (-5, 2), (-8, 2)])
    told = float(found.fun) + len(left_R) * float(np.log(unit))
    return Process(x_RL, basis_RP, found.x, unit, noisy(found.x), left_R, told)
