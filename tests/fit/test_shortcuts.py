"""What is not computed twice: fits that start from fits, starts on a sample, laws judged on some targets."""

from __future__ import annotations

import importlib
import os
from typing import ClassVar

import numpy as np
import pytest

from glotmix.fit import fit
from glotmix.fit.bootstrap import leave_out, multipliers, resample
from glotmix.fit.choice import MOST_JUDGED, fit_measurements, judged_targets
from glotmix.fit.fit import inputs_of
from glotmix.fit.parallel import each, processes
from glotmix.fit.several import fit_all
from glotmix.fit.solve import SAMPLE, Equations, equations, inner, solve
from glotmix.laws import find_law
from glotmix.laws.law import Inputs, LawValue, Problem
from glotmix.laws.shapley_law import ShapleyLaw
from glotmix.measurements import Measurements
from tests.fit.planted import noisy, swarm, table, truth


class Counted(ShapleyLaw):
    """ShapleyLaw that counts the rows it is evaluated at."""

    rows: ClassVar[list[int]] = []

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        self.rows.append(len(inputs.p_RL))
        return super().evaluate(problem, theta_P, inputs)


def test_a_fit_of_the_same_runs_is_started_from_and_all_else_is_as_without() -> None:
    """The parameters to a hundredth of the noise, the noise, and what the runs do not tell, are those of a fit from
    nothing; of other runs the noise is taken over."""
    rng = np.random.default_rng(0)
    runs = table(p_RL := swarm(rng, 40), noisy(rng, truth(p_RL), 0.01))
    alone = fit("shapley_law", runs, bootstrap=20)
    before = fit_all(["shapley_law"], runs)["shapley_law"]
    again = fit("shapley_law", runs, bootstrap=20, near=before)
    at = swarm(rng, 20)
    assert np.abs(np.log(again.predict(at).value_RT / alone.predict(at).value_RT)).max() < 1e-2 * 0.01
    for target in runs.targets:
        one, other = again.fits[target], alone.fits[target]
        assert one.scale == pytest.approx(other.scale, rel=1e-3)
        assert one.unclear == other.unclear
        assert one.widening == pytest.approx(other.widening, rel=1e-2)
    part = fit("shapley_law", runs.where(np.arange(40) > 3), near=before)
    assert part.fits[runs.targets[0]].scale == before.fits[runs.targets[0]].scale


def test_a_law_with_a_black_box_is_the_law_that_was_fitted_already() -> None:
    rng = np.random.default_rng(0)
    runs = table(p_RL := swarm(rng, 40), noisy(rng, truth(p_RL), 0.01))
    found = fit_all(["shapley_law", "shapley_law+gaussian_process"], runs)
    boxed = fit("shapley_law+gaussian_process", runs, starts=4)
    at = swarm(rng, 20)
    both = [one.predict(at).value_RT for one in (found["shapley_law+gaussian_process"], boxed)]
    assert np.abs(np.log(both[0] / both[1])).max() < 1e-2 * 0.01


def test_starts_tried_on_some_of_many_runs_end_where_all_would() -> None:
    rng = np.random.default_rng(3)
    runs = table(p_RL := swarm(rng, 4 * SAMPLE), noisy(rng, truth(p_RL), 0.01))
    law, problem = find_law("shapley_law"), Problem(runs.targets[0], runs.languages)
    inputs, loss_R = inputs_of(runs), runs.loss(runs.targets[0])
    start_SP = law.starts(problem, inputs, loss_R, 4, rng)
    found = solve(law, problem, inputs, loss_R, np.ones(len(loss_R)), start_SP, scale=0.01)
    each_alone = [
        solve(law, problem, inputs, loss_R, np.ones(len(loss_R)), start_P[None], scale=0.01) for start_P in start_SP
    ]
    assert found.status == "converged"
    assert found.cost == pytest.approx(min(one.cost for one in each_alone), rel=1e-5)


def test_of_many_starts_most_evaluations_see_a_sample_only() -> None:
    """Twelve hundred runs and four starts: the rows that are evaluated are less than half of what all runs would take."""
    rng = np.random.default_rng(3)
    runs = table(p_RL := swarm(rng, 4 * SAMPLE), noisy(rng, truth(p_RL), 0.01))
    counted = Counted()
    Counted.rows.clear()
    problem, inputs, loss_R = Problem(runs.targets[0], runs.languages), inputs_of(runs), runs.loss(runs.targets[0])
    start_SP = counted.starts(problem, inputs, loss_R, 4, rng)
    solve(counted, problem, inputs, loss_R, np.ones(len(loss_R)), start_SP, scale=0.01)
    together = sum(Counted.rows)
    Counted.rows.clear()
    for start_P in start_SP:
        solve(counted, problem, inputs, loss_R, np.ones(len(loss_R)), start_P[None], scale=0.01)
    assert together < sum(Counted.rows) / 2


