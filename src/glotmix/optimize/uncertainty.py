"""Uncertainty of an optimum: intervals, the winner's curse, and how far its shares may move unnoticed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linprog

from glotmix.estimate import Estimate
from glotmix.fit.fit import Fit
from glotmix.optimize.composite import Composite
from glotmix.optimize.descent import descend
from glotmix.optimize.polish import polish
from glotmix.optimize.predictor import resampled
from glotmix.scored import Scored

COVERAGE = 0.95
BISECTIONS = 10
OF_A_RESAMPLE = 1e-8
"""Tolerance of the optimum of one resample: what resamples differ by is a million times as much."""
AROUND = 240
"""Mixtures around an optimum among which resamples of a law with a black box choose."""


@dataclass(frozen=True)
class Chosen:
    """Optima of resampled fits: what would have been recommended had the noise fallen otherwise."""

    p_CL: np.ndarray
    """The mixtures."""
    claimed_C: np.ndarray
    """Objective of each on the resampled fit that chose it."""
    judged_C: np.ndarray
    """Objective of each on the full fit, which did not choose it."""
    here_C: np.ndarray
    """Objective of the full fit's optimum on the same resampled fits."""
    resample_C: np.ndarray
    """Which resamples they are."""

    def optimism(self, value: float) -> float:
        """How much better than it is an optimum looks on the fit that chose it (bootstrap estimate, Efron 1983).

        What ``judged - claimed`` is on average, in the two parts of which it is made, neither of which can be negative:
        what the resamples' optima cost on the full fit, where ``value`` is least, and how far below the full fit's own
        optimum they claim to be. A shift of all resamples alike, which is no optimism, drops out.
        """
        return max(float(np.mean(self.judged_C) - value + np.mean(self.here_C - self.claimed_C)), 0.0)

    @property
    def indifference(self) -> float:
        """Excess of the objective that noise alone explains: the 95 % quantile of the optimum's regret on resamples."""
        return float(max(np.quantile(self.here_C - self.claimed_C, COVERAGE), 0.0))


def estimate(value: float, value_B: np.ndarray, margin: float = 0.0) -> Estimate:
    """A value with the symmetric interval of its resamples: as far to either side as 95 % of them lie from it, and by
    ``margin`` further on one side (upwards if it is positive) where the value is known to be off by about that much.

    The estimate is its middle by construction; where resamples are not centred on it, the interval is wider for that.
    Source: Hall, On symmetric bootstrap confidence intervals (1988), whose error in coverage is of smaller order than
    that of percentiles.
    """
    away_B = np.sort(np.abs(value_B[np.isfinite(value_B)] - value))
    if not len(away_B) or not np.isfinite(value):
        return Estimate(float(value))
    reach = away_B[min(int(np.ceil(COVERAGE * (len(away_B) + 1))), len(away_B)) - 1]
    return Estimate(float(value), float(value - reach + min(margin, 0.0)), float(value + reach + max(margin, 0.0)))


@dataclass(frozen=True)
class Outlook:
    """What the full fit and every resample say of one mixture."""

    value: float
    """The objective without penalty on the full fit."""
    value_B: np.ndarray
    """The same on every resample."""
    predicted: dict[str, Estimate]
    """Target to loss; targets that the law says nothing of are left out."""


def outlook(composite: Composite, p_L: np.ndarray) -> Outlook:
    """The objective and all losses of one mixture, with intervals."""
    loss_T = composite.predictor.loss(p_L, composite.N, composite.D)
    loss_BT = composite.predictor.bootstrap_losses(p_L, composite.N, composite.D)
    predicted = {
        target: possible(estimate(loss_T[t], loss_BT[:, t]), composite.objective.scored.get(target))
        for t, target in enumerate(composite.predictor.targets)
        if not np.isnan(loss_T[t])
    }
    value = float(composite.objective.value(loss_T))
    return Outlook(value, composite.objective.value(loss_BT), predicted)


def possible(error: Estimate, scored: Scored | None) -> Estimate:
    """The interval of a score's error within what an error can be."""
    if scored is None or error.low is None or error.high is None:
        return error
    return Estimate(error.value, max(error.low, 0.0), min(error.high, scored.most))


