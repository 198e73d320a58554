"""The choice of a law: on what was held out whole, by more than decimals, by mixtures of all languages."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from glotmix.fit import choose, cross_validate, fit
from glotmix.fit.choice import VALUED_LAWS, fit_measurements, out_of_question, usual
from glotmix.fit.jackknife import jackknife
from glotmix.fit.several import fit_all
from glotmix.fit.splits import by_size, mixtures_of
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.request import optimum_of
from glotmix.transfer.game import members
from tests.fit.planted import LANGUAGES, noisy, swarm, table, truth

UNIQUE = np.array([5e9, 2e9, 3e8, 1e8])


def repeated(R: int = 48, seed: int = 0):
    """Own text alone, of which what is repeated counts less (λ = 0.3); D of four sizes."""
    rng = np.random.default_rng(seed)
    p_RL, D_R = swarm(rng, R), np.tile([5e8, 1e9, 2e9, 4e9], R // 4)
    return table(p_RL, noisy(rng, seen(p_RL, D_R, UNIQUE), 0.003), D_R, UNIQUE)


def seen(p_RL: np.ndarray, D_R: np.ndarray, unique_L: np.ndarray) -> np.ndarray:
    """``0.6 + 0.4 S(p D; U)^-0.3`` with ATLAS's S, tokens in 10^8."""
    d_RL = p_RL * D_R[:, None]
    over_RL = np.maximum(d_RL / unique_L - 1, 0)
    seen_RL = np.where(over_RL > 0, unique_L * (1 + (1 - np.exp(-0.3 * over_RL)) / 0.3), d_RL)
    return np.asarray(0.6 + 0.4 * (seen_RL / 1e8 + 0.02) ** -0.3)


def test_unique_tokens_reach_the_law_in_predictions_optima_and_jackknife() -> None:
    runs = repeated()
    found = fit("atlas", runs, starts=2)
    even, D = np.full((1, 4), 0.25), 4e9
    for factor in (0.1, 1, 10):
        told = UNIQUE * np.array([1, 1, factor, factor])
        predicted_T = found.predict(even, D=D, unique=told).value_RT[0]
        np.testing.assert_allclose(predicted_T, seen(even, np.array([D]), told)[0], rtol=0.05)
        at = dict(zip(LANGUAGES, told.tolist(), strict=True))
        best = optimum_of(found, OptimizeConfig(max_epochs=None), unique=at, D=D)
        expected_T = found.predict(best.mixture, D=D, unique=told).value_RT[0]
        np.testing.assert_allclose([best.predicted[t].value for t in LANGUAGES], expected_T, rtol=1e-6)
    other = dataclasses.replace(runs, unique_RL=np.where(np.arange(48)[:, None] % 2, UNIQUE, UNIQUE * 0.3))
    other = dataclasses.replace(
        other,
        loss_RT=np.stack([seen(other.p_RL[r : r + 1], other.D_R[r : r + 1], other.unique_RL[r])[0] for r in range(48)]),
    )
    assert np.nanmedian(jackknife("atlas", other, parts=6, starts=2).residual_RT) < 0.01


def test_a_law_that_knows_repetition_is_tried_where_something_is_repeated() -> None:
    runs = repeated(24)
    found = fit_measurements(runs, laws=["auto"], folds=3, bootstrap=0, seed=0)
    assert found.chosen == "atlas"
    assert set(usual(runs)) >= set(found.holdout.scores)  # what is usual is what is tried
    assert "atlas" not in usual(dataclasses.replace(runs, unique_RL=None))


def test_the_law_of_effective_data_is_tried_everywhere() -> None:
    rng = np.random.default_rng(0)
    p_RL = swarm(rng, 24)
    runs = table(p_RL, noisy(rng, truth(p_RL), 0.002))
    assert "shapley_law_data" in fit_measurements(runs, laws=["auto"], folds=3, bootstrap=0, seed=0).holdout.scores


def test_mixtures_are_held_out_together_with_sizes() -> None:
    rng = np.random.default_rng(0)
    p_RL = np.repeat(swarm(rng, 20), 10, axis=0)
    D_R = np.tile(np.geomspace(1e8, 2e9, 10), 20)
    runs = table(p_RL, truth(p_RL), D_R)
    splits = by_size(runs, D_R)
    assert len(splits) == 6
    for train, test in splits:
        both = np.concatenate([train.p_RL, test.p_RL])
        group = mixtures_of(dataclasses.replace(runs.where(np.arange(len(both))), p_RL=both))
        assert not set(group[: len(train)]) & set(group[len(train) :])
        assert train.D_R.max() < test.D_R.min()
    assert sum(len(test) for _, test in splits) == 40


