"""Saturation: at how many samples half of the gain is there, from where on more samples gain nothing.

``y(n) = y_0 + A n / (n + n50)``: at n = 0 the pivot's data alone, A more with any number of samples, half of it at n50.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from glotmix.errors import BadInput
from glotmix.estimate import student

REACH = 8.0
"""n50 is sought from the least size over this to the greatest times this; beyond, a curve is told as unbounded."""
GRID = 401


@dataclass(frozen=True)
class Saturation:
    """The fitted curve."""

    n50: float
    """Samples at half of the gain; NaN where nothing is gained."""
    low: float
    """Lower end of its 95 % interval; 0 where the data do not bound it."""
    high: float
    """Upper end; infinity where the data do not bound it."""
    start: float
    """Fitted score at n = 0."""
    gain: float
    """Fitted gain A at endless samples."""
    rises: bool
    """Whether the rising curve explains more than a constant does, by an F test at 5 %."""
    residual: float
    """Standard deviation of what the curve leaves."""

    def __call__(self, n: float) -> float:
        return self.start + (self.gain * n / (n + self.n50) if self.rises else 0.0)

    def to_json(self) -> dict[str, Any]:
        """A plain dict; what is unbounded or not there is None."""
        kept = {key: getattr(self, key) for key in ("n50", "low", "high", "start", "gain", "residual")}
        finite = {key: float(value) if np.isfinite(value) else None for key, value in kept.items()}
        return {**finite, "rises": self.rises}


def saturation(sizes: Sequence[int], value_NS: np.ndarray) -> Saturation:
    """Fit the curve by least squares; its interval for n50 holds every value that an F test at 5 % does not refuse.

    A profile, not a linearisation: where the data cannot tell, it is open at one end or both, and is said to be.

    Args:
        sizes: samples per language, 0 among them.
        value_NS: scores by size and seed, NaN where missing.

    Raises:
        BadInput: no size 0, or fewer than four scores or three sizes.
    """
    n_R, y_R = _rows(sizes, value_NS)
    positive = n_R[n_R > 0]
    if 0 not in n_R or len(set(n_R.tolist())) < 3 or len(y_R) < 4:
        raise BadInput(f"{len(y_R)} scores at sizes {sorted(set(n_R.tolist()))}", expected="0 and at least two more")
    candidates = np.geomspace(positive.min() / REACH, positive.max() * REACH, GRID)
    start_G, gain_G, squares = _lines(n_R / (n_R + candidates[:, None]), y_R)
    flat = float(((y_R - y_R.mean()) ** 2).sum())
    best = int(squares.argmin())
    start, gain, least = float(start_G[best]), float(gain_G[best]), float(squares[best])
    free = len(y_R) - 3
    scale = max(least / free, 1e-30)
    rises = gain > 0 and (flat - least) / 2 / scale > stats.f.ppf(0.95, 2, free)
    if not rises:
        return Saturation(np.nan, 0.0, np.inf, float(y_R.mean()), 0.0, False, float(np.sqrt(flat / (len(y_R) - 1))))
    kept = candidates[(squares - least) / scale <= stats.f.ppf(0.95, 1, free)]
    low = 0.0 if kept[0] == candidates[0] else float(kept[0])
    high = np.inf if kept[-1] == candidates[-1] else float(kept[-1])
    return Saturation(float(candidates[best]), low, high, start, gain, True, float(np.sqrt(least / free)))


def told_apart(one: Saturation, other: Saturation) -> bool:
    """Whether two saturation points differ by more than their intervals allow."""
    return one.rises and other.rises and (one.high < other.low or other.high < one.low)


def _rows(sizes: Sequence[int], value_NS: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n_R = np.repeat(np.asarray(sizes, float), value_NS.shape[1])
    y_R = np.asarray(value_NS, float).ravel()
    there = np.isfinite(y_R)
    return n_R[there], y_R[there]


def _lines(x_GR: np.ndarray, y_R: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intercepts, slopes and squared residuals of straight lines, one per row of x, [G] each."""
    x = x_GR - x_GR.mean(1, keepdims=True)
    y = y_R - y_R.mean()
    slope_G = x @ y / np.maximum((x * x).sum(1), 1e-30)
    left = y - slope_G[:, None] * x
    return y_R.mean() - slope_G * x_GR.mean(1), slope_G, (left * left).sum(1)


@dataclass(frozen=True)
class Plateau:
    """From where on more samples gain nothing."""

    size: int | None
    """Least size that every greater one is shown to exceed by less than the margin; None where that is not shown."""
    rises_until: int
    """Greatest size that is shown to be better than some smaller one before the plateau; 0 where none is."""
    margin: float
    """Gain that counts as nothing."""
    deviation: float
    """Standard deviation of one run that the test went by."""


def plateau(sizes: Sequence[int], value_NS: np.ndarray, deviation: float, degrees: int, margin: float) -> Plateau:
    """Equivalence test: no later size gains as much as ``margin``, each at 5 %, one-sided.

    "It plateaus at n" is a claim of no difference, which a difference that is not significant does not show.

    Args:
        sizes: samples per language, rising.
        value_NS: scores by size and seed.
        deviation: standard deviation between runs of the same cell (:func:`glotmix.posttraining.analysis.noise.floor`).
        degrees: degrees of freedom behind it.
        margin: gain that counts as nothing.
    """
    mean_N = np.nanmean(value_NS, 1)
    runs_N = np.isfinite(value_NS).sum(1)
    t = student(degrees, level=0.9)

    def error(i: int, j: int) -> float:
        return t * deviation * float(np.sqrt(1 / runs_N[i] + 1 / runs_N[j]))

    last = len(sizes) - 1
    flat = [i for i in range(last) if all(mean_N[j] - mean_N[i] + error(i, j) < margin for j in range(i + 1, last + 1))]
    better = [j for j in range(1, last + 1) if any(mean_N[j] - mean_N[i] > error(i, j) for i in range(j))]
    rising = [j for j in better if mean_N[j] > mean_N[:j].max()]
    return Plateau(sizes[flat[0]] if flat else None, sizes[rising[-1]] if rising else 0, margin, deviation)
