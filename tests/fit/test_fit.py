"""Fits: planted laws come back, intervals cover, and bad input is named."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares

from glotmix.errors import BadInput
from glotmix.fit import Fit, fit
from glotmix.fit.fit import OUTSIDE, inputs_of, varying
from glotmix.fit.solve import KNEE, ROBUST_SCALE, solve
from glotmix.laws import find_law
from glotmix.laws.law import Problem
from glotmix.measurements import Measurements
from glotmix.mixture.mixture import Mixture
from glotmix.transfer.game import members

LANGUAGES = ("es", "fr", "ru")
TARGETS = ("es", "fr", "ru", "tr")
WEIGHTS = np.array([[1, 0.2, 0.01], [0.3, 1, 0.02], [0.01, 0.01, 1], [0.1, 0.2, 0.3]])


def runs_of(p_RL: np.ndarray, noise: float, seed: int = 0) -> Measurements:
    """Losses ``2 (1 - 0.2 ln p̃)`` with ``p̃ = (Σ (w p)^0.6)^(1/0.6)`` and relative noise."""
    R = len(p_RL)
    loss_RT = 2 * (1 - 0.2 * np.log((p_RL**0.6 @ WEIGHTS.T**0.6) ** (1 / 0.6)))
    loss_RT = loss_RT * np.exp(np.random.default_rng(seed).normal(0, noise, loss_RT.shape))
    known = np.full(R, 1e6)
    names = tuple(f"r{r}" for r in range(R))
    return Measurements(names, LANGUAGES, TARGETS, p_RL, loss_RT, known, known, np.zeros(R, int), ("",) * R)


def swarm(R: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(3), R)


def coalitions() -> np.ndarray:
    inside = members(3)[1:]
    return inside / inside.sum(axis=1, keepdims=True)


def test_the_small_solver_ends_where_scipy_does() -> None:
    runs = runs_of(swarm(40), 0.02)
    law, problem = find_law("shapley_law"), Problem("es", LANGUAGES)
    inputs, loss_R = inputs_of(runs), runs.loss("es")
    start_SP = law.starts(problem, inputs, loss_R, 1, np.random.default_rng(0))
    ours = solve(law, problem, inputs, loss_R, np.ones(40), start_SP)

    def residuals(theta_P: np.ndarray) -> np.ndarray:
        residual_R = (np.log(law.predict(problem, theta_P, inputs)) - np.log(loss_R)) / ROBUST_SCALE
        robust_R = np.sign(residual_R) * np.sqrt(2 * KNEE**2 * (np.sqrt(1 + (residual_R / KNEE) ** 2) - 1))
        return np.concatenate([robust_R, law.prior(problem, theta_P)[0]])

    theirs = least_squares(residuals, start_SP[0], bounds=law.bounds(problem), x_scale=np.maximum(ours.theta_P, 1e-4))
    assert ours.status == "converged"
    assert ours.cost <= theirs.cost * (1 + 1e-6)


def test_unseen_mixtures_are_predicted_within_the_noise() -> None:
    """Noise 0.5 %; the mean of the runs is off by 8 %."""
    train, test = runs_of(swarm(60), 0.005), runs_of(swarm(40, 9), 0.0)
    value_RT = fit("shapley_law", train).predict(test.p_RL).value_RT
    assert np.abs(value_RT / test.loss_RT - 1).mean() < 0.005
    assert np.abs(train.loss_RT.mean(axis=0) / test.loss_RT - 1).mean() > 0.05


def test_intervals_cover_what_new_runs_measure() -> None:
    """95 % intervals on planted data; 10 tables × 200 new runs × 3 targets, noise 1 %."""
    inside = []
    for seed in range(10):
        train, test = runs_of(swarm(40, seed), 0.01, seed), runs_of(swarm(200, 100 + seed), 0.01, 200 + seed)
        found = fit("shapley_law", train, targets=LANGUAGES, starts=1, bootstrap=30, seed=seed).predict(test.p_RL)
        measured_RT = test.loss_RT[:, :3]
        inside.append((found.low_RT <= measured_RT) & (measured_RT <= found.high_RT))
    assert 0.93 <= np.mean(inside) <= 0.97


@pytest.mark.parametrize("runs", [10, 40])
def test_intervals_cover_whatever_the_law_was_told_beforehand(runs: int) -> None:
    """At ten runs most parameters are the prior's: were its means not resampled too, 90 % would be covered, not 95 %."""
    inside = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        w_TL = np.exp(rng.normal(np.log(0.02), 2, (3, 3))).clip(max=1)
        np.fill_diagonal(w_TL, 1)
        train, test = (drawn_from_the_prior(n, w_TL, rng) for n in (runs, 100))
        found = fit("shapley_law", train, starts=1, bootstrap=30, seed=seed).predict(test.p_RL)
        inside.append((found.low_RT <= test.loss_RT) & (test.loss_RT <= found.high_RT))
    assert 0.93 <= np.mean(inside) <= 0.97


