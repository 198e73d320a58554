"""Effective share: what a mixture is worth to a target in shares of its own, and the curve that a loss follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from glotmix.laws.law import Inputs

TINY = 1e-9
"""Where a derivative by a share is infinite at zero, that of a share of this size is given."""


@dataclass(frozen=True)
class EffectiveShare:
    """ln p̃ [R] of R mixtures, with its derivatives."""

    log_R: np.ndarray
    """ln p̃."""
    by_weight_RS: np.ndarray
    """By ln w of every source (every language but the target)."""
    by_kappa_R: np.ndarray
    """By κ."""
    by_nu_R: np.ndarray
    """By ν; zero for a target outside the mixture."""
    by_p: Callable[[], np.ndarray]
    """By the shares, [R, L]; worked out when it is asked for, since only an optimiser asks."""


ABSENT = -1e4
"""What stands for ln 0: its powers are zero."""


def effective_share(
    inputs: Inputs, own: int | None, w_S: np.ndarray, kappa: float | np.ndarray, nu: float | np.ndarray
) -> EffectiveShare:
    """``p̃ = (p_t^ν + h^ν)^(1/ν)`` of the own share and the help ``h = (Σ_l (w_l p_l)^κ)^(1/κ)`` of the other languages.

    Exponents of 1 add up, smaller ones let more kinds of help be worth more than more of the same (a nested CES
    function, Sato 1967). For a target outside the mixture p̃ is the help alone. Weights
    [S] and exponents may also be those of every run, [R, S] and [R].
    """
    log_source_RS, log_own_R = inputs.log_shares(own, TINY, ABSENT)
    log_RS = log_source_RS + np.log(w_S)
    kappa_of_S = np.asarray(kappa)[..., None]
    part_RS = kappa_of_S * log_RS
    np.exp(part_RS, out=part_RS)
    sum_R = np.maximum(part_RS.sum(axis=1), 1e-200)
    help_R = np.log(sum_R) / kappa
    by_kappa_R = (np.einsum("rs,rs->r", part_RS, log_RS) / sum_R - help_R) / kappa

    def by_source() -> np.ndarray:
        source_RS = np.maximum(inputs.p_RL if own is None else np.delete(inputs.p_RL, own, axis=1), TINY)
        return np.asarray((source_RS * w_S) ** kappa_of_S / sum_R[:, None] / source_RS)

    if own is None:
        part_RS /= sum_R[:, None]
        return EffectiveShare(help_R, part_RS, by_kappa_R, np.zeros(len(sum_R)), by_source)
    own_part_R, help_part_R = np.exp(nu * log_own_R), np.exp(nu * help_R)
    total_R = np.maximum(own_part_R + help_part_R, 1e-200)
    log_R = np.log(total_R) / nu
    by_help_R = help_part_R / total_R
    by_nu_R = ((own_part_R * log_own_R + help_part_R * help_R) / total_R - log_R) / nu

    def by_p() -> np.ndarray:
        own_R = np.maximum(inputs.p_RL[:, own], TINY)
        return np.insert(by_help_R[:, None] * by_source(), own, own_R**nu / total_R / own_R, axis=1)

    part_RS *= (by_help_R / sum_R)[:, None]
    return EffectiveShare(log_R, part_RS, by_help_R * by_kappa_R, by_nu_R, by_p)


def box_cox(log_R: np.ndarray, gamma: float | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(x^-γ - 1) / γ`` from ln x, with its derivatives by ln x and by γ; at γ = 0 it is ``-ln x``.

    γ may be one number, or one of every run.
    """
    y_R = -log_R
    z_R = np.clip(gamma * y_R, -50, 50)
    power_R = np.exp(z_R)
    near_R = np.abs(z_R) < 1e-4
    safe = np.where(gamma, gamma, 1.0)
    value_R = np.where(near_R, y_R * (1 + z_R / 2 + z_R**2 / 6), np.expm1(z_R) / safe)
    series_R = y_R**2 * (0.5 + z_R / 3 + z_R**2 / 8)
    by_gamma_R = np.where(near_R, series_R, (y_R * power_R - value_R) / safe)
    return value_R, -power_R, by_gamma_R
