"""Numbers with what is known of their uncertainty, and what can be said of them: the one place for both.

Every interval here is Student's, at 95 %. What an interval says is put into words by :func:`verdict`, so that the
terminal, the page and the files cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

LEVEL = 0.95
"""Share of samples whose interval holds the truth."""
Outcome = Literal["better", "worse", "within the noise", "no noise known"]
"""What a difference says: beyond the noise in one of two directions, not beyond it, or no noise to compare it with."""
EQUAL = 1e-12
"""A spread that is a smaller part of the largest value is rounding: the repeats are equal (accuracies of a few samples
often are) and tell nothing of the noise. An interval of no width would claim to know everything."""


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval."""

    value: float
    """Point estimate."""
    low: float | None = None
    """Lower end of the interval; None when nothing was repeated or resampled."""
    high: float | None = None
    """Upper end."""

    @classmethod
    def around(cls, value: float, half: float) -> Estimate:
        """``value ± half``; without an interval where ``half`` is zero or not finite."""
        return cls(value, value - half, value + half) if math.isfinite(half) and half > 0 else cls(value)

    def to_json(self) -> dict[str, float | None]:
        """A plain dict; None stands for infinity, which a law can predict for a share of zero."""
        return {"value": self.value if math.isfinite(self.value) else None, "low": self.low, "high": self.high}

    @classmethod
    def from_json(cls, data: Mapping[str, float | None]) -> Estimate:
        """Read what :meth:`to_json` wrote."""
        value = data["value"]
        return cls(math.inf if value is None else float(value), data["low"], data["high"])


def negated(estimate: Estimate) -> Estimate:
    """The same difference the other way round."""
    low, high = estimate.low, estimate.high
    return Estimate(-estimate.value, None if high is None else -high, None if low is None else -low)


def verdict(difference: Estimate) -> Outcome:
    """What is known of a difference in which positive is better: the whole interval must lie on one side of zero."""
    if difference.low is None or difference.high is None:
        return "no noise known"
    return "better" if difference.low > 0 else "worse" if difference.high < 0 else "within the noise"


WORDS: dict[Outcome, str] = {
    "better": "better beyond the noise",
    "worse": "worse beyond the noise",
    "within the noise": "within the noise: not told apart, nor shown to be equal",
    "no noise known": "not judged: one seed, or seeds that agree exactly, tell nothing of the noise",
}
"""What is known of a difference, as a reader of the terminal or the page is told."""


def student(freedom: float, level: float = LEVEL) -> float:
    """Half-width of Student's two-sided interval in standard errors, with so many degrees of freedom; NaN with none."""
    from scipy.special import ndtri, stdtrit

    at = 0.5 + level / 2
    return float(stdtrit(freedom, at) if freedom < math.inf else ndtri(at)) if freedom > 0 else math.nan


def half_width(value_R: np.ndarray) -> np.ndarray:
    """Half of Student's interval of the mean over repeats (the first axis); NaN with one repeat, or equal ones."""
    R = len(value_R)
    if R < 2:
        return np.full(value_R.shape[1:], math.nan)
    spread = _known(value_R.std(0, ddof=1), np.abs(value_R).max(0))
    return np.asarray(student(R - 1) * spread / np.sqrt(R))


def _known(spread: np.ndarray, largest: np.ndarray | float) -> np.ndarray:
    """A standard deviation; NaN where it is rounding beside the largest value."""
    return np.where(spread <= EQUAL * largest, math.nan, spread)


def over_repeats(values: Sequence[float] | np.ndarray, within: tuple[float, float] = (-math.inf, math.inf)) -> Estimate:
    """Mean over seeds, runs or other repeats, with Student's interval; none for a single value, one that is not finite,
    or repeats that are all equal.

    Args:
        values: one per repeat.
        within: least and greatest value that is possible (a share: 0 and 1); the interval ends there.
    """
    value_R = np.asarray(values, dtype=float)
    mean = float(value_R.mean())
    if len(value_R) < 2 or not np.isfinite(value_R).all():
        return Estimate(mean)
    half = float(half_width(value_R))
    if math.isnan(half):
        return Estimate(mean)
    return Estimate(mean, max(within[0], mean - half), min(within[1], mean + half))