def choose_again(composite: Composite, p_L: np.ndarray, resamples: int) -> Chosen | None:
    """Minimise on the first ``resamples`` resampled fits, starting near ``p``; None when there are none."""
    B = len(composite.predictor.bootstrap_losses(p_L, composite.N, composite.D))
    centre_L = composite.constraints.project_kl(np.ones(len(p_L)))
    start_L = 0.95 * p_L + 0.05 * centre_L
    rows, kept = [], []
    for b in range(min(B, resamples)):
        own = replace(composite, predictor=resampled(composite.predictor, b))
        if not np.isfinite(own.value(start_L)):
            continue
        smooth = 0.01 * abs(own.value(start_L)) if own.objective.peak else 0.0
        chosen_L = descend(own, start_L, steps=20, tolerance=1e-6, smooth=smooth).p_L
        if not composite.boxed:  # where there is a box they are a few rivals among many, and the box moves each by more
            chosen_L = polish(own, chosen_L, iterations=60, tolerance=OF_A_RESAMPLE)
        rows.append((chosen_L, _plain(own, chosen_L), _plain(composite, chosen_L), _plain(own, p_L)))
        kept.append(b)
    if not rows:
        return None
    p_CL, claimed, judged, here = zip(*rows, strict=True)
    if composite.boxed:
        return _among(composite, p_L, np.array(p_CL))
    return Chosen(np.array(p_CL), np.array(claimed), np.array(judged), np.array(here), np.array(kept))


def _among(composite: Composite, p_L: np.ndarray, rival_CL: np.ndarray) -> Chosen:
    """The choice of every resample among the rivals and many mixtures around ``p``.

    For a law with a black box: the box was learned of these runs too, and an optimum looks good where it errs. Its
    errors have no derivatives at hand, so they are seen at a few hundred mixtures at once.
    """
    rng = np.random.default_rng(0)
    step_C = np.repeat([0.05, 0.15, 0.4], AROUND // 3)
    around_CL = (1 - step_C[:, None]) * p_L + step_C[:, None] * rng.dirichlet(np.full(len(p_L), 0.5), len(step_C))
    p_CL = np.vstack([p_L, rival_CL, [composite.constraints.project_kl(one_L) for one_L in around_CL]])
    predictor = composite.predictor
    assert isinstance(predictor, Fit)
    value_BC = composite.objective.value(predictor.resampled(p_CL, composite.N, composite.D))
    best_B = value_BC.argmin(axis=1)
    judged_C = np.array([_plain(composite, one_L) for one_L in p_CL])
    every = np.arange(len(best_B))
    return Chosen(p_CL[best_B], value_BC[every, best_B], judged_C[best_B], value_BC[:, 0], every)


def spread(composite: Composite, p_L: np.ndarray, excess: float) -> dict[str, tuple[float, float]]:
    """For each language the range of its share along which F stays within ``excess`` of F(p).

    The other shares give way in proportion, as far as the limits let them (the KL projection); if they were optimised
    again the ranges would be wider.
    """
    limits = composite.constraints
    most = composite.value(p_L) + excess
    program = limits.linear_program()

    def moved(l: int, share: float) -> np.ndarray:  # noqa: E741
        return limits.project_kl(np.maximum(p_L, 1e-12), (l, share))

    def reach(l: int, sign: float) -> float:  # noqa: E741
        end = sign * linprog(sign * np.eye(len(p_L))[l], **program).fun
        good, bad = float(p_L[l]), float(end)
        if composite.value(moved(l, bad)) <= most:
            return bad
        for _ in range(BISECTIONS):
            middle = (good + bad) / 2
            good, bad = (middle, bad) if composite.value(moved(l, middle)) <= most else (good, middle)
        return good

    return {language: (reach(l, 1.0), reach(l, -1.0)) for l, language in enumerate(limits.languages)}  # noqa: E741


def _plain(composite: Composite, p_L: np.ndarray) -> float:
    return composite.value(p_L) - composite.penalty(p_L)[0]
