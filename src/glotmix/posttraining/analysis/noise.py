"""Noise: how far two fine-tunings of the same cell lie apart, and differences judged by it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from scipy import stats

from glotmix.errors import BadInput
from glotmix.estimate import student
from glotmix.posttraining.analysis.curve import Curve

EXACT = 8
"""Sizes up to which a p-value is counted over all their orders: Student's approximation of four sizes says 0."""


@dataclass(frozen=True)
class Floor:
    """Spread of one run around the mean of its cell."""

    deviation: float
    """Pooled standard deviation between repeats."""
    degrees: int
    """Degrees of freedom behind it: repeats minus cells."""

    def interval(self, runs: int = 1, others: int = 1, level: float = 0.95) -> float:
        """Half-width of the interval of a difference between two means of so many runs."""
        t = student(self.degrees, level)
        return t * self.deviation * float(np.sqrt(1 / runs + 1 / others))


@dataclass(frozen=True)
class ScoreDifference:
    """One mean against another."""

    value: float
    """First minus second."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end."""

    @property
    def resolved(self) -> bool:
        """Whether zero lies outside the interval."""
        return not self.low <= 0 <= self.high

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return {"value": self.value, "low": self.low, "high": self.high, "resolved": self.resolved}


def floor(groups: Iterable[Sequence[float]]) -> Floor:
    """Pooled standard deviation within groups of repeats.

    Raises:
        BadInput: nothing was repeated.
    """
    kept = [np.asarray(group, float)[np.isfinite(group)] for group in groups]
    kept = [group for group in kept if len(group) > 1]
    if not kept:
        raise BadInput("no cell was repeated", where="noise floor", expected="at least two seeds of one cell")
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in kept)
    degrees = sum(len(group) - 1 for group in kept)
    return Floor(float(np.sqrt(squares / degrees)), degrees)


def repeats(curves: Iterable[Curve], measure: Callable[[Curve], np.ndarray]) -> list[list[float]]:
    """Measures of runs that repeat each other: seeds of a cell, and at size 0 the same cell of every mix.

    At size 0 nothing but the pivot is trained on, so curves that differ only in their mix began with one and the same
    configuration. A size 0 that several curves share with equal scores in every language is one run, not a repeat.

    Args:
        curves: of one task.
        measure: from a curve to its measure, [N, S].
    """
    groups: list[list[float]] = []
    at_zero: dict[tuple[str, ...], dict[tuple[float, ...], float]] = {}
    for curve in curves:
        value_NS = measure(curve)
        for i, size in enumerate(curve.sizes):
            if size == 0:
                same = at_zero.setdefault((curve.task, curve.trained, curve.base, *sorted(curve.languages)), {})
                for s in range(value_NS.shape[1]):
                    order = np.argsort(curve.languages)
                    same[tuple(curve.value_NSL[i, s, order].tolist())] = float(value_NS[i, s])
            else:
                groups.append(value_NS[i].tolist())
    return groups + [list(same.values()) for same in at_zero.values()]


def difference(one_S: Sequence[float], other_S: Sequence[float], noise: Floor) -> ScoreDifference:
    """Mean of one set of runs minus that of another, with the interval that the noise floor gives it."""
    value = float(np.nanmean(one_S) - np.nanmean(other_S))
    half = noise.interval(int(np.isfinite(one_S).sum()), int(np.isfinite(other_S).sum()))
    return ScoreDifference(value, value - half, value + half)


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's, between seen and unseen languages over sizes."""

    rho: float
    """The coefficient; NaN where one side does not vary."""
    p: float
    """Two-sided p-value: over all orders of up to ``EXACT`` sizes, by Student's approximation beyond."""
    runs: int
    """Sizes that it is over."""


def seen_against_unseen(curve: Curve) -> RankCorrelation:
    """Whether unseen languages gain where seen ones do: Spearman over sizes, seeds averaged."""
    # Rounded, so that means that are equal in the printed digits tie, whatever the order of their sums.
    seen = np.asarray(np.nanmean(curve.mean(curve.seen), 1)).round(9)
    unseen = np.asarray(np.nanmean(curve.mean(curve.unseen), 1)).round(9)
    if np.ptp(seen) == 0 or np.ptp(unseen) == 0:
        return RankCorrelation(float("nan"), float("nan"), len(seen))
    found = stats.spearmanr(seen, unseen)
    p = _exact(seen, unseen) if len(seen) <= EXACT else float(found.pvalue)
    return RankCorrelation(float(found.statistic), p, len(seen))


def _exact(x_N: np.ndarray, y_N: np.ndarray) -> float:
    """Share of all orders of y whose rank correlation with x is at least as strong."""
    a, b = (stats.rankdata(v) - (len(v) + 1) / 2 for v in (x_N, y_N))
    orders = np.array(list(permutations(range(len(b)))))
    return float((np.abs(b[orders] @ a) >= abs(a @ b) - 1e-9).mean())


def runs_needed(rho: float, level: float = 0.05) -> int:
    """Least number of runs at which a Spearman coefficient of that size has a p-value below ``level``."""
    n = 4
    while 2 * stats.t.sf(abs(rho) * np.sqrt((n - 2) / max(1 - rho**2, 1e-12)), n - 2) >= level:
        n += 1
    return n
