"""Prices: what one percentage point of a limit or of a language really changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from glotmix.errors import Infeasible
from glotmix.optimize.composite import Composite
from glotmix.optimize.conflict import Limit
from glotmix.optimize.constraint import Constraints
from glotmix.optimize.optimum import Active
from glotmix.optimize.polish import polish
from glotmix.optimize.search import Found

POINT = 0.01
"""One percentage point. A derivative would be another number: at a share near zero a loss falls by orders of magnitude
faster than it does over a whole point."""
TOUCHED = 1e-7
"""Slack below which a limit is touched."""
MOST_SOLVED = 12
"""Limits, the dearest first, for which the whole mixture is optimised again; for the others only the point that is won
or given moves, the rest in proportion."""


def limits_touched(composite: Composite, p_L: np.ndarray, found: Found) -> tuple[Active, ...]:
    """Limits that the optimum touches, and by how much the objective would fall if each gave way by one point."""
    limits, value = composite.constraints, composite.value(p_L)
    given = {name for name, group in limits.groups.items() if group.given}
    touched = [limit for limit in limits.limits if limit.slack(p_L) <= TOUCHED and limit.subject not in given]
    multiplier = {id(limit): _multiplier(limits, limit, found) for limit in touched}
    dearest = sorted(touched, key=lambda limit: -multiplier[id(limit)])[:MOST_SOLVED]
    solved = {id(limit) for limit in dearest}
    active = []
    for limit in touched:
        step = min(POINT, limit.bound if limit.is_floor else 1 - limit.bound)
        change = value - _value_without(composite, p_L, limit, step, id(limit) in solved)
        way = "less" if limit.is_floor else "more"
        points = "one percentage point" if step == POINT else f"{100 * step:.2g} percentage points"
        share = f" ({100 * change / abs(value):.2g} %)" if value else ""
        words = f"{limit.words}: {points} {way} would lower the objective by {change:.2g}{share}"
        active.append(Active(limit.words, multiplier[id(limit)], words, change))
    return tuple(active)


def language_prices(composite: Composite, p_L: np.ndarray) -> dict[str, dict[str, float]]:
    """Relative change of every loss from ``p`` to ``p + 0.01 (e_l - p) / (1 - p_l)``: one more point of l, the others
    giving way in proportion. Nothing for a language that has no whole point left to win."""
    loss_T = composite.predictor.loss(p_L, composite.N, composite.D)
    prices: dict[str, dict[str, float]] = {}
    for l, language in enumerate(composite.constraints.languages):  # noqa: E741
        if p_L[l] > 1 - POINT:
            prices[language] = {}
            continue
        more_L = _one_more(p_L, np.arange(len(p_L)) == l, POINT)
        with np.errstate(invalid="ignore", divide="ignore"):
            change_T = composite.predictor.loss(more_L, composite.N, composite.D) / loss_T - 1
        prices[language] = {
            target: float(change_T[t])
            for t, target in enumerate(composite.predictor.targets)
            if np.isfinite(change_T[t])
        }
    return prices


def _value_without(composite: Composite, p_L: np.ndarray, limit: Limit, step: float, solve: bool) -> float:
    """Objective of the best mixture that is found when the limit gives way; never above that of ``p``."""
    value = composite.value(p_L)
    if step <= 0:
        return value
    try:
        relaxed = replace(composite, constraints=_relaxed(composite.constraints, limit, step))
    except Infeasible:  # a limit in conflict with itself by rounding
        return value
    moved_L = relaxed.constraints.project(_one_more(p_L, limit.row_L > 0, -step if limit.is_floor else step))
    tried = [moved_L, polish(relaxed, moved_L)] if solve else [moved_L]
    return min([value, *(relaxed.value(one_L) for one_L in tried)])


def _one_more(p_L: np.ndarray, inside_L: np.ndarray, step: float) -> np.ndarray:
    """The shares inside change by ``step`` in sum, and those outside make room, both in proportion."""
    inside, outside = float(p_L[inside_L].sum()), float(p_L[~inside_L].sum())
    given_L = np.where(inside_L, p_L / inside if inside > 0 else 1 / inside_L.sum(), 0.0)
    taken_L = np.where(inside_L, 0.0, p_L / outside if outside > 0 else 1 / max((~inside_L).sum(), 1))
    moved_L = p_L + step * (given_L - taken_L)
    return np.asarray(np.maximum(moved_L, 0) / np.maximum(moved_L, 0).sum())


def _relaxed(limits: Constraints, limit: Limit, step: float) -> Constraints:
    """The limits when one of them gives way by ``step``."""
    name = limit.subject
    if name in limits.groups:
        group = limits.groups[name]
        if limit.by_epochs:
            assert group.max_epochs is not None
            epochs = group.max_epochs * (limit.bound + step) / limit.bound if limit.bound > 0 else group.max_epochs
            return replace(limits, groups={**limits.groups, name: replace(group, max_epochs=epochs)})
        floor = group.floor - step if limit.is_floor else group.floor
        ceiling = group.ceiling if limit.is_floor else min(group.ceiling + step, 1.0)
        return replace(limits, groups={**limits.groups, name: replace(group, floor=floor, ceiling=ceiling)})
    if limit.is_floor:
        return replace(limits, floors={**limits.floors, name: max(limits.floors[name] - step, 0.0)})
    if limit.by_epochs:
        unique = limits.unique[name] * (limit.bound + step) / limit.bound if limit.bound > 0 else 0.0
        return replace(limits, unique={**limits.unique, name: unique})
    return replace(limits, ceilings={**limits.ceilings, name: min(limits.ceilings[name] + step, 1.0)})


def _multiplier(limits: Constraints, limit: Limit, found: Found) -> float:
    """Derivative of the least objective by the limit, at least 0."""
    certificate = found.certificate
    if limit.subject in limits.groups:
        g = list(limits.groups).index(limit.subject)
        price = certificate.low_G[g] if limit.is_floor else -certificate.high_G[g]
    else:
        l = limits.languages.index(limit.subject)  # noqa: E741
        price = certificate.floor_L[l] if limit.is_floor else -certificate.ceiling_L[l]
    return max(float(price), 0.0)
