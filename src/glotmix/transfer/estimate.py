"""Shapley values from fewer runs than there are coalitions.

Sequential estimators ask a payoff function for coalitions of their choosing; the others take any table of coalitions
that were run, in one batch, and :func:`glotmix.mixture.design.spread_coalitions` says which to run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from glotmix.errors import BadInput

Payoff = Callable[[np.ndarray], np.ndarray]
"""From coalitions (booleans [C, L]) to payoffs [C, T]."""


@dataclass(frozen=True)
class SampledValues:
    """Shapley values of one game."""

    value_TL: np.ndarray
    """Estimated values."""
    deviation_TL: np.ndarray
    """Their standard deviations; NaN where the estimator has none."""
    runs: int
    """Coalitions that were asked for, the empty one not counted."""
    covariance_TLL: np.ndarray | None = None
    """Covariance of each target's values; None where the estimator has none."""
    freedom_T: np.ndarray | None = None
    """Degrees of freedom with which the scale of the deviations is known; None without deviations."""


def permutation(payoff: Payoff, n: int, runs: int, rng: np.random.Generator, antithetic: bool = False) -> SampledValues:
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
    return SampledValues(value_TL, deviation_TL, asked)


def kernel_shap(inside_RL: np.ndarray, payoff_RT: np.ndarray) -> SampledValues:
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
    return SampledValues(value_TL, np.full_like(value_TL, np.nan), len(inside_RL))
