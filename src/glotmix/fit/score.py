"""How a prediction is scored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Score:
    """How one law predicts one target on unseen runs."""

    error: float
    """Mean of ``|L̂ - L| / L``."""
    mae: float
    """Mean of ``|L̂ - L|``, in the unit of the loss."""
    spearman: float
    """Rank correlation of prediction and measurement; NaN where the predictions are all equal."""
    runs: int
    """Held-out runs that the law could predict (finite)."""


def score(predicted_R: np.ndarray, measured_R: np.ndarray) -> Score | None:
    """Errors over the runs where both are finite; None when there is none."""
    keep_R = np.isfinite(predicted_R) & np.isfinite(measured_R)
    if not keep_R.any():
        return None
    predicted_R, measured_R = predicted_R[keep_R], measured_R[keep_R]
    off_R = np.abs(predicted_R - measured_R)
    ranked = len(off_R) > 2 and np.ptp(predicted_R) > 0 and np.ptp(measured_R) > 0
    rank = _spearman(predicted_R, measured_R) if ranked else float("nan")
    return Score(float((off_R / measured_R).mean()), float(off_R.mean()), rank, len(off_R))


def _spearman(a_R: np.ndarray, b_R: np.ndarray) -> float:
    from scipy.stats import spearmanr  # takes a second to import, which processes that only fit need not wait for

    return float(spearmanr(a_R, b_R).statistic)