def pooled(groups: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Standard deviation within groups, pooled over them, and its degrees of freedom ``Σ (n_i - 1)``; 0 where the
    values of every group are equal."""
    nu = sum(len(group) - 1 for group in groups if group)
    squares = sum(float(np.sum((np.array(group) - np.mean(group)) ** 2)) for group in groups if group)
    largest = max((abs(float(x)) for group in groups for x in group), default=0.0)
    spread = math.sqrt(squares / nu) if nu else 0.0
    return (0.0 if spread <= EQUAL * largest else spread), nu


def pooled_means(values: Mapping[str, Sequence[float]]) -> dict[str, Estimate]:
    """Mean of every group, with Student's interval from the spread within all of them: ``mean ± t s / √n``.

    Three seeds of each of several mixtures give a usable interval that way. An empty group is left out.
    """
    s, freedom = pooled(list(values.values()))
    return {
        name: Estimate.around(float(np.mean(of)), student(freedom) * s / math.sqrt(len(of)))
        for name, of in values.items()
        if len(of)
    }


def unpaired(values: Mapping[str, Sequence[float]], against: str) -> dict[str, Estimate]:
    """Mean of every group minus that of one of them, where repeats are not shared: the pooled two-sample interval."""
    s, freedom = pooled(list(values.values()))
    base, n = float(np.mean(values[against])), len(values[against])
    return {
        name: Estimate.around(float(np.mean(of)) - base, student(freedom) * s * math.sqrt(1 / n + 1 / len(of)))
        for name, of in values.items()
        if name != against
    }


class PairedLayout:
    """Values of M treatments (methods, mixtures) x S seeds, with the noise that is left after both.

    Treatments share their seeds, so what a seed does to all of them alike is no noise of a difference. The residual
    variance of the additive two-way layout is pooled over treatments, with (M - 1)(S - 1) degrees of freedom; a
    t-interval from the S paired differences of one pair alone would waste most of what was measured (S is about 3).
    """

    def __init__(self, value_MS: np.ndarray):
        self.value_MS = value_MS
        M, S = value_MS.shape
        self.mean_M = value_MS.mean(1) if S else np.full(M, math.nan)
        self.freedom, self.deviation = (M - 1) * (S - 1), math.nan
        if self.freedom > 0:
            residual_MS = value_MS - self.mean_M[:, None] - value_MS.mean(0) + value_MS.mean()
            spread = math.sqrt(float((residual_MS**2).sum()) / self.freedom)
            self.deviation = float(_known(np.array(spread), float(np.abs(value_MS).max())))

    def estimate(self, m: int) -> Estimate:
        """Mean of a treatment over seeds; its interval is for comparisons, and leaves out what seeds do to all."""
        return Estimate.around(float(self.mean_M[m]), self._half(1.0))

    def difference(self, m: int, other: int) -> Estimate:
        """Mean of one treatment minus that of another."""
        return Estimate.around(float(self.mean_M[m] - self.mean_M[other]), self._half(math.sqrt(2)))

    def p_value(self, m: int, other: int) -> float:
        """Of the hypothesis that two treatments do not differ, two-sided; NaN where nothing tells the noise."""
        from scipy import stats

        if math.isnan(self.deviation):
            return math.nan
        error = self.deviation * math.sqrt(2 / self.value_MS.shape[1])
        return float(2 * stats.t.sf(abs(float(self.mean_M[m] - self.mean_M[other])) / error, self.freedom))

    def _half(self, scale: float) -> float:
        if math.isnan(self.deviation):
            return math.nan
        return student(self.freedom) * scale * self.deviation / math.sqrt(self.value_MS.shape[1])


def holm(p_P: np.ndarray) -> np.ndarray:
    """p values adjusted for their number (Holm 1979): the k-th least times what is left, never falling, at most 1."""
    order = np.argsort(p_P)
    stepped = np.maximum.accumulate(p_P[order] * np.arange(len(p_P), 0, -1))
    adjusted = np.empty_like(p_P)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