def test_resamples_reach_the_losses_that_they_are_drawn_for() -> None:
    """Twelve languages that hardly help each other, where a step in ln w says nothing of the losses: the draws lie within
    0.3 of their size of the losses of the linear step in the mean (0.25 at best; six steps from the fit leave 0.36)."""
    rng = np.random.default_rng(1)
    L = 12
    p_RL = rng.dirichlet(np.full(L, 0.7), 60)
    names = tuple(f"l{i}" for i in range(L))
    loss_R = 0.9 * (p_RL[:, 0] + 0.01) ** -0.1 * np.exp(0.01 * rng.standard_normal(60))
    law, problem = find_law("shapley_law"), Problem("l0", names)
    inputs = Inputs(p_RL, np.full(60, np.nan), np.full(60, np.nan))
    found = solve(law, problem, inputs, loss_R, np.ones(60), law.starts(problem, inputs, loss_R, 4, rng), scale=0.01)
    wanted: Equations = equations(law, problem, inputs, loss_R, np.ones(60), 0.01)
    left = leave_out(wanted, found.theta_P, np.arange(60), 60)
    weights = multipliers(60, 40, 0)
    known_BK = np.random.default_rng(5).standard_normal((40, len(left.prior_KP)))
    drawn_BP = resample(wanted, found.theta_P, left, weights, known_BK)
    steps_BP = weights @ left.shift_GP + known_BK @ left.prior_KP
    here_M, rows_MP = wanted(inner(found.theta_P, wanted.log_P))
    off = []
    for drawn_P, step_P in zip(drawn_BP, steps_BP, strict=True):
        change_R = (rows_MP @ step_P)[:60]
        moved_R = (wanted(inner(drawn_P, wanted.log_P))[0] - here_M)[:60]
        off.append(np.sqrt(np.mean((moved_R - change_R) ** 2) / np.mean(change_R**2)))
    assert np.mean(off) < 0.3


def many_targets(T: int) -> Measurements:
    rng = np.random.default_rng(0)
    runs = table(p_RL := swarm(rng, 24), noisy(rng, truth(p_RL), 0.01))
    loss_RT = np.exp(rng.normal(0, 0.01, (24, T))) * runs.loss_RT[:, :1]
    names = tuple(f"t{t}" for t in range(T))
    return Measurements(runs.runs, runs.languages, names, p_RL, loss_RT, runs.N_R, runs.D_R, runs.seed_R, runs.role_R)


def test_of_many_targets_some_choose_the_law_and_all_are_fitted() -> None:
    runs = many_targets(MOST_JUDGED + 6)
    found = fit_measurements(runs, laws=["null", "log_linear"], folds=3, bootstrap=0, seed=0)
    assert len(found.holdout.targets) == MOST_JUDGED
    assert f"{MOST_JUDGED} of {MOST_JUDGED + 6} targets" in found.holdout.split
    assert all(found.fit.fits[target].status == "converged" for target in runs.targets)
    few = many_targets(MOST_JUDGED)
    assert judged_targets(few) == few.targets


def test_those_that_choose_are_of_the_mixture_where_any_are() -> None:
    runs = many_targets(MOST_JUDGED + 6)
    names = (*runs.targets[:-2], *runs.languages[:2])
    mixed = Measurements(
        runs.runs, runs.languages, names, runs.p_RL, runs.loss_RT, runs.N_R, runs.D_R, runs.seed_R, runs.role_R
    )
    assert judged_targets(mixed) == runs.languages[:2]


def test_processes_are_started_once_for_all_that_is_shared_inside() -> None:
    with processes(2):
        first, second = (set(each(os.getpid, [() for _ in range(8)], 2)) for _ in range(2))
    assert os.getpid() not in first | second
    assert len(first | second) <= 2


def test_what_a_box_has_learned_of_the_same_runs_is_not_sought_again(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    runs = table(p_RL := swarm(rng, 210), noisy(rng, truth(p_RL), 0.01))
    before = fit("shapley_law+gaussian_process", runs, targets=runs.targets[:2], starts=1)

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a search")

    monkeypatch.setattr(importlib.import_module("glotmix.laws.gaussian_process"), "minimize", refused)
    again = fit("shapley_law+gaussian_process", runs, targets=runs.targets[:2], near=before)
    at = swarm(rng, 20)
    assert np.abs(np.log(again.predict(at).value_RT / before.predict(at).value_RT))[:, :2].max() < 1e-2 * 0.01
