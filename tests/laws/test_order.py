"""Planted truths of order: what is recovered of them, and what the schedule that follows is worth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from glotmix.fit import fit
from glotmix.fit.holdout import cross_validate
from glotmix.fit.selection import choose
from glotmix.laws import find_law, with_order
from glotmix.measurements import Measurements, read_runs
from glotmix.mixture.phases import Course, Phases
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.request import optimum_of

LANGUAGES = ("a", "b", "c")
COURSE = Course(np.array([0.8, 0.2]), np.array([1.0, 0.2]))
HELP = np.array([[0, 0.1, 0.05], [0.12, 0, 0.05], [0.1, 0.1, 0]])
TRUTHS = {
    "recency": ((4.0, 1.0, 0.0), (0.0, 0.0, 0.0)),
    "small languages are forgotten": ((0.0, 2.5, 5.0), (0.0, 0.0, 0.0)),
    "some are best read early": ((3.0, -3.0, 1.0), (-3.0, -3.0, -3.0)),
}
"""λ of the own text and of that of others, by language."""


def planted(phases: Phases, late: tuple[float, ...], others: tuple[float, ...]) -> np.ndarray:
    share_RT = []
    for t in range(3):
        own_R = np.einsum("rk,rk->r", phases.weights(late[t])[0], phases.p_RKL[:, :, t])
        share_RT.append(own_R + np.einsum("rk,rkl->rl", phases.weights(others[t])[0], phases.p_RKL) @ HELP[t])
    return np.asarray(1 + 0.8 * np.column_stack(share_RT) ** -0.2)


def runs_of(p_RKL: np.ndarray) -> Phases:
    lengths, rates = (np.tile(x_K, (len(p_RKL), 1)) for x_K in (COURSE.length_K, COURSE.rate_K))
    return Phases(p_RKL, lengths, rates)


def table(late: tuple[float, ...], others: tuple[float, ...], R: int = 40) -> Measurements:
    rng = np.random.default_rng(0)
    p_RKL = rng.dirichlet(np.ones(3), (R, 2))
    p_RKL[:12, 1] = p_RKL[:12, 0]
    phases = runs_of(p_RKL)
    loss_RT = planted(phases, late, others) * np.exp(rng.normal(0, 0.005, (R, 3)))
    nothing, names = np.full(R, np.nan), tuple(f"r{r}" for r in range(R))
    zeros, roles = np.zeros(R, int), ("",) * R
    return Measurements(
        names, LANGUAGES, LANGUAGES, phases.average_RL, loss_RT, nothing, nothing, zeros, roles, phases=phases
    )


@pytest.mark.parametrize("truth", TRUTHS)
def test_order_is_recovered_and_the_schedule_is_worth_it(truth: str) -> None:
    late, others = TRUTHS[truth]
    found = fit("shapley_law+order", table(late, others), starts=2)
    told = [dict(zip(found.fits[t].names, found.fits[t].theta_P, strict=True)) for t in LANGUAGES]
    assert np.abs([one["late"] - x for one, x in zip(told, late, strict=True)]).max() < 0.8
    optimum = optimum_of(found, OptimizeConfig(phases=2, max_epochs=None, rehearsal=0.0))

    def value(p_RKL: np.ndarray) -> np.ndarray:
        return np.asarray(planted(runs_of(p_RKL), late, others).mean(axis=1))

    best_KL = np.array([[stage.mixture[one] for one in LANGUAGES] for stage in optimum.schedule.stages])
    drawn = np.random.default_rng(1).dirichlet(np.full(3, 0.5), (60_000, 2))
    least = min(value(drawn).min(), value(best_KL[None])[0])
    assert value(best_KL[None])[0] < 1.003 * least
    assert value(np.repeat(drawn[:, :1], 2, axis=1)).min() > 1.01 * least


def test_where_order_does_not_matter_nothing_is_made_of_it() -> None:
    runs = table((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    with_it, without = (fit(law, runs, starts=2) for law in ("shapley_law+order", "shapley_law"))
    for target in LANGUAGES:
        told = dict(zip(with_it.fits[target].names, with_it.fits[target].theta_P, strict=True))
        assert abs(told["late"]) < 0.5
    schedule = optimum_of(with_it, OptimizeConfig(phases=2, max_epochs=None))
    assert schedule.gains["static"].value < 0.002 * schedule.objective.value
    p_RL = np.random.default_rng(2).dirichlet(np.ones(3), 20)
    np.testing.assert_allclose(with_it.predict(p_RL).value_RT, without.predict(p_RL).value_RT, rtol=0.003)


def test_held_out_error_chooses_order_where_there_is_some() -> None:
    names = ["null", "own_ratio_floored", "own_ratio_floored+order"]
    late, others = TRUTHS["small languages are forgotten"]
    assert choose(cross_validate(names, table(late, others), folds=4)) == "own_ratio_floored+order"


def test_names_of_laws_with_order() -> None:
    assert with_order("shapley_law") == find_law("shapley_law+order").name
    assert with_order("shapley_law+gaussian_process") == "shapley_law+order+gaussian_process"
    assert with_order("null") is None
    assert with_order("gaussian_process") is None
    assert with_order("shapley_law+order") is None
    assert find_law("shapley_law+order+gaussian_process").inside == find_law("shapley_law")
    assert find_law("shapley_law+order+gaussian_process").knows_order
    assert not find_law("shapley_law+gaussian_process").knows_order


def test_real_runs_of_two_phases_are_predicted_better_with_order() -> None:
    """Man pages of four languages, 24 of the 36 runs in two phases; five folds by schedule. What order explains is
    Dutch, the third in size, most of all; that it is no loss for the mean of the four is what the choice needs."""
    runs = read_runs(Path(__file__).parents[2] / "benchmarks" / "data" / "order.csv")
    assert runs.changes_R.sum() == 24
    judged = cross_validate(["shapley_law", "shapley_law+order"], runs, folds=5, starts=2)
    without, with_it = (judged.scores[law] for law in ("shapley_law", "shapley_law+order"))
    assert with_it["nld_Latn"].error < 0.75 * without["nld_Latn"].error
    assert judged.mean("shapley_law+order") < judged.mean("shapley_law")
