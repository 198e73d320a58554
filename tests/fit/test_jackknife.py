"""Jackknife+: covers what it promises, even where the law is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from glotmix.errors import BadInput
from glotmix.fit.jackknife import jackknife
from glotmix.measurements import Measurements

LANGUAGES = ("a", "b", "c")


def runs_of(R: int, rng: np.random.Generator) -> Measurements:
    """A saturating law with noise that is skewed and grows with the own share: nothing that a fit assumes."""
    p_RL = rng.dirichlet(np.ones(3), R)
    noise_RT = 0.01 * (1 + 2 * p_RL) * (rng.exponential(size=(R, 3)) - 1)
    loss_RT = (1 + 1 / (p_RL**0.5 + 0.2 * p_RL[:, [1, 2, 0]] ** 0.4 + 0.2)) * np.exp(noise_RT)
    unknown, names = np.full(R, np.nan), tuple(f"r{r}" for r in range(R))
    return Measurements(names, LANGUAGES, LANGUAGES, p_RL, loss_RT, unknown, unknown, np.zeros(R, int), ("",) * R)


@pytest.mark.parametrize(("law", "parts"), [("log_linear", None), ("null", 10), ("own_ratio_floored", 20)])
def test_intervals_cover_new_runs_of_a_law_that_is_another(law: str, parts: int | None) -> None:
    """95 % promised; 6 tables × 300 new runs × 3 targets. None of the three laws is the planted one."""
    inside = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        found = jackknife(law, runs_of(39, rng), parts=parts, starts=1)
        test = runs_of(300, rng)
        told = found.predict(test.p_RL)
        inside.append((told.low_RT <= test.loss_RT) & (test.loss_RT <= told.high_RT))
    assert 0.93 <= np.mean(inside) <= 0.97


def test_of_a_law_that_never_changes_it_is_the_order_statistics_of_the_residuals() -> None:
    runs = runs_of(39, np.random.default_rng(0))
    found = jackknife("null", runs, targets=["a"])
    told = found.predict(np.full((1, 3), 1 / 3))
    log_R = np.log([one.loss(np.full(3, 1 / 3))[0] for one in found.without])[found.part_R]
    residual_R = np.abs(np.log(runs.loss("a")) - log_R)
    assert told.low_RT[0, 0] == pytest.approx(np.exp(np.sort(log_R - residual_R)[1]))
    assert told.high_RT[0, 0] == pytest.approx(np.exp(np.sort(log_R + residual_R)[-2]))


def test_fewer_runs_than_the_promise_needs_are_refused() -> None:
    with pytest.raises(BadInput, match="at least 19"):
        jackknife("null", runs_of(18, np.random.default_rng(0))).predict(np.eye(3))
