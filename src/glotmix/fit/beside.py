"""A law beside a black box: its parameters give way to what the box tells of the residuals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from glotmix.fit.solve import Equations, inner, outer
from glotmix.laws.residual import Learned, Residual, Slack

FREE = 0.1
"""What a parameter of which no prior speaks may do to ln L at the runs, root mean square."""
TINY = 1e-6
"""Relative addition to the priors' precision, with which it is positive definite."""


@dataclass(frozen=True)
class Beside:
    """Where a law and a black box ended together."""

    theta_P: np.ndarray
    """The law's parameters."""
    residual_R: np.ndarray
    """ln L - ln L̂ of the law alone under these."""
    learned: Learned
    """What the box learned of that."""


def beside(
    box: Residual, wanted: Equations, theta_P: np.ndarray, weight_R: np.ndarray, seed: int, known: Learned | None = None
) -> Beside:
    """What a box learns of the residuals of a fitted law, and where the law's parameters are once it has.

    A law that is fitted alone takes the residuals of neighbouring mixtures for independent ones, and bends to what it
    lacks; a process knows that they go together, and with it the parameters are those of generalised least squares.
    They may move from the fit by as much as their priors are wide. Source: Rasmussen & Williams, Gaussian Processes for
    Machine Learning (2006), section 2.7 (universal kriging, Matheron 1969), with the law's derivatives as the explicit
    basis functions and its priors as theirs, but centred at the fit, which has heard them already.

    Args:
        box: the kind of black box.
        wanted: the residuals of the law at the runs.
        theta_P: its parameters, fitted alone.
        weight_R: relative precision of the runs.
        seed: of the box.
        known: what a box has learned of nearly the same runs.
    """
    law, problem = wanted.law, wanted.problem
    bounds = tuple(inner(bound_P, wanted.log_P) for bound_P in law.bounds(problem))
    x_P = np.clip(inner(theta_P, wanted.log_P), *bounds)
    residual_M, rows_MP = wanted(x_P)
    R = len(wanted.log_loss_R)
    by_x_RP = rows_MP[:R] / wanted.root_R[:, None]
    by_x_RP = np.where((bounds[0] < x_P) & (x_P < bounds[1]), by_x_RP, 0.0)
    precision_PP = rows_MP[R:].T @ rows_MP[R:]
    untold_P = precision_PP.diagonal() == 0
    precision_PP[untold_P, untold_P] = np.maximum((by_x_RP[:, untold_P] ** 2).mean(axis=0), 1e-12) / FREE**2
    precision_PP.flat[:: len(x_P) + 1] *= 1 + TINY  # a prior may speak of sums alone
    root_PP = np.linalg.cholesky(precision_PP)

    def moved(step_P: np.ndarray) -> np.ndarray:
        away_P = solve_triangular(root_PP, step_P, lower=True, trans=1)
        return np.asarray(np.clip(x_P + away_P, *bounds))

    def residual_of(step_P: np.ndarray) -> np.ndarray:
        return np.asarray(-wanted.of_runs(moved(step_P)) / wanted.root_R)

    slack = Slack(solve_triangular(root_PP, by_x_RP.T, lower=True).T, residual_of)
    learned = box.learn(wanted.inputs, -residual_M[:R] / wanted.root_R, weight_R, seed, known, slack)
    if learned.step_P is None:
        return Beside(theta_P, -residual_M[:R] / wanted.root_R, learned)
    return Beside(outer(moved(learned.step_P), wanted.log_P), residual_of(learned.step_P), learned)
