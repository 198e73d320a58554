"""All targets of a law fitted together: each to its own losses, and all to the means of their priors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from glotmix.fit.bootstrap import multipliers, prior_draws
from glotmix.fit.parallel import each
from glotmix.fit.pooling import ROUNDS, SETTLED, drawn, moved
from glotmix.fit.target import Fitted, TargetFit, Task, fit_target
from glotmix.laws.law import Law, Problem
from glotmix.laws.residual import Corrected
from glotmix.measurements import Measurements
from glotmix.progress import Advance, Stages

LEAST_TARGETS = 2
"""Targets from which their priors' means are told from the targets themselves."""


@dataclass(frozen=True)
class Together:
    """What all targets have in common."""

    measurements: Measurements
    """The runs."""
    weight_RT: np.ndarray
    """Relative precision of each, of all targets of ``measurements``."""
    task: Task
    """How every target is fitted."""
    looked_at: int
    """In how many targets an error of the law's form is looked for."""
    workers: int = 1
    """Processes."""
    tell: Advance | None = None
    """Told how many fits are made."""


def fit_together(
    law: Law, problems: Sequence[Problem], how: Together, near: Mapping[str, TargetFit], same: bool
) -> list[Fitted]:
    """Every target's fit, in the order of ``problems``.

    Where the law has priors and several targets, the means of the priors are fitted as well
    (:mod:`glotmix.fit.pooling`); a black box, which has none, learns in the last round what the law leaves over.

    Args:
        law: the family.
        problems: the targets, with the means of priors that hold or are started from.
        how: what they have in common.
        near: fits to nearly the same runs; their noise and the means of their priors hold.
        same: whether these were fitted to the very runs, and are only where to start.
    """
    shared = kinds_of(law, problems)
    if len(problems) < LEAST_TARGETS or not shared or (near and not same):
        return fit_apart(law, problems, how, near, same)
    inner = law.law if isinstance(law, Corrected) else law
    shift_A = np.array([problems[0].shift.get(kind, 0.0) for kind in shared])
    every, before = list(problems), near
    said, ended = {}, []
    # What a box has learned of these very runs need not be sought again.
    boxes = {target: at.learned for target, at in near.items()}
    stages = Stages(how.tell, {"0": 2.0, **{str(k): 0.3 for k in range(1, ROUNDS)}, "last": 3.0})
    for k in range(ROUNDS):
        task = replace(how.task, kinds=shared, bootstrap=0, same=bool(before))
        ended = _each(inner, every, replace(how, task=task, tell=stages.stage(str(k))), before)
        said = {p.target: one.said for p, one in zip(problems, ended, strict=True) if one.said is not None}
        before = {
            p.target: replace(one.fit, learned=boxes.get(p.target)) for p, one in zip(problems, ended, strict=True)
        }
        if len(said) < LEAST_TARGETS:
            break
        if problems[0].shift:  # these very runs have told the means already
            break
        was_A, shift_A = shift_A, moved(shift_A, list(said.values()))
        every = [replace(p, shift=dict(zip(shared, shift_A.tolist(), strict=True))) for p in problems]
        if np.abs(shift_A - was_A).max() < SETTLED:
            break
    task = replace(how.task, kinds=shared, common_BA=np.zeros((how.task.bootstrap, len(shared))), same=True)
    if how.task.bootstrap and said:
        groups, B, seed = int(how.task.group_R.max()) + 1, how.task.bootstrap, how.task.seed
        place = {target: how.measurements.targets.index(target) for target in said}
        known = {t: prior_draws(B, len(one.by_prior_KA), seed, place[t]) for t, one in said.items()}
        common_BA = drawn(said, multipliers(groups, B, seed), known, np.random.default_rng((seed, 2)))
        task = replace(task, common_BA=common_BA)
    return _each(law, every, replace(how, task=task, tell=stages.stage("last")), before)


def refitted(law: Law, problems: Sequence[Problem], how: Together, near: Mapping[str, TargetFit]) -> list[TargetFit]:
    """Fits to other losses of the same runs, in the order of ``problems``: ``near`` is started from and its noise kept,
    and the means of the priors make one step, which is most of their way."""
    shared = kinds_of(law, problems)
    how = replace(how, task=replace(how.task, kinds=shared, bootstrap=0, same=False), looked_at=0)
    stages = Stages(how.tell, {"0": 1.0, "1": 0.5})
    ended = _each(law, problems, replace(how, tell=stages.stage("0")), near)
    said = [one.said for one in ended if one.said is not None]
    if shared and len(said) >= LEAST_TARGETS:
        shift_A = moved(np.array([problems[0].shift.get(kind, 0.0) for kind in shared]), said)
        problems = [replace(p, shift=dict(zip(shared, shift_A.tolist(), strict=True))) for p in problems]
        before = {p.target: one.fit for p, one in zip(problems, ended, strict=True)}
        ended = _each(law, problems, replace(how, tell=stages.stage("1")), before)
    return [one.fit for one in ended]


def fit_apart(
    law: Law, problems: Sequence[Problem], how: Together, near: Mapping[str, TargetFit], same: bool
) -> list[Fitted]:
    """Every target's fit by itself; the arguments are those of :func:`fit_together`."""
    return _each(law, problems, replace(how, task=replace(how.task, same=same)), near)


def kinds_of(law: Law, problems: Sequence[Problem]) -> tuple[str, ...]:
    """Kinds of parameters of which some target has a prior, but for the weights ``w``: what one language is worth to
    another differs so much from pair to pair that their mean says little of the next (it cost an eighth in held-out
    error on the long tail in benchmarks/data)."""
    applies = [p for p in problems if "own" not in law.needs or p.own is not None]
    return tuple(sorted({kind for problem in applies for kind in law.prior_kinds(problem) if kind != "w"}))


def _each(law: Law, problems: Sequence[Problem], how: Together, near: Mapping[str, TargetFit]) -> list[Fitted]:
    column = how.measurements.targets.index
    tasks = [
        (
            law,
            problem,
            how.measurements,
            how.weight_RT[:, column(problem.target)],
            replace(how.task, form=t < how.looked_at, near=near.get(problem.target)),
        )
        for t, problem in enumerate(problems)
    ]
    return each(fit_target, tasks, how.workers, what=f"Fitting {law.name}", tell=how.tell)
