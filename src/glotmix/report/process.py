"""Gaussian processes that correct a law, in the form that the page evaluates: exact means, thinned deviations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpstrf

from glotmix.laws.gaussian_process import TrainedProcess
from glotmix.laws.law import Inputs

EXACT = 125_000
"""Numbers over all targets up to which the deviations are evaluated exactly; else they are thinned to twice as many,
which travel in half as many bits."""
CHECKED = 200
"""Random mixtures at which the error of thinned deviations is looked at."""


@dataclass(frozen=True)
class ProcessFit:
    """The process of one target: ``ln L`` is moved by ``unit · Σ_r α_r k(x, x_r)``.

    The kernel is a Matérn-5/2 one plus ``pairs · (L p·q)²``.
    """

    x_RK: np.ndarray
    """Features of the runs that it has seen: a power of every share, then ln N and ln D where they are known."""
    alpha_R: np.ndarray
    """Weights of the runs."""
    length_K: np.ndarray
    """Length of every feature."""
    variance: float
    """Of the Matérn part, in units of ``unit``²."""
    pairs: float
    """Of quadratic forms at equal shares, in units of ``unit``²."""
    unit: float
    """Root mean square of the log residuals."""
    picked_M: np.ndarray
    """Runs that the deviation is told by."""
    root_MM: np.ndarray
    """Lower triangle C: the variance at x is ``k(x, x) - |C k_M(x)|²``."""
    error: float
    """Largest error of the deviation that leaving out other runs makes, as a part of the loss; 0 where all are in."""


def processes_of(learned: Sequence[TrainedProcess], inputs: Inputs) -> tuple[ProcessFit, ...]:
    """The processes of all targets.

    Args:
        learned: one per target.
        inputs: mixtures that the error of thinned deviations is looked at.
    """
    size = len(learned[0].y_R) if learned else 0
    whole = sum(len(one.y_R) * (len(one.y_R) + 1) // 2 for one in learned) <= EXACT
    most = size if whole else int(np.sqrt(4 * EXACT / max(len(learned), 1)))
    return tuple(_process(one, most, inputs) for one in learned)


def _process(learned: TrainedProcess, most: int, inputs: Inputs) -> ProcessFit:
    factor_RR = np.tril(learned.factor[0])
    R = len(factor_RR)
    root_RR = solve_triangular(factor_RR, np.eye(R), lower=True)
    variance = float(np.exp(2 * learned.hyper[0]))
    picked_M, root_MM, error = np.arange(R), root_RR, 0.0
    if most < R:
        kernel_RR = learned.among_runs()
        picked_M = _pivots(kernel_RR, most)
        # Runs as the picked ones tell them: k_R ≈ K_RM K_MM⁻¹ k_M, so that |C k_M|² is what they explain.
        among_MM = kernel_RR[np.ix_(picked_M, picked_M)] + 1e-8 * (variance + learned.pairs) * np.eye(len(picked_M))
        weight_RM = np.linalg.solve(among_MM, kernel_RR[picked_M]).T
        half_RM = root_RR @ weight_RM
        turned_MM = (half_RM.T @ half_RM)[::-1, ::-1]
        jitter = 1e-12 * float(np.trace(turned_MM))
        root_MM = np.linalg.cholesky(turned_MM + jitter * np.eye(len(picked_M)))[::-1, ::-1].T.astype(np.float32)
        explained_Q = ((learned.kernel(inputs)[:, picked_M] @ root_MM.T.astype(float)) ** 2).sum(axis=1)
        thin_Q = learned.unit * np.sqrt(np.maximum(learned.variance(inputs) - explained_Q, 0))
        error = float(np.abs(thin_Q - learned.deviation(inputs)).max())
    told = learned.lengths, variance, learned.pairs, learned.unit
    return ProcessFit(learned.x_RK, learned.alpha_R, *told, picked_M, np.asarray(root_MM), error)


def _pivots(kernel_RR: np.ndarray, most: int) -> np.ndarray:
    """Runs that tell most of the others, by pivoted Cholesky."""
    _, order_R, rank, _ = dpstrf(kernel_RR + 1e-12 * np.eye(len(kernel_RR)), lower=1)
    return np.sort(order_R[: min(most, rank)] - 1)
