"""Scores of which more is better: planted accuracies come back, and no sign is the wrong way round."""

import json
from dataclasses import replace

import numpy as np
import pytest

from glotmix.errors import BadInput
from glotmix.fit.choice import fit_measurements
from glotmix.fit.fit import Fit, fit
from glotmix.fit.games import ShapleyRequest, values_of_law
from glotmix.fit.jackknife import jackknife
from glotmix.fit.stage import line_through
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.optimum import Optimum
from glotmix.optimize.request import optimum_of
from glotmix.scored import SLOPE, Scored
from tests.fit.planted import LANGUAGES
from tests.fit.planted_scores import CHANCE, KINDS, QUESTIONS, score_of, tables

TARGETS = tuple(KINDS)
WEIGHTS = dict(zip(TARGETS, (1.0, 1.0, 1.0, 3.0), strict=True))
ASKED = OptimizeConfig(objective="weighted", weights=WEIGHTS, max_epochs=None, current=dict.fromkeys(LANGUAGES, 0.25))


@pytest.fixture(scope="module")
def fits():
    return [fit("shapley_law", tables(seed), bootstrap=40, starts=2, seed=seed) for seed in range(3)]


def mean_score(p_L):
    """Weighted mean of the true scores of mixtures [..., L]."""
    weight_T = np.array(list(WEIGHTS.values()))
    return score_of(np.atleast_2d(p_L)) @ weight_T / weight_T.sum()


@pytest.fixture(scope="module")
def fresh():
    return np.random.default_rng(99).dirichlet(np.ones(4), 150)


def test_scores_are_predicted_far_better_than_by_their_mean(fits, fresh):
    for seed, fitted in enumerate(fits):
        true_RT = 1 - score_of(fresh)
        off = np.abs(fitted.predict(fresh).value_RT - true_RT).mean()
        null = np.abs(tables(seed).loss_RT.mean(axis=0) - true_RT).mean()
        assert off < 0.35 * null
        assert off < np.sqrt(0.4 * 0.6 / QUESTIONS)  # what one run's questions are off by


def test_an_interval_holds_new_runs_and_never_leaves_its_estimate_or_what_can_be(fits, fresh):
    rng = np.random.default_rng(3)
    held = []
    for fitted in fits:
        told = fitted.predict(fresh)
        assert np.all((told.low_RT <= told.value_RT) & (told.value_RT <= told.high_RT))
        assert np.all((told.low_RT >= 0) & (told.high_RT <= 1) & (told.value_RT < 1 - CHANCE))
        assert np.all(told.high_RT - told.low_RT < 0.35)  # near chance too
        new_RT = 1 - rng.binomial(QUESTIONS, score_of(fresh)) / QUESTIONS
        held.append(((new_RT >= told.low_RT) & (new_RT <= told.high_RT)).mean())
    assert 0.88 < np.mean(held) < 0.99


def test_the_optimum_is_near_the_best_and_says_what_it_is_worth(fits):
    grid_CL = np.random.default_rng(5).dirichlet(np.ones(4), 20_000)
    best, even = mean_score(grid_CL).max(), float(mean_score(np.full(4, 0.25))[0])
    held = []
    for fitted in fits:
        found = optimum_of(fitted, ASKED)
        reached = float(mean_score(found.mixture.vector(LANGUAGES))[0])
        assert best - reached < 0.4 * (best - even)  # the trivial answer, all alike, loses all of it
        assert found.objective.low <= 1 - reached <= found.objective.high
        for target, told in found.to_json()["predicted"].items():
            assert CHANCE < told["low"] <= told["value"] <= told["high"] < 1
            true = score_of(found.mixture.vector(LANGUAGES)[None])[0, TARGETS.index(target)]
            held.append(told["low"] <= true <= told["high"])
        gain = found.gains["current"]
        assert gain.low <= reached - even <= gain.high
        assert found.prices["rus"]["mmlu_rus"] < 0  # one more point of Russian lowers its error
        assert any("gives mmlu_rus" in words and "points" in words for words in found.price_words())
    assert np.mean(held) >= 0.75  # of twelve


