"""Weights from repeats: runs of a noisy corner of the simplex count less."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from glotmix.fit.splits import repeats_of
from glotmix.measurements import Measurements

LEAST_REPEATED = 3
"""Mixtures that must be repeated; fewer cannot tell whether the noise depends on the mixture."""
SHARE_FLOOR = 0.01
"""The own share enters as ln(p + 0.01)."""
SLOPE_PRIOR = 1.0
"""Standard deviation of the slope of ln variance over ln(p + 0.01), around 0: even noise unless repeats say not."""
WIDEST = 10.0
"""No weight is further from the others' mean than this factor."""


def weights_from_repeats(measurements: Measurements) -> np.ndarray:
    """Relative precision of every run for every target [R, T], for ``fit(..., weights=)``; ones where nothing is known.

    The variance of ln L between runs of one mixture (at the same N and D) is taken to be ``exp(a + b ln(p_t + 0.01))``;
    a and b maximise the likelihood of the pooled variances (scaled χ²) under a prior that keeps b near 0. For a target
    outside the mixture, and with fewer than three repeated mixtures, all runs weigh the same.
    """
    group_R = repeats_of(measurements)
    weight_RT = np.ones_like(measurements.loss_RT)
    for t, target in enumerate(measurements.targets):
        if target not in measurements.languages:
            continue
        x_R = np.log(measurements.p_RL[:, measurements.languages.index(target)] + SHARE_FLOOR)
        pooled = [_variance(np.log(measurements.loss_RT[group_R == g, t]), x_R[group_R == g]) for g in set(group_R)]
        told = np.array([row for row in pooled if row is not None])
        if len(told) < LEAST_REPEATED:
            continue
        slope = _slope(*told.T)
        weight_R = np.exp(-slope * (x_R - x_R.mean()))
        weight_RT[:, t] = np.clip(weight_R / weight_R.mean(), 1 / WIDEST, WIDEST)
    return weight_RT


def _variance(log_loss: np.ndarray, x: np.ndarray) -> tuple[float, float, float] | None:
    """Variance, its degrees of freedom, and where it was measured; None without a repeat."""
    log_loss = log_loss[np.isfinite(log_loss)]
    return (float(log_loss.var(ddof=1)), len(log_loss) - 1.0, float(x.mean())) if len(log_loss) > 1 else None


def _slope(variance_G: np.ndarray, freedom_G: np.ndarray, x_G: np.ndarray) -> float:
    x_G = x_G - x_G.mean()
    unit = float(np.average(variance_G, weights=freedom_G)) or 1.0

    def surprise(theta: np.ndarray) -> float:
        log_G = theta[0] + theta[1] * x_G
        fit = 0.5 * freedom_G @ (log_G + variance_G / unit * np.exp(-log_G))
        return float(fit + 0.5 * (theta[1] / SLOPE_PRIOR) ** 2)

    return float(minimize(surprise, np.zeros(2), method="BFGS").x[1])
