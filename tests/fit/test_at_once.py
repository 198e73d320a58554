"""All targets in one evaluation: the same losses, derivatives and optima, in a fraction of the evaluations."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest

from glotmix.fit import Fit, fit
from glotmix.fit import target as target_module
from glotmix.laws import all_laws, find_law
from glotmix.laws.law import Inputs, Law, Problem
from glotmix.laws.shapley_law import ShapleyLaw
from glotmix.measurements import Measurements
from glotmix.optimize.constraint import Constraints
from glotmix.optimize.objective import Mean
from glotmix.optimize.solve import minimise

LANGUAGES = ("a", "b", "c", "d")
TOGETHER = [name for name, law in all_laws().items() if law.each_its_own]


def runs(*, sizes: bool = False, blank: bool = False, R: int = 40) -> Measurements:
    """Four languages that help each other, and a target outside the mixture; ``blank`` takes runs from one target."""
    rng = np.random.default_rng(0)
    p_RL = rng.dirichlet(np.ones(4), R)
    N_R = rng.choice([1e7, 1e8], R) if sizes else np.full(R, np.nan)
    D_R = rng.choice([1e9, 4e9], R) if sizes else np.full(R, np.nan)
    help_TL = np.eye(5, 4) + 0.1 * rng.uniform(size=(5, 4))
    loss_RT = 3 * (1 - 0.12 * np.log(p_RL @ help_TL.T)) * np.exp(rng.normal(0, 0.005, (R, 5)))
    if sizes:
        loss_RT = loss_RT + ((N_R / 1e7) ** -0.3 + 0.3 * (D_R / 1e9) ** -0.3)[:, None]
    if blank:
        loss_RT[:7, 1] = np.nan
    names = tuple(f"r{r}" for r in range(R))
    return Measurements(names, LANGUAGES, (*LANGUAGES, "e"), p_RL, loss_RT, N_R, D_R, np.zeros(R, int), ("",) * R)


def apart(found: Fit, p_L: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Losses and gradients target by target, each asked by itself."""
    inputs = found._inputs(p_L[None], None, None)
    every = [found.fits[target] for target in found.targets]
    loss_T = [at.predict(found.law, at.theta_P, inputs)[0] for at in every]
    return np.array(loss_T), np.stack([at.gradient(found.law, inputs) for at in every])


@pytest.mark.parametrize("name", TOGETHER)
def test_a_law_with_parameters_of_every_run_is_the_law_run_by_run(name: str) -> None:
    law, rng, varies = find_law(name), np.random.default_rng(1), frozenset({"N", "D"})
    for target in ("b", "e"):
        problem = Problem(target, LANGUAGES, None, varies)
        low_P, high_P = law.bounds(problem)
        theta_RP = np.clip(np.exp(rng.normal(-1, 0.7, (6, len(low_P)))), low_P, high_P)
        p_RL = rng.dirichlet(np.ones(4), 6)
        p_RL[2] = [0, 0.5, 0.5, 0]
        inputs = Inputs(p_RL, rng.uniform(1e7, 1e9, 6), rng.uniform(1e9, 1e10, 6))
        found = law.evaluate(problem, theta_RP, inputs)
        for r in range(6):
            one = law.evaluate(problem, theta_RP[r], inputs.where(np.array([r])))
            np.testing.assert_allclose(found.loss_R[r], one.loss_R[0], rtol=1e-12)
            np.testing.assert_allclose(found.gradient_p_RL[r], one.gradient_p_RL[0], rtol=1e-10)


@pytest.mark.parametrize(
    ("name", "sizes", "blank"),
    [
        ("shapley_law", False, False),
        ("shapley_law_joint", True, False),
        ("shapley_law_data", True, True),
        ("shapley_law+gaussian_process", False, False),
        ("shapley_law+gaussian_process", True, True),
    ],
)
def test_all_targets_at_once_are_the_targets_one_by_one(name: str, sizes: bool, blank: bool) -> None:
    """Also those outside the mixture, those that some runs lack, and mixtures with languages left out."""
    found = fit(name, runs(sizes=sizes, blank=blank), starts=2)
    assert found._at_once
    for p in ([0.4, 0.3, 0.2, 0.1], [0.7, 0.3, 0.0, 0.0]):
        loss_T, by_p_TL = apart(found, p_L := np.array(p))
        np.testing.assert_allclose(found.loss(p_L), loss_T, rtol=1e-11)
        np.testing.assert_allclose(found.gradient(p_L), by_p_TL, rtol=1e-8, atol=1e-9)


def test_a_law_that_weighs_shares_by_phase_is_asked_target_by_target() -> None:
    assert find_law("shapley_law+gaussian_process").each_its_own
    assert not find_law("shapley_law+order").each_its_own


def test_a_target_without_a_fit_stays_unknown() -> None:
    found = fit("shapley_law", runs(), starts=1)
    nothing = replace(found.fits["c"], theta_P=np.full_like(found.fits["c"].theta_P, np.nan))
    lacking = replace(found, fits={**found.fits, "c": nothing})
    loss_T = lacking.loss(np.full(4, 0.25))
    assert np.flatnonzero(np.isnan(loss_T)).tolist() == [2]
    assert np.isnan(lacking.gradient(np.full(4, 0.25))[2]).all()
    np.testing.assert_array_equal(np.delete(loss_T, 2), np.delete(found.loss(np.full(4, 0.25)), 2))


def test_resamples_at_once_are_the_resamples_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found = fit("shapley_law+gaussian_process", runs(), starts=2, bootstrap=12)
    p_RL = np.random.default_rng(2).dirichlet(np.ones(4), 5)
    together = found.resampled(p_RL)
    monkeypatch.setattr(target_module, "MOST_AT_ONCE", 0)
    np.testing.assert_allclose(together, found.resampled(p_RL), rtol=1e-12)


def test_an_optimum_asks_for_all_targets_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answer target by target takes five times as many evaluations of the law, for five targets."""
    found = fit("shapley_law", runs(), starts=2, bootstrap=8)
    asked: list[int] = []
    plain = ShapleyLaw.evaluate

    def counted(law: Law, *of: object) -> object:
        asked.append(1)
        return plain(law, *of)  # type: ignore[arg-type]

    monkeypatch.setattr(ShapleyLaw, "evaluate", counted)
    question = (Mean(found.targets, dict.fromkeys(found.targets, 1.0)), Constraints(LANGUAGES))
    together = minimise(found, *question, resamples=4)
    few = len(asked)
    monkeypatch.setattr(importlib.import_module("glotmix.fit.fit"), "at_once", lambda *_: ())
    apart = minimise(replace(found), *question, resamples=4)
    assert few < 0.5 * (len(asked) - few)
    np.testing.assert_allclose(together.mixture.vector(LANGUAGES), apart.mixture.vector(LANGUAGES), atol=1e-6)
    assert together.objective.value == pytest.approx(apart.objective.value, rel=1e-10)
    assert together.objective.high == pytest.approx(apart.objective.high, rel=1e-6)
