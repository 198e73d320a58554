"""The best last phase of a run whose first ones are behind it, under limits on the whole run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from glotmix.errors import Infeasible
from glotmix.fit.fit import Fit
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.part import going_on
from glotmix.mixture.schedule import Schedule
from glotmix.optimize.constraint import Constraints, Group
from glotmix.optimize.objective import Objective
from glotmix.optimize.optimum import Baseline, Optimum
from glotmix.optimize.predictor import LastPhase, OverPhases
from glotmix.optimize.schedules import LAST, course_for
from glotmix.optimize.solve import minimise

CONTINUED = "continued"
"""The run as it would have gone on by itself."""
OF_LAST_PHASE = CONTINUED, LAST
"""What a last phase is always compared with: going on as before, and the languages that count alone."""


def read_before(before: Schedule, begin: float, languages: Sequence[str]) -> np.ndarray:
    """Share of the run's tokens that each language had by ``begin``, [L]; sums to it."""
    done = before.tokens_at(begin)
    return np.array([done.get(name, 0.0) for name in languages])


def limits_after(limits: Constraints, read: Mapping[str, float]) -> Constraints:
    """Limits on a whole run as limits on the mixture of what is left of it.

    A language that has been read as often as ``max_epochs`` allows gets nothing more.

    Args:
        limits: on the whole run.
        read: share of the run's tokens that each language has had.

    Raises:
        Infeasible: a floor or a ceiling can no longer be met, or no last phase meets all limits.
    """
    left = 1 - sum(read.values())

    def scaled(name: str, floor: float, ceiling: float, told: float, had: float) -> tuple[float, float]:
        """Least and greatest share of the last phase; ``told`` is the ceiling without what follows from epochs."""
        if told < had - 1e-9 or (floor - had) / left > 1 + 1e-9:
            limit = f"ceiling {told:g}" if told < had - 1e-9 else f"floor {floor:g}"
            raise Infeasible(
                f"{limit} of {name} over the whole run, and it has had {had:.4g} of {sum(read.values()):.4g}",
                where="optimize",
                expected="limits that the first phase leaves room for",
            )
        least, most = (min(max((x - had) / left, 0.0), 1.0) for x in (floor, ceiling))
        return least, most

    bounds = {
        name: scaled(name, float(low), float(high), limits.ceilings.get(name, 1.0), read.get(name, 0.0))
        for name, low, high in zip(limits.languages, limits.floor_L, limits.ceiling_L, strict=True)
    }
    groups: dict[str, Group] = {}
    for (name, group), low, high in zip(limits.groups.items(), limits.low_G, limits.high_G, strict=True):
        had = sum(read.get(one, 0.0) for one in group.languages)
        floor, ceiling = scaled(f"group {name}", float(low), float(high), group.ceiling, had)
        groups[name] = replace(group, floor=floor, ceiling=ceiling, max_epochs=None)
    return Constraints(
        limits.languages,
        {name: low for name, (low, _) in bounds.items() if low > 0},
        {name: high for name, (_, high) in bounds.items() if high < 1},
        unique=limits.unique,
        D=limits.D,
        groups=groups,
    )


def over_last_phase(fitted: Fit, before: Schedule, begin: float) -> LastPhase:
    """The law as a predictor of the last phase.

    Raises:
        BadInput: no run's mixture changed.
    """
    phases = going_on(before, begin, before.at(begin))
    ends = [stage.start for stage in phases.stages[1:]]
    course = course_for(fitted.measured, len(ends) + 1, ends)
    x_X = course.of_schedule(phases, fitted.languages)
    return LastPhase(OverPhases(fitted, course), x_X[: -len(fitted.languages)])


def minimise_last_phase(
    fitted: Fit,
    objective: Objective,
    limits: Constraints,
    before: Schedule,
    begin: float,
    *,
    baselines: Mapping[str, Mixture],
    rehearsal: float = 0.0,
    seed: int = 0,
    measured: np.ndarray | None = None,
) -> Optimum:
    """``min objective(L(schedule)) + penalty`` over the mixture of the last phase.

    Objectives relative to a language's own best take that of last phases. A penalty holds the last phase near its
    reference.

    Args:
        fitted: a law fitted to runs that went on from one first phase; blind to order, it sees their whole mixtures.
        objective: what is made small.
        limits: on the whole run.
        before: schedule of the run until ``begin``, and what it would have gone on with.
        begin: share of the run that is behind it.
        baselines: last phases by name; :data:`OF_LAST_PHASE` are added.
        rehearsal: least share of a language, as a part of what it would have had if the run had gone on as before.
        seed: of the search.
        measured: mixtures of last phases that were trained, [R, L].

    Returns:
        The run as a whole: its schedule, its mixture over all tokens, and so for every baseline.

    Raises:
        Infeasible: the first phase leaves no room for the limits.
        BadInput: the law says nothing of a target that counts.
    """
    predictor = over_last_phase(fitted, before, begin)
    languages = predictor.languages
    after = limits_after(limits, before.tokens_at(begin))
    goes_on = _rest(before, begin).over(languages)
    most = dict(zip(languages, after.ceiling_L.tolist(), strict=True))
    least = {one: max(after.floors.get(one, 0.0), min(rehearsal * goes_on[one], most[one])) for one in languages}
    after = replace(after, floors={one: share for one, share in least.items() if share > 0})
    others = {CONTINUED: goes_on}
    counted = {one: objective.weights.get(one, 0.0) for one in languages}
    if any(counted.values()):
        others[LAST] = Mixture.normalised(counted)
    others |= {name: mixture.over(languages) for name, mixture in baselines.items()}
    found = minimise(predictor, objective, after, baselines=others, seed=seed, measured=measured)
    schedule = going_on(before, begin, found.mixture)
    rows = [
        _whole(row, before if row.name == CONTINUED else going_on(before, begin, row.mixture))
        for row in found.baselines
    ]
    average = schedule.average()
    known = limits.D is not None and all(limits.unique.get(one, 0) > 0 for one in languages)
    phase = f"phase{len(schedule.stages)}"
    nearest = found.nearest and replace(
        found.nearest,
        distance=found.nearest.distance * (1 - begin),
        mixture=going_on(before, begin, found.nearest.mixture).average(),
    )
    return replace(
        found,
        mixture=average,
        baselines=tuple(rows),
        spread=None if found.spread is None else {f"{phase}/{name}": of for name, of in found.spread.items()},
        nearest=nearest,
        epochs=average.epochs(limits.D, limits.unique) if known and limits.D is not None else {},
        unique=dict(limits.unique),
        schedule=schedule,
    )


def _rest(before: Schedule, begin: float) -> Mixture:
    """Mean mixture of what the run would have gone on with."""
    done = before.tokens_at(begin)
    return Mixture.normalised({name: max(x - done[name], 0.0) for name, x in before.tokens_at(1.0).items()})


def _whole(row: Baseline, schedule: Schedule) -> Baseline:
    return replace(row, mixture=schedule.average(), schedule=None if schedule.is_constant else schedule)
