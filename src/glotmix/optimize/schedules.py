"""The best schedule of a few phases on a law that knows order, under limits on the whole run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from glotmix.errors import BadInput
from glotmix.fit.fit import Fit
from glotmix.laws.law import Inputs
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.phases import Course
from glotmix.mixture.schedule import Schedule, Stage, cooldown
from glotmix.optimize import uncertainty
from glotmix.optimize.composite import Composite
from glotmix.optimize.constraint import Constraints, Group
from glotmix.optimize.objective import Objective, Penalty
from glotmix.optimize.optimum import Baseline, Nearest, Optimum
from glotmix.optimize.predictor import OverPhases
from glotmix.optimize.prices import limits_touched
from glotmix.optimize.search import search, starting_points
from glotmix.optimize.solve import compared, nearest_of

FREE = tuple(k / 10 for k in range(1, 10))
"""Ends of the first of two phases among which a free one is sought."""
SCHEDULES = STATIC, COOLDOWN, LAST = ("static", "cooldown", "targets_last")
"""Schedules that an optimised one is compared with: the best single mixture; temperature 5 and then proportional to
sizes (Li et al., arXiv 2410.04579); and the best single mixture with the languages that count alone at the end."""


def knows_order(fitted: Fit) -> bool:
    """Whether a law was fitted to runs whose mixtures changed, and can tell what that does."""
    return fitted.law.knows_order and fitted.measured is not None and fitted.measured.phases is not None


def course_for(measured: Inputs | None, phases: int, boundaries: Sequence[float] | None) -> Course:
    """Lengths and learning rates of the phases of the target run, which goes as the measured runs did.

    Raises:
        BadInput: no run's mixture changed, or none has as many phases and no boundaries are given.
    """
    if measured is None or measured.phases is None:
        raise BadInput(
            "no run's mixture changed, so nothing is known of order",
            where="optimize.phases",
            expected="runs with phases (columns phase1/tokens, phase1/p/<group>, …)",
        )
    changed = np.flatnonzero(measured.phases.differ_R)
    courses = [Course.of(measured.phases, int(row)) for row in changed]
    if boundaries is not None:
        return courses[0].cut(boundaries)
    alike: dict[tuple[float, ...], list[Course]] = {}
    for course in courses:
        if len(course.length_K) == phases:
            alike.setdefault(tuple(np.round(course.ends, 6)), []).append(course)
    if not alike:
        has = len(courses[0].length_K)
        raise BadInput(f"{phases} phases, and the runs have {has}", where="optimize.phases", expected="boundaries")
    return max(alike.values(), key=len)[0]


def minimise_schedule(
    fitted: Fit,
    objective: Objective,
    constraints: Constraints,
    static: Optimum,
    courses: Sequence[Course],
    *,
    rehearsal: float = 0.0,
    starts: int = 8,
    seed: int = 0,
    resamples: int = 24,
) -> Optimum:
    """``min objective(L(N, D, schedule)) + penalty`` over the shares of every phase, under limits on the whole run.

    The search is that of :func:`~glotmix.optimize.solve.minimise` over ``x_kl = f_k p_kl``, the shares of the run's
    tokens by phase and language. Every baseline of ``static``, and the schedules that people use, are among the starts
    and in the comparison; a penalty holds each phase near the reference.

    Args:
        fitted: a law that knows order (:func:`knows_order`).
        objective: what is made small.
        constraints: limits on the whole run.
        static: the best single mixture on the same law and limits, with its baselines.
        courses: phases that the run may have; those are taken whose best schedule near ``static`` is the best.
        rehearsal: least share of a language in every phase, as a part of its share in ``static``.
        starts: starting points of the search.
        seed: of the random ones.
        resamples: on how many resampled fits the choice is repeated.

    Raises:
        BadInput: relative shares inside a group are to be kept, which is said of one mixture.
    """
    objective = objective.with_best(static.aim.best) if static.aim.best else objective

    def over(course: Course) -> Composite:
        aim = replace(objective, penalty=_penalty_by_phase(objective.penalty, course))
        limits = constraints_by_phase(constraints, course, least)
        return Composite(OverPhases(fitted, course), aim, limits, static.N, static.D)

    def near(course: Course) -> float:
        """The least objective that a search from the best single mixture finds."""
        composite, x_X = over(course), course.of_schedule(Schedule.constant(static.mixture), languages)
        return search(composite, starting_points(composite, 2, np.random.default_rng(seed), [x_X]), rounds=1).value

    languages = fitted.languages
    least = {one: rehearsal * share for one, share in static.mixture.items()}
    course = courses[0] if len(courses) == 1 else min(courses, key=near)
    composite, schedules = over(course), _schedules(static, objective, course)
    composite.check()
    others_X = {name: course.of_schedule(one, languages) for name, one in schedules.items()}
    known = [x_X for x_X in others_X.values() if composite.constraints.violation(x_X) <= 1e-9]
    ended = search(composite, starting_points(composite, starts, np.random.default_rng(seed), known))
    x_X = min([ended.p_L, *known], key=composite.value)
    names = composite.constraints.languages
    others = {name: Mixture.from_vector(names, one_X) for name, one_X in others_X.items()}
    told = compared(composite, x_X, others, resamples)
    spread = None if told.chosen is None else uncertainty.spread(composite, x_X, told.chosen.indifference)
    schedule = course.schedule(x_X, languages)
    average, tokens = schedule.average(), constraints.D if static.D is None else static.D
    return Optimum(
        mixture=average,
        predicted=told.predicted,
        objective=told.objective,
        honest=told.honest,
        baselines=tuple(_over_the_run(row, schedules[row.name]) for row in told.baselines),
        gains=told.gains,
        active=limits_touched(composite, x_X, ended),
        prices={},
        spread=None if spread is None else _in_phases(spread, course),
        nearest=_nearest(fitted, course, x_X),
        epochs={} if not static.epochs or tokens is None else average.epochs(tokens, constraints.unique),
        status=ended.status,
        gap=ended.certificate.gap,
        agreeing=ended.agreeing,
        aim=objective,
        N=static.N,
        D=static.D,
        warnings=static.warnings,
        unique=static.unique,
        schedule=schedule,
    )


def constraints_by_phase(limits: Constraints, course: Course, least: Mapping[str, float] | None = None) -> Constraints:
    """Limits on the whole run as limits on sums over its phases.

    Args:
        limits: on the whole run.
        course: its phases.
        least: least share of a language in every phase.

    Raises:
        BadInput: relative shares inside a group are to be kept.
    """
    K, languages = len(course.length_K), limits.languages

    def over_run(members: Sequence[str], phases: Sequence[int] = range(K)) -> tuple[str, ...]:
        return tuple(f"phase{k + 1}/{one}" for k in phases for one in members)

    groups = {
        f"phase{k + 1}": Group(over_run(languages, [k]), float(length), float(length), given=True)
        for k, length in enumerate(course.length_K[:-1])  # the last phase is what is left
    }
    for language in languages:
        floor, ceiling = limits.floors.get(language, 0.0), limits.ceilings.get(language, 1.0)
        if floor > 0 or ceiling < 1 or limits.max_epochs is not None:
            groups[f"{language} over the run"] = Group(over_run([language]), floor, ceiling, limits.max_epochs)
    for name, group in limits.groups.items():
        if group.within is not None:
            raise BadInput("keep: within, and phases", where=f"optimize.groups.{name}", expected="one of the two")
        groups[f"{name} over the run"] = replace(group, languages=over_run(group.languages))
    unique = {
        f"phase{k + 1}/{one}": limits.unique[one] * float(length)
        for k, length in enumerate(course.length_K)
        for one in languages
        if one in limits.unique
    }
    floors = {
        f"phase{k + 1}/{one}": float(length) * share
        for k, length in enumerate(course.length_K)
        for one, share in (least or {}).items()
        if share > 0
    }
    return Constraints(over_run(languages), floors, unique=unique, D=limits.D, groups=groups)


def _schedules(static: Optimum, objective: Objective, course: Course) -> dict[str, Schedule]:
    """What an optimised schedule is compared with, by name."""
    languages, last = tuple(static.mixture), course.ends[-1]
    found = {STATIC: Schedule.constant(static.mixture)}
    if all(static.unique.get(one, 0) > 0 for one in languages):
        found[COOLDOWN] = cooldown({one: static.unique[one] for one in languages}, switch=last)
    counted = {one: objective.weights.get(one, 0.0) for one in languages}
    if any(counted.values()):
        found[LAST] = Schedule((Stage(0.0, static.mixture), Stage(last, Mixture.normalised(counted))))
    return found | {row.name: Schedule.constant(row.mixture) for row in static.baselines}


def _penalty_by_phase(penalty: Penalty | None, course: Course) -> Penalty | None:
    if penalty is None or penalty.reference is None:  # the natural mixture is known to the limits
        return penalty
    told = {
        f"phase{k + 1}/{one}": float(length) * share
        for k, length in enumerate(course.length_K)
        for one, share in penalty.reference.items()
    }
    return replace(penalty, reference=told)


def _over_the_run(row: Baseline, schedule: Schedule) -> Baseline:
    """A baseline over phases as one over the run."""
    return replace(row, mixture=schedule.average(), schedule=None if schedule.is_constant else schedule)


def _in_phases(spread: Mapping[str, tuple[float, float]], course: Course) -> dict[str, tuple[float, float]]:
    """Ranges of shares of the run as ranges of shares of their phases."""
    length_X = np.repeat(course.length_K, len(spread) // len(course.length_K)).tolist()
    return {
        name: (low / length, high / length)
        for (name, (low, high)), length in zip(spread.items(), length_X, strict=True)
    }


def _nearest(fitted: Fit, course: Course, x_X: np.ndarray) -> Nearest:
    """The run whose schedule differs in the fewest tokens."""
    phases, languages = None if fitted.measured is None else fitted.measured.phases, fitted.languages
    assert phases is not None, "a law that knows order was fitted to phases"
    measured_RX = np.stack(
        [course.of_schedule(phases.schedule(row, languages), languages) for row in range(len(phases.p_RKL))]
    )
    found = nearest_of(tuple(map(str, range(len(x_X)))), x_X, measured_RX)
    x_near_X = found.mixture.vector(map(str, range(len(x_X))))
    return replace(found, mixture=course.schedule(x_near_X, languages).average())
