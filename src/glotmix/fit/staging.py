"""Which way a score is fitted: by the law itself, or through the loss that tells it best; held-out mixtures decide."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.table import Table

from glotmix.fit.holdout import Holdout, Predictions, cross_validate
from glotmix.laws.law import Law
from glotmix.measurements import Measurements
from glotmix.wording import number


@dataclass(frozen=True)
class TwoWays:
    """Held-out errors of one score, in points: mean over mixtures of ``100 |ŝ - s|``."""

    own: float
    """Of the law on the log odds of the score itself; NaN where it says nothing."""
    through_loss: float
    """Of the law's loss and a second stage; NaN likewise."""
    null: float
    """Of the mean of all other runs; NaN where the null law was not judged."""
    spread: float
    """Standard error, over mixtures, of the difference between the two."""

    @property
    def staged(self) -> bool:
        """Whether the second stage is taken: it has two numbers of its own where the law has several, so that it is the
        simpler one, and taken unless the law itself is better by more than one standard error."""
        if not np.isfinite(self.own):
            return bool(np.isfinite(self.through_loss))
        return bool(self.through_loss - self.own <= self.spread)

    def to_json(self) -> dict[str, Any]:
        """A plain dict; NaN becomes None."""
        told = {"own": self.own, "through_loss": self.through_loss, "null": self.null, "spread": self.spread}
        return {name: x if np.isfinite(x) else None for name, x in told.items()} | {"staged": self.staged}


@dataclass(frozen=True)
class Staging:
    """How every score of a table is fitted, and why."""

    scores: Mapping[str, TwoWays] = field(default_factory=dict)
    """Score to its errors; empty where there are no scores, or no losses beside them."""

    @property
    def staged(self) -> tuple[str, ...]:
        """Scores that go through a loss."""
        return tuple(target for target, one in self.scores.items() if one.staged)

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return {target: one.to_json() for target, one in self.scores.items()}

    def words(self, fits: Mapping[str, Any]) -> list[str]:
        """How every score was fitted, in a sentence each; ``fits`` are those of the targets."""
        told = []
        for target, one in self.scores.items():
            ways = f"{number(one.own, 2)} points off by the law itself, {number(one.through_loss, 2)} through a loss"
            if (through := getattr(fits.get(target), "through", None)) is not None:
                told.append(f"{target} is predicted through the loss of {through}: held out, {ways}")
            else:
                told.append(f"{target} is predicted by the law itself: held out, {ways}")
        return told

    def table(self, through: Mapping[str, str]) -> Table:
        """For the terminal; ``through`` is the loss of each score that goes through one."""
        table = Table(title="held-out error of scores, points (by mixture)", title_justify="left")
        for name in ("score", "null", "the law itself", "through a loss", "taken"):
            table.add_column(name, justify="left" if name in ("score", "taken") else "right")
        for target, one in self.scores.items():
            cells = ["–" if not np.isfinite(x) else f"{x:.2f}" for x in (one.null, one.own, one.through_loss)]
            table.add_row(target, *cells, f"through {through[target]}" if target in through else "the law itself")
        return table


def choose_stages(law: Law | str, measurements: Measurements, own: Holdout, **how: Any) -> Staging:
    """Judge the second stage of every score as the law itself was judged: on the same mixtures, held out in the same
    parts, the loss that tells the score chosen anew in every part.

    Args:
        law: the law that was chosen.
        measurements: the runs.
        own: its cross-validation.
        how: arguments of that cross-validation.
    """
    scores = [target for target in own.targets if target in measurements.scored]
    if not scores or len(scores) == len(own.targets) or own.predictions is None:
        return Staging()
    name = law if isinstance(law, str) else law.name
    again = cross_validate([law], measurements, staged=scores, **how)
    told = {}
    for target in scores:
        t = own.targets.index(target)
        assert again.predictions is not None
        found = [_errors(own.predictions, name, t), _errors(again.predictions, name, t)]
        null_G, apart_G = _errors(own.predictions, "null", t), found[1] - found[0]
        spread = apart_G.std(ddof=1) / np.sqrt(len(apart_G)) if len(apart_G) > 1 else np.nan
        means = [float(x_G.mean()) for x_G in (*found, null_G)]
        told[target] = TwoWays(means[0], means[1], means[2], float(spread))
    return Staging(told)


def through_of(staged: Collection[str], fits: Mapping[str, Any]) -> dict[str, str]:
    """Score to the loss that it goes through."""
    return {target: fits[target].through for target in staged if fits[target].through is not None}


def _errors(told: Predictions, law: str, t: int) -> np.ndarray:
    """Mean absolute error of every mixture, in points [G]; NaN where a prediction is missing."""
    known_R = np.isfinite(told.measured_RT[:, t])
    _, group_R = np.unique(told.group_R[known_R], return_inverse=True)
    if law not in told.predicted:
        return np.full(int(group_R.max(initial=0)) + 1, np.nan)
    off_R = 100 * np.abs(told.predicted[law][known_R, t] - told.measured_RT[known_R, t])
    return np.asarray(np.bincount(group_R, off_R) / np.bincount(group_R))