def test_a_law_that_is_better_by_decimals_is_not_chosen() -> None:
    """Mixtures that do nothing: in 12 tables the null law is passed over at most once; by the least error it is in four
    of ten."""
    wrong = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        runs = table(swarm(rng, 30), noisy(rng, np.full((30, 4), 1.2), 0.01))
        wrong += choose(cross_validate(["null", "own_ratio_floored", "log_linear"], runs, 5, starts=1)) != "null"
    assert wrong <= 1


def test_mixtures_of_all_languages_choose_where_there_are_enough() -> None:
    """A law that is right inside and off at pairs of languages, where the null law happens to be right: by the mean over
    all runs null would be chosen, and its optimum is none."""
    rng = np.random.default_rng(0)
    pairs = [(i, j, share) for i in range(4) for j in range(i) for share in (0.1, 0.3, 0.7, 0.9)]
    pair_RL = np.zeros((24, 4))
    for r, (i, j, share) in enumerate(pairs):
        pair_RL[r, [i, j]] = share, 1 - share
    p_RL = np.vstack([pair_RL, swarm(rng, 12)])
    runs = table(p_RL, noisy(rng, 1.2 * (p_RL + 0.02) ** -0.05, 0.003))
    held_out = cross_validate(["null", "own_ratio_floored"], runs, 6, starts=2)
    told = held_out.predictions
    assert told is not None
    measured_RT, inside_RT = told.measured_RT, told.inside_R[:, None]
    predicted = {
        "null": np.where(inside_RT, told.predicted["null"], measured_RT),
        "own_ratio_floored": np.where(inside_RT, told.predicted["own_ratio_floored"], 1.2 * measured_RT),
    }
    apart = dataclasses.replace(held_out, predictions=dataclasses.replace(told, predicted=predicted))
    assert choose(apart) == "own_ratio_floored"
    everywhere = dataclasses.replace(told, predicted=predicted, inside_R=np.ones(len(told.runs), dtype=bool))
    assert choose(dataclasses.replace(held_out, predictions=everywhere)) == "null"


def test_a_law_whose_fits_do_not_converge_is_told_and_passed_over() -> None:
    rng = np.random.default_rng(0)
    p_RL = swarm(rng, 24)
    held_out = cross_validate(
        ["null", "own_ratio_floored", "log_linear"], table(p_RL, noisy(rng, truth(p_RL), 0.01)), 4, starts=1
    )
    best = choose(held_out)
    lost = dataclasses.replace(held_out, unconverged={best: 0.5})
    assert choose(lost) != best
    shown = io.StringIO()
    Console(file=shown, width=80).print(lost.table())
    assert f"{best}: 50 % of its fits did not converge" in shown.getvalue()


def test_laws_that_cannot_follow_the_runs_are_not_judged_further_and_it_is_said() -> None:
    rng = np.random.default_rng(0)
    p_RL = swarm(rng, 40)
    runs = table(p_RL, noisy(rng, 1.1 * p_RL**-0.12, 0.002))
    told = out_of_question(fit_all(["null", "own_ratio", "log_linear"], runs))
    assert list(told) == ["log_linear"]
    assert "times as much" in told["log_linear"]


@pytest.mark.parametrize("current", [None, {"spa": 0.7, "fra": 0.1, "ita": 0.1, "rus": 0.1}])
def test_where_nothing_can_be_told_the_mixture_in_use_is_kept_and_it_is_said(current: dict[str, float] | None) -> None:
    rng = np.random.default_rng(0)
    found = fit("null", table(swarm(rng, 20), noisy(rng, np.full((20, 4), 1.2), 0.01)), bootstrap=20)
    best = optimum_of(found, OptimizeConfig(current=current or {}, max_epochs=None))
    assert dict(best.mixture) == pytest.approx(current or dict.fromkeys(LANGUAGES, 0.25))
    assert best.status.startswith("the runs tell no mixture from another")
    assert ("in use" in best.status) == bool(current)
    assert best.gains["uniform"].certain in (None, False)


def test_values_are_a_prior_of_the_usual_laws_where_few_runs_tell_them() -> None:
    inside = members(4)[1:].astype(float)
    even = inside / inside.sum(axis=1, keepdims=True)
    drawn = np.random.default_rng(0).dirichlet(np.ones(4), 20)
    few, none, many = even, drawn, np.vstack([even, drawn])
    tables = [table(p_RL, truth(p_RL)) for p_RL in (few, none, many)]
    assert ["shapley_law_prior" in usual(one) for one in tables] == [True, False, False]
    found = fit_measurements(tables[0], laws=["shapley_law", *VALUED_LAWS], folds=5, bootstrap=0, seed=0)
    assert np.isfinite(found.holdout.mean("shapley_law_prior"))
