"""Chosen runs: the expected reduction is what happens, and more than random runs bring."""

from __future__ import annotations

import numpy as np
import pytest

from glotmix.errors import BadInput
from glotmix.fit import fit
from glotmix.fit.active import Question, Spread, next_batch
from glotmix.measurements import Measurements

LANGUAGES = ("a", "b", "c")


def runs_of(p_RL: np.ndarray, seed: int, noise: float = 0.01) -> Measurements:
    rng = np.random.default_rng(seed)
    w_TL = np.array([[1, 0.1, 0.01], [0.02, 1, 0.2], [0.05, 0.3, 1]])
    loss_RT = (
        2 * (1 - 0.2 * np.log((p_RL**0.6 @ w_TL.T**0.6) ** (1 / 0.6))) * np.exp(noise * rng.normal(size=p_RL.shape))
    )
    R, unknown = len(p_RL), np.full(len(p_RL), np.nan)
    names = tuple(f"r{r}" for r in range(R))
    return Measurements(names, LANGUAGES, LANGUAGES, p_RL, loss_RT, unknown, unknown, np.zeros(R, int), ("",) * R)


def asked() -> Question:
    """Mean loss at one mixture minus that at another."""
    weight_KTQ = np.tile([[[1 / 3, -1 / 3]]], (1, 3, 1))
    return Question(np.array([[0.1, 0.3, 0.6], [0.6, 0.3, 0.1]]), weight_KTQ, "a difference")


def test_conditioning_is_that_of_a_gaussian() -> None:
    rng = np.random.default_rng(0)
    z_BK, y_BC = rng.normal(size=(50, 2)), rng.normal(size=(50, 4))
    z_BK, y_BC = z_BK - z_BK.mean(0), y_BC - y_BC.mean(0)
    spread = Spread((z_BK,), (y_BC,), (np.full(4, 0.3),))
    joint = np.cov(np.hstack([z_BK, y_BC]).T)
    expected = joint - np.outer(joint[:, 3], joint[3]) / (joint[3, 3] + 0.3)
    after = spread.after(1)
    np.testing.assert_allclose(np.cov(np.hstack([after.asked[0], after.measured[0]]).T), expected, atol=1e-12)
    assert spread.gain()[1] == pytest.approx((joint[:2, 3] ** 2).sum() / (joint[3, 3] + 0.3))


def test_the_expected_interval_is_the_one_that_more_runs_give() -> None:
    """Sixteen runs, eight chosen ones: expected and refitted widths agree within a quarter, over six tables; the law has
    the form of the truth (what a wrong one leaves over does not shrink with more runs)."""
    ratios = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        first = np.vstack([np.eye(3), rng.dirichlet(np.ones(3), 13)])
        fitted = fit("shapley_law", runs_of(first, seed), bootstrap=100, starts=2)
        batch = next_batch(fitted, asked(), rng.dirichlet(np.ones(3), 100), 8)
        again = fit("shapley_law", runs_of(np.vstack([first, batch.p_BL]), seed), bootstrap=100, starts=2)
        scale = [again.fits[t].scale / fitted.fits[t].scale for t in LANGUAGES]
        now = next_batch(again, asked(), batch.p_BL, 1).before / np.mean(scale)
        ratios.append(now / batch.after[-1])
        assert batch.after[-1] < batch.before
    assert np.exp(np.mean(np.log(ratios))) == pytest.approx(1, rel=0.25)


def test_chosen_runs_are_expected_to_tell_more_than_random_ones() -> None:
    rng = np.random.default_rng(2)
    fitted = fit(
        "shapley_law", runs_of(np.vstack([np.eye(3), rng.dirichlet(np.ones(3), 7)]), 3), bootstrap=60, starts=2
    )
    pool = rng.dirichlet(np.ones(3), 100)
    batch = next_batch(fitted, asked(), pool, 4)
    widths = []
    for _ in range(50):
        spread = Spread.of(fitted, asked(), pool, None, None)
        for candidate in rng.integers(100, size=4):
            spread = spread.after(candidate)
        widths.append(spread.width)
    assert batch.after[-1] < np.min(widths)
    assert list(batch.after) == sorted(batch.after, reverse=True)
    assert 0 < batch.reduction < 1


def test_a_dear_candidate_is_taken_only_if_it_tells_that_much_more() -> None:
    rng = np.random.default_rng(4)
    fitted = fit("shapley_law", runs_of(rng.dirichlet(np.ones(3), 12), 5), bootstrap=40, starts=2)
    pool = rng.dirichlet(np.ones(3), 30)
    best = next_batch(fitted, asked(), pool, 1).chosen[0]
    cost_C = np.where(np.arange(30) == best, 100.0, 1.0)
    assert next_batch(fitted, asked(), pool, 1, cost_C=cost_C).chosen[0] != best


def test_without_resamples_nothing_can_be_said() -> None:
    fitted = fit("shapley_law", runs_of(np.random.default_rng(0).dirichlet(np.ones(3), 12), 5), bootstrap=5, starts=1)
    with pytest.raises(BadInput, match="5 resampled fits"):
        next_batch(fitted, asked(), np.eye(3), 1)