def test_an_error_rate_and_its_accuracy_are_one_question(fits):
    runs = tables(0)
    rates = {name: Scored(False, 1 - CHANCE, QUESTIONS) for name in TARGETS}
    other = fit("shapley_law", replace(runs, scored=rates), bootstrap=40, starts=2, seed=0)
    one, two = optimum_of(fits[0], ASKED), optimum_of(other, ASKED)
    np.testing.assert_allclose(one.mixture.vector(LANGUAGES), two.mixture.vector(LANGUAGES), atol=1e-9)
    assert one.objective == two.objective
    assert one.predicted == two.predicted
    told = one.to_json()["predicted"]["mmlu_rus"]["value"], two.to_json()["predicted"]["mmlu_rus"]["value"]
    assert told[0] == pytest.approx(1 - told[1], abs=1e-12)
    assert set(other.predict(np.full((1, 4), 0.25)).to_polars().columns) >= {"error/mmlu_rus", "error/mmlu_rus/low"}


def test_declared_as_losses_of_which_less_is_better_the_answer_would_be_another(fits):
    """What the test above would not see: a table of accuracies that nobody says are scores is made small."""
    runs = tables(0)
    wrong = fit("shapley_law", replace(runs, scored={}, loss_RT=1 - runs.loss_RT), starts=2)
    found = optimum_of(wrong, ASKED)
    assert mean_score(found.mixture.vector(LANGUAGES))[0] < mean_score(np.full(4, 0.25))[0]
    right = optimum_of(fits[0], ASKED)
    assert mean_score(right.mixture.vector(LANGUAGES))[0] > mean_score(np.full(4, 0.25))[0]


def test_gradients_are_those_of_the_errors(fits):
    p_L, step = np.array([0.3, 0.2, 0.1, 0.4]), 1e-6
    slope_TL = fits[0].gradient(p_L)
    for place in range(4):
        away_L = np.eye(4)[place] * step
        change_T = (fits[0].loss(p_L + away_L) - fits[0].loss(p_L - away_L)) / (2 * step)
        np.testing.assert_allclose(slope_TL[:, place], change_T, rtol=1e-5)
    assert slope_TL[3, 3] < 0


