"""What the runs do not tell is told."""

from __future__ import annotations

import dataclasses

import numpy as np

from glotmix.fit import Fit, fit
from glotmix.laws.law import LawValue
from glotmix.laws.null import Null
from glotmix.measurements import Measurements

LANGUAGES = ("a", "b", "c")


def runs_of(p_RL: np.ndarray, N_R: np.ndarray) -> Measurements:
    rng = np.random.default_rng(0)
    R = len(p_RL)
    size_R = np.where(np.isfinite(N_R), 0.3 * (N_R / 1e6) ** -0.4, 0.0)
    loss_RT = (1 + size_R[:, None] - 0.2 * np.log(p_RL + 0.1)) * np.exp(0.003 * rng.normal(size=(R, 3)))
    unknown, names = np.full(R, np.nan), tuple(f"r{r}" for r in range(R))
    return Measurements(names, LANGUAGES, LANGUAGES, p_RL, loss_RT, N_R, unknown, np.zeros(R, int), ("",) * R)


def swarm(R: int) -> np.ndarray:
    return np.random.default_rng(1).dirichlet(np.ones(3), R)


class TwoFloors(Null):
    """``L = E + F``: only the sum can be seen."""

    def parameters(self, problem):
        return ("E", "F")

    def bounds(self, problem):
        return np.full(2, 1e-6), np.full(2, 1e3)

    def starts(self, problem, inputs, loss_R, n, rng):
        return np.tile(loss_R.mean() / 2, (n, 2))

    def evaluate(self, problem, theta_P, inputs):
        R, L = inputs.p_RL.shape
        return LawValue(np.full(R, theta_P.sum()), np.ones((R, 2)), np.zeros((R, L)))


def test_parameters_of_which_only_the_sum_is_seen_are_redundant() -> None:
    runs = runs_of(swarm(40), np.full(40, np.nan))
    assert fit(TwoFloors(), runs, starts=1).fits["a"].unclear == ("E, F: the runs tell only a combination of them",)
    assert fit("log_linear", runs, starts=2).fits["a"].unclear == ()


def test_an_exponent_that_the_sizes_cannot_show_is_named() -> None:
    """Sizes 3 % apart say nothing of α; sizes a hundredfold apart do."""
    near, far = np.where(np.arange(40) % 2, 1.00e6, 1.03e6), np.tile([1e5, 1e6, 1e7, 1e8], 10)
    unclear = fit("own_ratio_floored", runs_of(swarm(40), near), starts=4).fits["a"].unclear
    assert any("α" in sentence for sentence in unclear)
    assert not any("α" in sentence for sentence in fit("own_ratio_floored", runs_of(swarm(40), far)).fits["a"].unclear)


def test_a_language_that_no_run_holds_keeps_its_prior() -> None:
    p_RL = swarm(40)
    p_RL[:, 2] = 0
    found = fit("shapley_law", runs_of(p_RL / p_RL.sum(1, keepdims=True), np.full(40, np.nan)), starts=2).fits["a"]
    told = next(sentence for sentence in found.unclear if sentence.startswith("the prior alone tells"))
    assert "w/c" in told
    assert "w/b" not in told


def test_it_is_kept_in_the_file() -> None:
    p_RL = swarm(30)
    fitted = fit("shapley_law", runs_of(p_RL, np.full(30, np.nan)), starts=1)
    marked = dataclasses.replace(fitted.fits["a"], unclear=("x is vague",))
    again = Fit.from_json(dataclasses.replace(fitted, fits={**fitted.fits, "a": marked}).to_json())
    assert again.fits["a"].unclear == ("x is vague",)