def drawn_from_the_prior(R: int, w_TL: np.ndarray, rng: np.random.Generator) -> Measurements:
    """Runs of a law with the exponents that the priors expect, noise 1 %."""
    p_RL, names, known = rng.dirichlet(np.ones(3), R), tuple(f"r{r}" for r in range(R)), np.full(R, 1e6)
    share_RT = (p_RL**0.63 @ (w_TL**0.63).T) ** (1 / 0.63)
    loss_RT = 2 * (1 + 0.12 * (share_RT**-0.04 - 1) / 0.04) * np.exp(0.01 * rng.normal(size=(R, 3)))
    return Measurements(names, LANGUAGES, LANGUAGES, p_RL, loss_RT, known, known, np.zeros(R, int), ("",) * R)


def test_processes_share_the_targets_and_change_nothing() -> None:
    runs = runs_of(swarm(30), 0.01)
    one, two = (fit("log_linear", runs, starts=2, workers=n).to_json() for n in (1, 2))
    assert one == two


def test_the_own_ratio_law_says_nothing_of_a_language_outside() -> None:
    found = fit("own_ratio", runs_of(swarm(30), 0.01))
    assert found.fits["tr"].status == OUTSIDE
    assert np.isnan(found.loss(np.full(3, 1 / 3))[3])


def test_the_own_ratio_law_is_fitted_to_runs_with_the_language_and_infinite_without() -> None:
    found = fit("own_ratio", runs_of(coalitions(), 0.01))
    assert found.fits["es"].runs == 4
    assert np.isinf(found.loss(np.array([0, 0.5, 0.5]))[0])


def test_a_mixture_may_be_given_by_name_in_any_order() -> None:
    found = fit("shapley_law", runs_of(swarm(30), 0.01))
    by_name = found.predict(Mixture({"ru": 0.5, "es": 0.2, "fr": 0.3})).value_RT[0]
    np.testing.assert_allclose(by_name, found.loss(np.array([0.2, 0.3, 0.5])))


def test_the_gradient_of_a_fit_is_that_of_its_losses() -> None:
    runs = runs_of(swarm(40), 0.01)
    p_L = np.array([0.2, 0.3, 0.5])
    for law in ("shapley_law", "shapley_law+gaussian_process"):
        found = fit(law, runs, starts=1)
        for j in range(3):
            step = 1e-5 * np.eye(3)[j]
            slope_T = (found.loss(p_L + step) - found.loss(p_L - step)) / 2e-5
            np.testing.assert_allclose(found.gradient(p_L)[:, j], slope_T, rtol=1e-4, atol=1e-6)


def test_the_same_seed_gives_the_same_fit() -> None:
    runs = runs_of(swarm(30), 0.01)
    one, two = (fit("shapley_law", runs, bootstrap=5, seed=3).to_json() for _ in range(2))
    assert one == two


def test_fewer_runs_than_parameters_is_refused_with_both_numbers() -> None:
    with pytest.raises(BadInput, match="3 usable runs for 4 parameters"):
        fit("log_linear", runs_of(swarm(3), 0.01))


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(BadInput, match="xx"):
        fit("null", runs_of(swarm(5), 0.01), targets=["xx"])


def test_a_law_that_needs_values_is_refused_without_them() -> None:
    with pytest.raises(BadInput, match="transfer values"):
        fit("shapley_law_prior", runs_of(swarm(20), 0.01))


def test_a_broken_file_is_refused() -> None:
    with pytest.raises(BadInput, match=r"fit\.json"):
        Fit.from_json({"law": "null"}, where="x.json")


def test_only_what_varies_is_fitted() -> None:
    assert varying(runs_of(swarm(5), 0.0)) == frozenset()
