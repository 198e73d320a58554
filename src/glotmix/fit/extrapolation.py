"""Extrapolation: how far a question lies beyond the runs that a law was fitted to."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog

from glotmix.fit.fit import Fit
from glotmix.laws.law import Inputs
from glotmix.measurements import Measurements

FAR = 4.0
"""Extrapolation beyond this multiple of the largest measured N or D is warned of strongly."""
SAME = 1.01
"""Sizes that differ by less than this factor are one size."""
OUTSIDE = 1e-3
"""Share of tokens by which a mixture may miss the measured ones by rounding."""
MOST_SEARCHED = 1000
"""Mixtures of one table for which a linear program is solved; of more, only the range of each share is looked at."""

Measured = Measurements | Inputs
"""Whatever knows the mixtures, N and D of the runs (``Fit.measured`` does)."""


def outside_by(p_L: np.ndarray, measured_RL: np.ndarray) -> float:
    """Share of tokens in which ``p`` differs from the nearest mixture of measured mixtures; 0 inside their hull."""
    R, L = measured_RL.shape
    equal = np.vstack([np.hstack([measured_RL.T, np.eye(L), -np.eye(L)]), np.append(np.ones(R), np.zeros(2 * L))])
    found = linprog(np.append(np.zeros(R), np.ones(2 * L)), A_eq=equal, b_eq=np.append(p_L, 1.0), method="highs")
    return 1.0 if found.status != 0 else 0.5 * max(float(found.fun), 0.0)


def beyond(measured: Measured | None, N: float | None, D: float | None) -> tuple[str, ...]:
    """Warnings for a size beyond the measured ones; None is the law's own size."""
    if measured is None:
        return ()
    found = []
    for name, value, known_R in (("N", N, measured.N_R), ("D", D, measured.D_R)):
        if value is None or not np.isfinite(value):
            continue
        known_R = known_R[np.isfinite(known_R)]
        if not len(known_R):
            found.append(f"{name} = {value:.3g}, but the runs do not tell their {name}")
            continue
        if value > known_R.max() * 1.001 or value < known_R.min() * 0.999:
            times = max(value / known_R.max(), known_R.min() / value)
            far = "far " if times > FAR else ""
            found.append(
                f"{name} = {value:.3g} lies {far}outside the measured range "
                f"{known_R.min():.3g} to {known_R.max():.3g} (by a factor of {times:.3g})"
            )
        if known_R.max() < SAME * known_R.min():
            found.append(f"{name} was the same in all runs, so nothing was learned about it")
    return tuple(found)


def ignored(fitted: Fit, N: float | None, D: float | None) -> tuple[str, ...]:
    """Warnings for sizes that are given and that the law does not know."""
    p_L = np.full(len(fitted.languages), 1 / len(fitted.languages))
    found = []
    for name, value, other in (("N", N, (2.0, 1.0)), ("D", D, (1.0, 2.0))):
        if value is None:
            continue
        at = [value if size is None else size for size in (N, D)]
        at = [size if size is not None and np.isfinite(size) else 1e9 for size in at]
        here_T = fitted.loss(p_L, at[0], at[1])
        there_T = fitted.loss(p_L, at[0] * other[0], at[1] * other[1])
        if np.array_equal(here_T, there_T, equal_nan=True):
            found.append(f"the law {fitted.law.name} has no {name}: its losses are those of the runs' own {name}")
    return tuple(found)


def rows_beyond(fitted: Fit, p_RL: np.ndarray, N_R: np.ndarray | None, D_R: np.ndarray | None) -> list[str]:
    """For every mixture of a table in what way it lies beyond the runs, in words; "" where it does not."""
    measured = fitted.measured
    if measured is None:
        return [""] * len(p_RL)
    low_L, high_L = measured.p_RL.min(axis=0), measured.p_RL.max(axis=0)
    told = []
    for r, p_L in enumerate(p_RL):
        miss_L = np.maximum(low_L - p_L, 0) + np.maximum(p_L - high_L, 0)
        miss = 0.5 * float(miss_L.sum()) if len(p_RL) > MOST_SEARCHED else outside_by(p_L, measured.p_RL)
        words = [f"{100 * miss:.2g} % of tokens outside the measured mixtures"] if miss > OUTSIDE else []
        sizes = (None if x_R is None else float(x_R[r]) for x_R in (N_R, D_R))
        told.append("; ".join([*words, *beyond(measured, *sizes)]))
    return told
