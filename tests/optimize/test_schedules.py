"""The best schedule of a few phases: better than any single mixture where order matters, under limits on the whole run."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import glotmix as gm
from glotmix.errors import BadInput
from glotmix.fit import Fit, fit
from glotmix.measurements import Measurements
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.phases import Course, Phases
from glotmix.mixture.schedule import Schedule, schedule_in
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.constraint import Constraints, Group
from glotmix.optimize.optimum import Optimum
from glotmix.optimize.predictor import OverPhases, resampled
from glotmix.optimize.request import optimum_of
from glotmix.optimize.reuse import reuse
from glotmix.optimize.schedules import constraints_by_phase, course_for
from glotmix.report.page import page
from glotmix.report.runs import Question, evidence_of_runs

LANGUAGES, D = ("a", "b", "c"), 1e6
UNIQUE = {"a": 1e6, "b": 1e5, "c": 3e4}
COURSE = Course(np.array([0.8, 0.2]), np.array([1.0, 0.4]))
LATE, OTHERS, HELP = (3.0, 1.0, 2.0), -2.0, 0.1


def truth(phases: Phases) -> np.ndarray:
    """Own text counts late, text of others early."""
    other_RK = phases.weights(OTHERS)[0]
    loss_RT = []
    for t, late in enumerate(LATE):
        own_R = (phases.weights(late)[0] * phases.p_RKL[:, :, t]).sum(axis=1)
        others_R = (other_RK * (1 - phases.p_RKL[:, :, t])).sum(axis=1)
        loss_RT.append(1.5 * (own_R + HELP * others_R) ** -0.25)
    return np.column_stack(loss_RT)


def table(truth=truth, R: int = 40) -> Measurements:
    rng = np.random.default_rng(0)
    p_RKL = rng.dirichlet(np.ones(3), (R, 2))
    p_RKL[:10, 1] = p_RKL[:10, 0]
    phases = Phases(p_RKL, np.tile(COURSE.length_K, (R, 1)), np.tile(COURSE.rate_K, (R, 1)))
    loss_RT = truth(phases) * np.exp(rng.normal(0, 0.003, (R, 3)))
    nothing, names = np.full(R, np.nan), tuple(f"r{r}" for r in range(R))
    unique_RL = np.tile(list(UNIQUE.values()), (R, 1))
    return Measurements(
        names, LANGUAGES, LANGUAGES, phases.average_RL, loss_RT, nothing, np.full(R, D), np.zeros(R, int), ("",) * R,
        unique_RL, phases=phases,
    )  # fmt: skip


@cache
def fitted() -> Fit:
    return fit("shapley_law_joint+order", table(), starts=2)


@cache
def plain() -> Fit:
    """A law that is quick to search."""
    return fit("own_ratio_floored+order", table(), starts=2)


@cache
def usual() -> Optimum:
    """The best schedule where nothing but two phases is asked for."""
    return best()


@cache
def usual_plain() -> Optimum:
    """The same of the law that is quick to search."""
    return best(plain())


def best(fit: Fit | None = None, **config: object) -> Optimum:
    asked = {"max_epochs": None, "phases": 2, "rehearsal": 0.0} | config
    return optimum_of(fit or fitted(), OptimizeConfig(**asked), D=D)


def true_value(schedule: Schedule, course: Course = COURSE) -> float:
    return float(truth(course.phases(course.of_schedule(schedule, LANGUAGES))).mean())


def test_the_optimised_schedule_is_the_best_and_no_single_mixture_is() -> None:
    found = usual()
    drawn = np.random.default_rng(1).dirichlet(np.full(3, 0.5), (40_000, 2))
    lengths, rates = (np.tile(x_K, (len(drawn), 1)) for x_K in (COURSE.length_K, COURSE.rate_K))
    least = truth(Phases(drawn, lengths, rates)).mean(axis=1).min()
    same = truth(Phases(np.repeat(drawn[:, :1], 2, axis=1), lengths, rates)).mean(axis=1).min()
    assert true_value(found.schedule) < least * 1.003
    assert same > least * 1.01
    static = next(row for row in found.baselines if row.name == "static")
    assert true_value(Schedule.constant(static.mixture)) == pytest.approx(same, rel=0.003)
    assert found.gains["static"].value > 0
    assert found.status == "converged"


def test_limits_hold_over_the_whole_run() -> None:
    """A language may be read often in one phase where it is read little in the other."""
    found = best(max_epochs=4.0, floors={"a": 0.55})
    average = found.schedule.average()
    assert max(average.epochs(D, UNIQUE).values()) <= 4 + 1e-6
    assert average["a"] >= 0.55 - 1e-9
    assert found.epochs == pytest.approx(average.epochs(D, UNIQUE))
    assert max(stage.mixture["c"] * D / UNIQUE["c"] for stage in found.schedule.stages) > 4
    assert {"over the run" in one.limit for one in found.active} == {True}
    assert found.gains["static"].value > 0


def test_no_language_is_left_out_of_a_phase_unless_that_is_asked_for() -> None:
    free, held = usual(), best(rehearsal=0.25)
    static = next(row.mixture for row in held.baselines if row.name == "static")
    least = [min(stage.mixture[one] / static[one] for one in LANGUAGES) for stage in held.schedule.stages]
    assert min(least) == pytest.approx(0.25, abs=1e-6)
    assert min(stage.mixture[one] for stage in free.schedule.stages for one in LANGUAGES) < 0.01
    assert free.objective.value < held.objective.value < static_value(held)
    assert any(one.limit.startswith("floor") for one in held.active)
    assert OptimizeConfig().rehearsal == 0.1


def static_value(found: Optimum) -> float:
    return next(row.objective.value for row in found.baselines if row.name == "static")


def test_relative_objectives_compare_schedules_and_mixtures_by_the_same_own_bests() -> None:
    static, found = best(plain(), objective="worst", phases=1), best(plain(), objective="worst")
    assert found.aim.best == static.aim.best
    assert found.objective.value + found.gains["static"].value == pytest.approx(static.objective.value)


def test_what_people_do_is_beside_it() -> None:
    rows = {row.name: row for row in best(weights={"a": 0, "b": 3, "c": 1}).baselines}
    assert rows["targets_last"].schedule.stages[1].mixture.to_json() == {"a": 0, "b": 0.75, "c": 0.25}
    assert rows["targets_last"].schedule.stages[0].mixture == rows["static"].mixture
    assert [stage.start for stage in rows["cooldown"].schedule.stages] == [0, 0.8]
    assert rows["natural"].schedule is None


def test_a_free_boundary_is_not_worse() -> None:
    free = best(plain(), boundaries="free")
    assert free.objective.value <= usual_plain().objective.value + 1e-9
    told = best(plain(), boundaries=[free.schedule.stages[1].start])
    assert told.objective.value == pytest.approx(free.objective.value)


def test_three_phases_are_not_worse_than_two_that_they_contain() -> None:
    three = best(plain(), phases=3, boundaries=[0.4, 0.8])
    assert three.objective.value <= usual_plain().objective.value + 1e-6


def test_it_is_kept_in_a_file_that_exporters_read(tmp_path: Path) -> None:
    found = usual()
    path = tmp_path / "mixture.json"
    path.write_text(json.dumps(found.to_json()))
    assert schedule_in(path) == found.schedule
    again = Optimum.from_json(json.loads(path.read_text()))
    assert again.to_json() == found.to_json()
    console = Console(width=80, record=True)
    console.print(again.table())
    assert " → " in console.export_text()


def test_a_law_that_is_blind_to_order_gives_one_mixture_and_says_so() -> None:
    found = best(fit("own_ratio_floored", table(), starts=2))
    assert found.schedule is None
    assert any("blind to order" in warning for warning in found.warnings)


def test_runs_without_phases_tell_nothing_of_order() -> None:
    with pytest.raises(BadInput, match="no run's mixture changed"):
        best(fit("own_ratio_floored", replace(table(), phases=None), starts=2))
    with pytest.raises(BadInput, match="3 phases, and the runs have 2"):
        best(phases=3)


def test_shares_that_are_kept_are_those_of_one_mixture() -> None:
    """Said before anything is trained or searched."""
    with pytest.raises(ValueError, match=r"groups.west keeps its shares within, and 2 phases"):
        OptimizeConfig(phases=2, groups={"west": {"languages": ["a", "b"], "keep": "within"}})
    with pytest.raises(BadInput, match="2 phases, and relative shares that are kept"):
        optimum_of(plain(), OptimizeConfig(phases=2), D=D, keep=reuse(Mixture({"a": 0.5, "b": 0.5}), ["c"]))


@pytest.mark.parametrize("wrong", [{"boundaries": [0.5, 0.8]}, {"boundaries": "free", "phases": 3}, {"phases": 0}])
def test_boundaries_are_one_fewer_than_phases(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="phases"):
        OptimizeConfig(**({"phases": 2} | wrong))


def test_the_course_is_that_of_most_runs() -> None:
    measured = fitted().measured
    assert course_for(measured, 2, None).ends == pytest.approx((0.8,))
    np.testing.assert_allclose(course_for(measured, 2, [0.9]).rate_K, [(0.8 + 0.04) / 0.9, 0.4])


def test_gradients_and_resamples_over_phases_are_exact() -> None:
    law = fit("shapley_law_joint+order+gaussian_process", table(), starts=1, bootstrap=3)
    over = OverPhases(law, COURSE)
    x_X = np.array([0.3, 0.2, 0.3, 0.1, 0.06, 0.04])
    for one in (over, resampled(over, 1)):
        slope_TX = one.gradient(x_X)
        for x, step_X in enumerate(1e-6 * np.eye(6)):
            numeric_T = (one.loss(x_X + step_X) - one.loss(x_X - step_X)) / 2e-6
            np.testing.assert_allclose(slope_TX[:, x], numeric_T, rtol=1e-4, atol=1e-7)


def test_limits_by_phase_are_those_of_the_run() -> None:
    group = Group(("a", "b"), 0.2, 0.7)
    limits = Constraints(LANGUAGES, {"c": 0.3}, {"b": 0.5}, 20.0, UNIQUE, D, {"west": group})
    over = constraints_by_phase(limits, COURSE)
    for schedule in np.random.default_rng(0).dirichlet(np.ones(3), (200, 2)):
        x_X = (COURSE.length_K[:, None] * schedule).reshape(-1)
        average_L = x_X.reshape(2, 3).sum(axis=0)
        assert (over.violation(x_X) > 1e-9) == (limits.violation(average_L) > 1e-9)
    kept = replace(limits, groups={"west": replace(group, within={"a": 0.5, "b": 0.5})}, max_epochs=None)
    with pytest.raises(BadInput, match="keep: within"):
        constraints_by_phase(kept, COURSE)


def test_a_table_of_phases_becomes_a_page_and_a_prediction(tmp_path: Path) -> None:
    runs = table().to_polars()
    runs.write_csv(tmp_path / "runs.csv")
    law = "own_ratio_floored+order"
    question = Question(OptimizeConfig(phases=2, max_epochs=None), D=D)
    evidence = evidence_of_runs(tmp_path / "runs.csv", laws=[law], folds=3, bootstrap=3, question=question)
    assert len(evidence.order.schedules["optimum"]) == 2
    assert evidence.order.late["a"][0].value > 0
    assert "When each group is read" in page(evidence)
    told = gm.predict(gm.fit(runs, laws=law, folds=3, bootstrap=0), runs).value_RT
    assert np.abs(told / table().loss_RT - 1).mean() < 0.02


def test_a_schedule_by_itself_has_a_page(tmp_path: Path) -> None:
    (tmp_path / "mixture.json").write_text(json.dumps(usual_plain().to_json()))
    assert "When each group is read" in page(evidence_of_runs(tmp_path / "mixture.json"))