def test_a_fit_comes_back_from_its_file(fits):
    again = Fit.from_json(json.loads(json.dumps(fits[0].to_json())))
    p_RL = np.random.default_rng(1).dirichlet(np.ones(4), 5)
    for ours, theirs in zip(
        (again.predict(p_RL).low_RT, again.resampled(p_RL)), (fits[0].predict(p_RL).low_RT, fits[0].resampled(p_RL)),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert again.scored == fits[0].scored
    found = optimum_of(fits[0], ASKED)
    assert Optimum.from_json(json.loads(json.dumps(found.to_json()))).predicted["mmlu_spa"].value == pytest.approx(
        found.predicted["mmlu_spa"].value, abs=1e-12
    )


def test_shapley_values_of_a_fitted_score_are_its_rise_from_chance(fits):
    found = values_of_law(fits[0], ShapleyRequest({}))
    assert found.unit != "bpb"
    value_TL = found.value_TL
    for place in range(4):
        assert value_TL[place, place] == value_TL[place].max() > 0
    whole = 1 - CHANCE - fits[0].loss(np.full(4, 0.25))
    np.testing.assert_allclose(value_TL.sum(axis=1), whole, atol=1e-9)
    given = values_of_law(fits[0], ShapleyRequest({"mmlu_spa": 0.3}))  # a score, not an error
    assert given.value_TL[0].sum() == pytest.approx(value_TL[0].sum() - 0.05, abs=1e-9)


def test_jackknifed_intervals_hold_their_estimate():
    told = jackknife("log_linear", tables(2, R=30), parts=10).predict(np.eye(4) * 0.7 + 0.075)
    assert np.all((told.low_RT > 0) & (told.low_RT < told.value_RT) & (told.value_RT < told.high_RT))
    assert np.all(told.high_RT <= 1)
    assert np.all(told.high_RT - told.low_RT < 0.5)


@pytest.mark.parametrize("higher", [True, False])
def test_scores_of_no_question_and_of_all_and_below_chance_are_what_they_are(higher):
    kind = Scored(higher, CHANCE if higher else 1 - CHANCE, QUESTIONS)
    error_R = np.array([0.0, 0.001, 0.4, 0.749, 0.76, 0.9, 1.0])
    for log_fitted in (-6.0, 0.0, 6.0):
        response_R = kind.response(error_R, np.full(7, log_fitted))
        assert np.isfinite(response_R).all()
        assert np.all(np.diff(response_R) >= 0)
    fitted_R = kind.log_odds(np.array([0.4]))
    assert kind.response(np.array([0.4]), fitted_R)[0] == pytest.approx(fitted_R[0])
    assert np.isfinite(kind.log_odds(kind.inside(error_R))).all()


def test_runs_at_chance_pull_nothing():
    """A handful of runs below chance, as guessing gives them, leaves the others' prediction where it was."""
    runs, fresh = tables(1), np.random.default_rng(4).dirichlet(np.full(4, 5.0), 60)
    low = np.argsort(runs.loss_RT[:, 3])[-6:]
    loss_RT = runs.loss_RT.copy()
    loss_RT[low, 3] = 1 - np.array([0.21, 0.23, 0.25, 0.22, 0.27, 0.24])
    moved = fit("shapley_law", replace(runs, loss_RT=loss_RT), targets=TARGETS[3:], starts=2)
    off = np.abs(moved.predict(fresh).value_RT[:, 0] - (1 - score_of(fresh)[:, 3])).mean()
    assert off < 0.03


def test_questions_that_are_known_are_never_less_noise_than_they_make():
    runs = tables(0)
    exact = replace(runs, loss_RT=1 - score_of(runs.p_RL))
    told = fit("shapley_law", exact, targets=TARGETS[:1], starts=2, bootstrap=20).predict(np.full((1, 4), 0.25))
    half = (told.high_RT - told.low_RT)[0, 0] / 2
    assert half > 1.9 * np.sqrt(0.24 / QUESTIONS)
    several = {name: replace(one, questions=50_000) for name, one in runs.scored.items()}
    many = fit("shapley_law", replace(exact, scored=several), targets=TARGETS[:1], starts=2, bootstrap=20)
    finer = many.predict(np.full((1, 4), 0.25))
    assert (finer.high_RT - finer.low_RT)[0, 0] / 2 < 0.5 * half


def test_losses_and_scores_have_no_mean():
    both = fit("shapley_law", tables(0, loss=True), starts=2)
    for objective in ("mean", "regret"):
        asked = OptimizeConfig(objective=objective, weights={"mmlu_spa": 1}, max_epochs=None)
        with pytest.raises(BadInput, match=r"no common unit.*normalised"):
            optimum_of(both, asked)
    for objective in ("normalised", "worst", "weighted"):
        weights = {"mmlu_spa": 1.0, "spa": 1.0}
        found = optimum_of(both, OptimizeConfig(objective=objective, weights=weights, max_epochs=None))
        assert found.status == "converged"


@pytest.fixture(scope="module")
def both():
    return tables(0, loss=True)


@pytest.fixture(scope="module")
def chosen(both):
    return fit_measurements(both, laws=["shapley_law"], folds=5, bootstrap=30, seed=0)


def test_held_out_mixtures_choose_it_where_it_is_the_truth(chosen):
    """The planted score is a function of its own language's loss, which the second stage must find."""
    assert chosen.chosen == "shapley_law"
    assert len(chosen.staging.staged) >= 3
    for target in chosen.staging.staged:
        assert chosen.fit.fits[target].through == target.removeprefix("mmlu_")
    for one in chosen.staging.scores.values():
        assert min(one.own, one.through_loss) < 0.6 * one.null
    fresh = np.random.default_rng(8).dirichlet(np.ones(4), 150)
    true_RT = 1 - score_of(fresh)
    columns = [chosen.fit.targets.index(target) for target in TARGETS]
    off = np.abs(chosen.fit.predict(fresh).value_RT[:, columns] - true_RT).mean()
    alone = np.abs(fit("shapley_law", tables(0), starts=2).predict(fresh).value_RT - true_RT).mean()
    assert off < alone


def test_its_intervals_hold_new_runs(chosen):
    rng = np.random.default_rng(9)
    fresh = rng.dirichlet(np.ones(4), 150)
    told = chosen.fit.predict(fresh)
    columns = [chosen.fit.targets.index(target) for target in chosen.staging.staged]
    of = [TARGETS.index(target) for target in chosen.staging.staged]
    new_RT = (1 - rng.binomial(QUESTIONS, score_of(fresh)) / QUESTIONS)[:, of]
    low, value, high = (x_RT[:, columns] for x_RT in (told.low_RT, told.value_RT, told.high_RT))
    assert np.all((low <= value) & (value <= high))
    assert 0.85 < ((low <= new_RT) & (new_RT <= high)).mean() <= 1


def test_it_goes_through_files_gradients_and_resamples(chosen):
    again = Fit.from_json(json.loads(json.dumps(chosen.fit.to_json())))
    p_L = np.array([0.4, 0.3, 0.2, 0.1])
    np.testing.assert_allclose(again.loss(p_L), chosen.fit.loss(p_L), rtol=1e-12)
    np.testing.assert_allclose(again.bootstrap_losses(p_L), chosen.fit.bootstrap_losses(p_L), rtol=1e-12)
    numeric_TL = np.stack([(again.loss(p_L + d) - again.loss(p_L - d)) / 2e-6 for d in 1e-6 * np.eye(4)], axis=1)
    np.testing.assert_allclose(again.gradient(p_L), numeric_TL, rtol=1e-4, atol=1e-7)


def test_a_score_that_no_loss_tells_is_left_to_the_law(both):
    """It rises with Spanish alone, of which the only loss here, Russian's, says the contrary."""
    rng = np.random.default_rng(2)
    share_R = both.p_RL[:, 0]
    error_R = 1 - rng.binomial(QUESTIONS, 0.3 + 0.5 * share_R) / QUESTIONS
    few = replace(
        both,
        targets=("rus", "spanish_quiz"),
        loss_RT=np.column_stack([both.loss("rus"), error_R]),
        scored={"spanish_quiz": Scored(questions=QUESTIONS)},
    )
    found = fit_measurements(few, laws=["shapley_law"], folds=5, bootstrap=0, seed=0)
    assert found.staging.staged == ()
    one = found.staging.scores["spanish_quiz"]
    assert one.own < one.null


def test_a_line_never_falls_and_is_found():
    kind, rng = Scored(questions=2000), np.random.default_rng(0)
    x_R = rng.uniform(-0.5, 0.8, 200)
    error_R = rng.binomial(2000, kind.error_at(0.3 + 2 * x_R)) / 2000
    line = line_through(kind, x_R, error_R, np.ones(200), np.arange(200))
    np.testing.assert_allclose(line.theta, [1 + 0.3 / SLOPE, 2 / SLOPE], atol=0.004)
    assert line.left == pytest.approx(1 / np.sqrt(2000), rel=0.2)
    falling = line_through(kind, -x_R, error_R, np.ones(200), np.arange(200))
    assert falling.theta[1] == 0
