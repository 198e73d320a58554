"""Effective share: what a mixture is worth to a target, in shares of the target itself; and the curve a loss follows."""

from __future__ import annotations

import numpy as np


def power_mean(
    p_RL: np.ndarray, w_L: np.ndarray, kappa: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``p̃ = (Σ_l (w_l p_l)^κ)^(1/κ)``: κ = 1 adds transfer up, κ < 1 lets every further source give less.

    Returns:
        ln p̃ [R] and its derivatives by ln w_l [R, L], by κ [R], and by p_l [R, L]. Zero shares give nothing; their
        derivative by p_l, infinite for κ < 1, is that of a share of 10^-9.
    """
    tiny = 1e-9
    log_RL = np.log(np.maximum(p_RL, tiny)) + np.log(w_L)
    part_RL = np.where(p_RL > 0, np.exp(kappa * log_RL), 0.0)
    sum_R = np.maximum(part_RL.sum(axis=1), 1e-300)
    log_R = np.log(sum_R) / kappa
    by_w_RL = part_RL / sum_R[:, None]
    by_kappa_R = ((by_w_RL * log_RL).sum(axis=1) - log_R) / kappa
    by_p_RL = np.exp(kappa * log_RL) / sum_R[:, None] / np.maximum(p_RL, tiny)
    return log_R, by_w_RL, by_kappa_R, by_p_RL


def box_cox(log_R: np.ndarray, gamma: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(x^-γ - 1) / γ`` from ln x, with its derivatives by ln x and by γ; at γ = 0 it is ``-ln x``."""
    y_R = -log_R
    z_R = np.clip(gamma * y_R, -50, 50)
    power_R = np.exp(z_R)
    near_R = np.abs(z_R) < 1e-4
    safe = gamma if gamma else 1.0
    value_R = np.where(near_R, y_R * (1 + z_R / 2 + z_R**2 / 6), np.expm1(z_R) / safe)
    series_R = y_R**2 * (0.5 + z_R / 3 + z_R**2 / 8)
    by_gamma_R = np.where(near_R, series_R, (y_R * power_R - value_R) / safe)
    return value_R, -power_R, by_gamma_R
