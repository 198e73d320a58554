"""Minimise an objective on a law under limits, and tell everything that is known about the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy.optimize import linprog

from glotmix.mixture.mixture import Mixture
from glotmix.optimize import uncertainty
from glotmix.optimize.composite import Composite
from glotmix.optimize.constraint import Constraints
from glotmix.optimize.objective import Objective
from glotmix.optimize.optimum import Active, Baseline, Gain, Nearest, Optimum
from glotmix.optimize.predictor import Predictor, hedged
from glotmix.optimize.search import Found, search, starting_points, with_own_bests

__all__ = ["Optimum", "minimise"]


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
    p_L = min([found.p_L, *known], key=sought.value)
    chosen = uncertainty.choose_again(composite, p_L, resamples)
    here = uncertainty.outlook(composite, p_L)
    rows, gains = [], {}
    for name, mixture in others.items():
        there = uncertainty.outlook(composite, mixture.vector(languages))
        value = uncertainty.estimate(there.value, there.value_B)
        rows.append(Baseline(name, mixture, there.predicted, value, constraints.broken(mixture)))
        gain = uncertainty.estimate(there.value - here.value, there.value_B - here.value_B)
        honest = None if chosen is None else _honest_gain(gain.value, there.value, there.value_B, chosen)
        gains[name] = Gain(gain.value, gain.low, gain.high, honest)
    return Optimum(
        mixture=Mixture.from_vector(languages, p_L),
        predicted=here.predicted,
        objective=uncertainty.estimate(here.value, here.value_B),
        honest=None if chosen is None else here.value + chosen.optimism,
        baselines=tuple(rows),
        gains=gains,
        active=_active(composite, p_L, found, here.value),
        prices=_prices(composite, p_L),
        spread=None if chosen is None else uncertainty.spread(composite, p_L, chosen.indifference),
        nearest=None if measured is None else _nearest(languages, p_L, np.asarray(measured, dtype=float)),
        epochs=_epochs(constraints, p_L, D),
        status=found.status,
        gap=found.certificate.gap,
        agreeing=found.agreeing,
        aim=composite.objective,
        N=N,
        D=D,
    )


def _honest_gain(gain: float, other: float, other_B: np.ndarray, chosen: uncertainty.Chosen) -> float | None:
    """The gain less what choosing adds to it: claimed on the fit that chose, minus judged on the one that did not."""
    claimed_C = other_B[chosen.resample_C] - chosen.claimed_C
    if not (np.isfinite(gain) and np.isfinite(claimed_C).all()):
        return None
    return gain - float(np.mean(claimed_C - (other - chosen.judged_C)))


def _active(composite: Composite, p_L: np.ndarray, found: Found, value: float) -> tuple[Active, ...]:
    limits, certificate = composite.constraints, found.certificate
    groups = list(limits.groups)
    touched = []
    for limit in limits.limits:
        if limit.slack(p_L) > 1e-7:
            continue
        if limit.subject in limits.groups:
            g = groups.index(limit.subject)
            price = certificate.low_G[g] if limit.is_floor else -certificate.high_G[g]
        else:
            l = limits.languages.index(limit.subject)  # noqa: E741
            price = certificate.floor_L[l] if limit.is_floor else -certificate.ceiling_L[l]
        price = max(float(price), 0.0)
        change = f"{0.01 * price:.2g} ({price / abs(value):.2g} %)" if value else f"{0.01 * price:.2g}"
        way = "less" if limit.is_floor else "more"
        words = f"{limit.words}: one percentage point {way} would lower the objective by {change}"
        touched.append(Active(limit.words, price, words))
    return tuple(touched)


def _prices(composite: Composite, p_L: np.ndarray) -> dict[str, dict[str, float]]:
    """First-order effect of ``p + 0.01 (e_l - p) / (1 - p_l)`` on every loss, relative to it."""
    loss_T = composite.predictor.loss(p_L, composite.N, composite.D)
    slope_TL = composite.predictor.gradient(p_L, composite.N, composite.D)
    prices: dict[str, dict[str, float]] = {}
    for l, language in enumerate(composite.constraints.languages):  # noqa: E741
        if p_L[l] >= 1 - 1e-9:
            prices[language] = {}
            continue
        others_L = np.where(np.arange(len(p_L)) == l, 0.0, p_L) / (1 - p_L[l])
        with np.errstate(invalid="ignore"):
            change_T = 0.01 * (slope_TL[:, l] - slope_TL @ others_L) / loss_T
        prices[language] = {
            target: float(change_T[t])
            for t, target in enumerate(composite.predictor.targets)
            if np.isfinite(change_T[t])
        }
    return prices


def _nearest(languages: tuple[str, ...], p_L: np.ndarray, measured_RL: np.ndarray) -> Nearest:
    distance_R = 0.5 * np.abs(measured_RL - p_L).sum(axis=1)
    row = int(np.argmin(distance_R))
    # p is in the convex hull when weights on the runs reproduce it: minimise the L1 error of doing so.
    R, L = measured_RL.shape
    equal = np.vstack([np.hstack([measured_RL.T, np.eye(L), -np.eye(L)]), np.append(np.ones(R), np.zeros(2 * L))])
    found = linprog(np.append(np.zeros(R), np.ones(2 * L)), A_eq=equal, b_eq=np.append(p_L, 1.0), method="highs")
    outside = found.status != 0 or found.fun > 1e-6
    return Nearest(float(distance_R[row]), bool(outside), Mixture.from_vector(languages, measured_RL[row]))


def _epochs(constraints: Constraints, p_L: np.ndarray, D: float | None) -> dict[str, float]:
    tokens = D if D is not None else constraints.D
    if tokens is None or not all(constraints.unique.get(language, 0) > 0 for language in constraints.languages):
        return {}
    return {
        language: float(p * tokens / constraints.unique[language])
        for language, p in zip(constraints.languages, p_L, strict=True)
    }
