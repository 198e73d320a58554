"""Minimise an objective on a law under limits, and tell everything that is known about the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from glotmix.estimate import Estimate
from glotmix.fit.extrapolation import outside_by
from glotmix.mixture.mixture import Mixture
from glotmix.optimize import uncertainty
from glotmix.optimize.composite import Composite
from glotmix.optimize.constraint import Constraints
from glotmix.optimize.objective import Objective
from glotmix.optimize.optimum import NOTHING_TOLD, Baseline, Gain, Nearest, Optimum
from glotmix.optimize.predictor import Predictor, hedged
from glotmix.optimize.prices import language_prices, limits_touched
from glotmix.optimize.search import search, starting_points, with_own_bests

__all__ = ["Optimum", "minimise"]

KEPT = {
    "continued": "going on as before",
    "current": "the mixture in use",
    "natural": "the natural mixture",
    "uniform": "the uniform mixture",
}
"""What is recommended where nothing can be told of mixtures: the first of these baselines that there is."""


def minimise(
    predictor: Predictor,
    objective: Objective,
    constraints: Constraints,
    *,
    N: float | None = None,
    D: float | None = None,
    starts: int = 8,
    seed: int = 0,
    baselines: Mapping[str, Mixture] | None = None,
    measured: np.ndarray | None = None,
    resamples: int = 24,
    caution: float | None = None,
) -> Optimum:
    """``min_p objective(L(N, D, p)) + penalty(p)`` over the allowed mixtures.

    Mirror descent from many starts, SLSQP from the best ends, and a linear program that bounds what is left
    (:mod:`~glotmix.optimize.certificate`): ``status`` is "converged" only if that bound is small. Allowed baselines are
    among the starts, so the optimum is never predicted to be worse than one of them.

    Args:
        predictor: a fitted law.
        objective: what is made small.
        constraints: the limits, over the same languages.
        N: model size; default the predictor's own.
        D: training tokens; default the predictor's own.
        starts: starting points; more of them for laws that are not convex.
        seed: of the random starts.
        baselines: name to mixture, each reported on the same law.
        measured: mixtures that were measured [R, L], to tell how far the optimum is from data.
        resamples: on how many resampled fits the choice is repeated, for ``honest`` and ``spread``.
        caution: None minimises the law as fitted; a number κ minimises ``mean + κ · sd`` of each loss over the
            resampled fits (``benchmarks/optimum.py`` compares them). What is reported is always on the law as fitted.

    Raises:
        BadInput: the languages differ, or the law says nothing of a target that counts.
    """
    composite = Composite(predictor, objective, constraints, N, D)
    composite.check()
    rng = np.random.default_rng(seed)
    languages = constraints.languages
    others = {name: mixture.over(languages) for name, mixture in (baselines or {}).items()}
    composite = with_own_bests(composite, rng)
    known = [mixture.vector(languages) for mixture in others.values() if not constraints.broken(mixture)]
    sought = composite if caution is None else replace(composite, predictor=hedged(predictor, caution, resamples))
    found = search(sought, starting_points(sought, starts, rng, known))
    p_L, status = min([found.p_L, *known], key=sought.value), found.status
    kept = next((name for name in KEPT if name in others and not constraints.broken(others[name])), None)
    if kept is not None and _tells_nothing(composite, rng):
        p_L, status = others[kept].vector(languages), f"{NOTHING_TOLD}: the recommendation is {KEPT[kept]}"
    told = compared(composite, p_L, others, resamples)
    chosen = told.chosen
    return Optimum(
        mixture=Mixture.from_vector(languages, p_L),
        predicted=told.predicted,
        objective=told.objective,
        honest=told.honest,
        baselines=told.baselines,
        gains=told.gains,
        active=limits_touched(composite, p_L, found),
        prices=language_prices(composite, p_L),
        spread=None if chosen is None else uncertainty.spread(composite, p_L, chosen.indifference),
        nearest=None if measured is None else nearest_of(languages, p_L, np.asarray(measured, dtype=float)),
        epochs=_epochs(constraints, p_L, D),
        status=status,
        gap=found.certificate.gap,
        agreeing=found.agreeing,
        aim=composite.objective,
        N=N,
        D=D,
        unique=dict(constraints.unique),
    )


@dataclass(frozen=True)
class Compared:
    """What a law and its resamples say of an optimum and of what it is compared with."""

    predicted: Mapping[str, Estimate]
    """Target to loss at the optimum."""
    objective: Estimate
    """Value of the objective there."""
    honest: float | None
    """The same with the winner's curse added; None without resamples."""
    baselines: tuple[Baseline, ...]
    """Every other mixture on the same law."""
    gains: Mapping[str, Gain]
    """What the optimum gains over each."""
    chosen: uncertainty.Chosen | None
    """What resampled fits would have chosen; None without resamples."""


def compared(composite: Composite, p_L: np.ndarray, others: Mapping[str, Mixture], resamples: int) -> Compared:
    """The optimum beside other mixtures on the law as it was fitted, with what choosing it adds to its gains."""
    chosen = uncertainty.choose_again(composite, p_L, resamples)
    here = uncertainty.outlook(composite, p_L)
    margin = 0.0 if chosen is None else chosen.optimism(here.value)
    rows, gains = [], {}
    for name, mixture in others.items():
        there = uncertainty.outlook(composite, mixture.vector(composite.constraints.languages))
        value = uncertainty.estimate(there.value, there.value_B)
        rows.append(Baseline(name, mixture, there.predicted, value, composite.constraints.broken(mixture)))
        gain = uncertainty.estimate(there.value - here.value, there.value_B - here.value_B, -margin)
        honest = None if chosen is None else _honest_gain(gain.value, margin)
        gains[name] = Gain(gain.value, gain.low, gain.high, honest)
    objective = uncertainty.estimate(here.value, here.value_B, margin)
    honest = None if chosen is None else here.value + margin
    return Compared(here.predicted, objective, honest, tuple(rows), gains, chosen)


def _tells_nothing(composite: Composite, rng: np.random.Generator) -> bool:
    """Whether the objective is the same for every mixture, as under the null law."""
    return all(np.ptp(composite.slopes(p_L)) <= 1e-12 for p_L in starting_points(composite, 4, rng))


def _honest_gain(gain: float, margin: float) -> float | None:
    """The gain less what choosing adds to it."""
    return gain - margin if np.isfinite(gain) else None


def nearest_of(languages: tuple[str, ...], p_L: np.ndarray, measured_RL: np.ndarray) -> Nearest:
    """The measured mixture that differs from ``p`` in the fewest tokens."""
    distance_R = 0.5 * np.abs(measured_RL - p_L).sum(axis=1)
    row = int(np.argmin(distance_R))
    outside = outside_by(p_L, measured_RL) > 1e-6
    return Nearest(float(distance_R[row]), outside, Mixture.from_vector(languages, measured_RL[row]))


def _epochs(constraints: Constraints, p_L: np.ndarray, D: float | None) -> dict[str, float]:
    tokens = D if D is not None else constraints.D
    if tokens is None or not all(constraints.unique.get(language, 0) > 0 for language in constraints.languages):
        return {}
    return {
        language: float(p * tokens / constraints.unique[language])
        for language, p in zip(constraints.languages, p_L, strict=True)
    }
