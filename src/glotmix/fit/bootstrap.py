"""Resampled fits: how far the parameters could have come out otherwise, told by leaving out every mixture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glotmix.fit.solve import SOFT_L1, Equations, inner, levenberg_marquardt, outer

LEAST_LEFT = 0.05
"""A mixture whose runs explain nearly all of themselves away is taken to leave this much of its error over."""
CLOSE = 0.3
"""A draw is as linear as it was taken to be if its losses differ by less than this share of their own change."""

STEPS, MORE_STEPS = 3, 6
"""Steps at most towards the losses of a linear draw: from where the draw is, or from the fit if that is no start."""
NO_START = 4.0
"""Where the draw is is no start if these steps end with a cost so many times that of a close draw: losses off by twice
as much."""
UNDAMPED = 1e-5
"""Damping of the first step from where the draw is: the law bends there, but the way back is the linear one."""


@dataclass(frozen=True)
class LeftOut:
    """What leaving out the runs of one mixture at a time does to a fit."""

    shift_GP: np.ndarray
    """How the parameters move, in the fit's own variables, by what mixture g is thought to be off: its residuals, made
    larger by as much as the fit has explained of them away."""
    without_GP: np.ndarray
    """How they move when mixture g comes in: by its residuals under the fit without it, which are larger still."""
    residual_R: np.ndarray
    """ln L - ln L̂ of each run under the parameters found without its mixture."""
    prior_KP: np.ndarray
    """How the parameters move when the mean of prior k moves by a standard deviation."""


def leave_out(wanted: Equations, theta_P: np.ndarray, group_R: np.ndarray, groups: int) -> LeftOut:
    """Leave out every mixture in turn, to first order, from one decomposition.

    With ``H = JᵀWJ + P`` (J the derivatives of the residuals, W their robust weights, P the prior's curvature) the
    residuals of mixture g without it are ``(I - J_g H⁻¹ J_gᵀ W_g)⁻¹ e_g``, and it moved the parameters by
    ``H⁻¹ J_gᵀ W_g`` times these. Source: Cook & Weisberg, Residuals and Influence in Regression (1982), section 5.2.

    What the parameters might be off by is told by a part of that step, ``(I - J_g H⁻¹ J_gᵀ W_g)^-δ e_g``. With δ = 1/2
    its variance is that of the errors where they are alike (HC2), with δ = 1 it is the jackknife's (HC3), far too wide
    where a dozen mixtures tell seven parameters, but safe where a mixture rules the fit. So δ grows with how much a
    mixture explains away, from 1/2 where it is the mean over mixtures to 1 where it is twice that. Source: MacKinnon &
    White (1985); by groups Bell & McCaffrey (2002); δ as in Cribari-Neto's HC4 (2004), at most the jackknife's.
    """
    x_P, rows_MP, residual_M, free_P = _at(wanted, theta_P)
    R = len(wanted.log_loss_R)
    weight_R = SOFT_L1.weight(residual_M[:R])
    error_R = -residual_M[:R]
    normal_PP = rows_MP[:R].T @ (weight_R[:, None] * rows_MP[:R]) + rows_MP[R:].T @ rows_MP[R:]
    inverse_PP = np.zeros_like(normal_PP)
    inverse_PP[np.ix_(free_P, free_P)] = _pseudo_inverse(normal_PP[np.ix_(free_P, free_P)])
    gain_RP = rows_MP[:R] @ inverse_PP
    left_R, own_R = np.empty(R), np.empty(R)
    away_R = weight_R * np.einsum("rp,rp->r", gain_RP, rows_MP[:R])
    away_G = np.bincount(group_R, away_R, groups)
    part_G = 0.5 * np.clip(away_G * (away_G > 0).sum() / max(float(away_G.sum()), 1e-30), 1, 2)
    for rows in _rows_of(group_R, groups):
        if len(rows) == 1:
            kept = max(1 - float(away_R[rows[0]]), LEAST_LEFT)
            left_R[rows], own_R[rows] = error_R[rows] / kept, error_R[rows] / kept ** part_G[group_R[rows[0]]]
            continue
        root = np.sqrt(weight_R[rows])
        block = root[:, None] * (gain_RP[rows] @ rows_MP[rows].T) * root
        value, vector = np.linalg.eigh(np.eye(len(rows)) - (block + block.T) / 2)
        turned, kept_K = vector.T @ (root * error_R[rows]), np.maximum(value, LEAST_LEFT)
        left_R[rows] = vector @ (turned / kept_K) / root
        own_R[rows] = vector @ (turned / kept_K ** part_G[group_R[rows[0]]]) / root
    shift_GP, without_GP = np.zeros((groups, len(x_P))), np.zeros((groups, len(x_P)))
    np.add.at(shift_GP, group_R, gain_RP * (weight_R * own_R)[:, None])
    np.add.at(without_GP, group_R, gain_RP * (weight_R * left_R)[:, None])
    return LeftOut(shift_GP, without_GP, left_R / wanted.root_R, rows_MP[R:] @ inverse_PP)


def multipliers(groups: int, B: int, seed: int) -> np.ndarray:
    """Random weights [B, G] of the mixtures, one set for all targets, so that what moves them together stays together.

    Student's t with G - 1 degrees of freedom: with few mixtures the spread of their shifts is itself not known well.
    """
    rng = np.random.default_rng((seed, groups))
    freedom = max(groups - 1, 2)
    return np.asarray(rng.standard_normal((B, groups)) * np.sqrt(freedom / rng.chisquare(freedom, (B, 1))))


def prior_draws(B: int, K: int, seed: int, place: int) -> np.ndarray:
    """Draws [B, K] of the means of a target's own priors, in standard deviations; ``place`` is that of the target."""
    return np.random.default_rng((seed, place, 1)).standard_normal((B, K))


def resample(
    wanted: Equations, theta_P: np.ndarray, left: LeftOut, multiplier_BG: np.ndarray, known_BK: np.ndarray
) -> np.ndarray:
    """Parameters [B, P]: each draw adds up what leaving out every mixture does, times a random weight of mean 0.

    Its variance is the jackknife's over mixtures: runs of one mixture (seeds, checkpoints) are one piece of evidence,
    noise may differ from run to run and be shared by targets, a law that does not have the form of the truth moves as
    much as its held-out errors say, and the draws have the fit as their mean however the residuals are skewed. Source:
    the multiplier (score) bootstrap of Kline & Santos (2012) with the leave-out residuals of MacKinnon & White's HC3.
    The means of the priors are drawn as well (``known``, in standard deviations): a parameter that the runs do not tell
    varies as widely as its prior allows (randomise, then optimise; Bardsley et al. 2014).

    Where the law is too curved for the step, the draw is the law whose losses at the runs come nearest to those of the
    step: else a hundred weights of languages that hardly help, drawn up and down by the same factor, would help on
    average.
    """
    x_P, rows_MP, residual_M, _ = _at(wanted, theta_P)
    low_P, high_P = (inner(bound_P, wanted.log_P) for bound_P in wanted.law.bounds(wanted.problem))
    R = len(wanted.log_loss_R)
    theta_BP = np.empty((len(multiplier_BG), len(x_P)))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for b, step_P in enumerate(multiplier_BG @ left.shift_GP + known_BK @ left.prior_KP):
            new_P = np.clip(x_P + step_P, low_P, high_P)
            change_M = rows_MP @ step_P
            moved_R = wanted.of_runs(new_P) - residual_M[:R]
            size = float(np.sqrt(np.mean(change_M[:R] ** 2)))
            off = float(np.sqrt(np.mean((moved_R - change_M[:R]) ** 2)))
            if not off <= CLOSE * size + 1e-6:
                # A scale is raised by what the slope says, not by a factor: that may be thousands.
                gentle_P = np.where(wanted.log_P & (step_P > 0), np.log1p(np.maximum(step_P, 0)), step_P)
                new_P = np.clip(x_P + gentle_P, low_P, high_P)
                near = 0.5 * CLOSE**2 * float(change_M @ change_M)
                here = (x_P, residual_M, rows_MP)
                new_P = _nearest(wanted, residual_M + change_M, new_P, here, (low_P, high_P), near)
            theta_BP[b] = outer(new_P, wanted.log_P)
    return theta_BP


def _nearest(
    wanted: Equations,
    goal_M: np.ndarray,
    draw_P: np.ndarray,
    fit: tuple[np.ndarray, np.ndarray, np.ndarray],
    bounds: tuple[np.ndarray, np.ndarray],
    near: float,
) -> np.ndarray:
    """The parameters whose residuals come nearest to ``goal``, found from where the draw is, or from the fit
    (parameters, residuals and derivatives there) if the former is no start; ``near`` is the cost of a close draw.

    The draw itself is the better start: what the prior alone tells is right there already.
    """

    def away(y_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        residual_M, rows_MP = wanted(y_P)
        return residual_M - goal_M, rows_MP

    found_P, cost, _ = levenberg_marquardt(away, draw_P, *bounds, 0, STEPS, 1e-2, patience=1, damping=UNDAMPED)
    if cost <= NO_START * near:
        return found_P
    fit_P, residual_M, rows_MP = fit
    first = residual_M - goal_M, rows_MP
    other_P, other, _ = levenberg_marquardt(away, fit_P, *bounds, 0, MORE_STEPS, 1e-2, first, patience=1, damping=1e-2)
    return other_P if other < cost else found_P


def _at(wanted: Equations, theta_P: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The fitted point in the fit's own variables, the Jacobian and residuals there, and which parameters may move."""
    low_P, high_P = wanted.law.bounds(wanted.problem)
    at_P = np.clip(theta_P, low_P, high_P)
    x_P = inner(at_P, wanted.log_P)
    residual_M, rows_MP = wanted(x_P)
    return x_P, rows_MP, residual_M, (at_P > low_P) & (at_P < high_P)


def _pseudo_inverse(normal_PP: np.ndarray) -> np.ndarray:
    """Inverse in the directions that the runs or the prior tell."""
    size_P = np.sqrt(np.diag(normal_PP))
    size_P = np.where(size_P > 1e-100, size_P, 1.0)
    value_K, vector_PK = np.linalg.eigh(normal_PP / np.outer(size_P, size_P))
    seen_K = value_K > 1e-10 * max(float(value_K.max(initial=0.0)), 1e-300)
    scaled_PK = vector_PK[:, seen_K] / size_P[:, None]
    return np.asarray((scaled_PK / value_K[seen_K]) @ scaled_PK.T)


def _rows_of(group_R: np.ndarray, groups: int) -> list[np.ndarray]:
    order_R = np.argsort(group_R, kind="stable")
    ends_G = np.cumsum(np.bincount(group_R, minlength=groups))
    return [rows for rows in np.split(order_R, ends_G[:-1]) if len(rows)]
