"""The means of priors, told by all targets together."""

from __future__ import annotations

import numpy as np
import pytest

from glotmix.fit import fit
from glotmix.fit.bootstrap import LeftOut
from glotmix.fit.pooling import drawn, leaning, moved
from glotmix.measurements import Measurements
from tests.fit.planted import noisy

L = 8
NAMES = tuple(f"l{k}" for k in range(L))


def planted(seed: int, R: int = 30) -> tuple[Measurements, np.ndarray]:
    """Helpers that add up (κ = ν = 1, where the priors say 0.6); and the true losses of the balanced mixture."""
    rng = np.random.default_rng(seed)
    w_TL = rng.exponential(0.1, (L, L))
    np.fill_diagonal(w_TL, 1.0)

    def truth(p_RL: np.ndarray) -> np.ndarray:
        return np.asarray(0.5 + 0.6 * (p_RL @ w_TL.T + 0.01) ** -0.25)

    p_RL = rng.dirichlet(np.full(L, 0.7), R)
    known = np.full(R, np.nan)
    runs = tuple(f"r{r}" for r in range(R))
    loss_RT = noisy(rng, truth(p_RL), 0.01)
    table = Measurements(runs, NAMES, NAMES, p_RL, loss_RT, known, known, np.zeros(R, dtype=int), ("",) * R)
    return table, truth(np.full((1, L), 1 / L))[0]


def test_a_prior_that_is_wrong_for_all_targets_is_moved_by_them() -> None:
    """Fitted one by one, every target is held to the same wrong prior, and the balanced mixture's mean loss is too low on
    every table, by 0.6 % on average; together they are off by less than half as much."""
    alone, together = [], []
    for seed in range(3):
        table, true_T = planted(seed)
        at = np.full(L, 1 / L)
        single_T = [fit("shapley_law_data", table, targets=[t], starts=2).loss(at)[0] for t in NAMES]
        alone.append(np.mean(single_T) / true_T.mean() - 1)
        found = fit("shapley_law_data", table, starts=2)
        together.append(found.loss(at).mean() / true_T.mean() - 1)
        assert found.fits["l0"].problem.shift["κ"] > 0.5
    assert np.max(alone) < 0
    assert abs(np.mean(together)) < abs(np.mean(alone)) / 2


def test_means_and_their_draws_are_those_of_the_exact_posterior() -> None:
    """``y_t = J_t θ_t + ε``, ``θ_t ~ N(μ, 1)``, ``μ ~ N(0, 1)``: the step ends at the posterior mean of μ, and the draws
    have its posterior deviation."""
    rng = np.random.default_rng(0)
    runs, targets = 4, 3
    J_TR = rng.normal(0, 0.6, (targets, runs))
    y_TR = J_TR * 1.5 + rng.standard_normal((targets, runs))
    said = {}
    for t in range(targets):
        inverse = 1 / (J_TR[t] @ J_TR[t] + 1)
        shift_GP = np.zeros((targets * runs, 1))
        shift_GP[t * runs : (t + 1) * runs, 0] = inverse * J_TR[t]
        left = LeftOut(shift_GP, shift_GP, np.zeros(runs), np.array([[inverse]]))
        said[f"l{t}"] = leaning(left, np.ones((1, 1)), np.array([inverse * J_TR[t] @ y_TR[t]]), np.ones((1, 1)))
    s_T = (J_TR**2).sum(axis=1)
    precision = 1 + (s_T / (1 + s_T)).sum()
    mean = ((J_TR * y_TR).sum(axis=1) / (1 + s_T)).sum() / precision
    assert moved(np.zeros(1), list(said.values())) == pytest.approx(mean)
    B = 20_000
    known = {target: rng.standard_normal((B, 1)) for target in said}
    drawn_BA = drawn(said, rng.standard_normal((B, targets * runs)), known, rng)
    assert drawn_BA.std() == pytest.approx(precision**-0.5, rel=0.03)


def test_a_fold_keeps_the_means_of_the_fit_that_it_starts_from() -> None:
    table, _ = planted(1)
    whole = fit("shapley_law", table, starts=2)
    part = fit("shapley_law", table.where(np.arange(len(table)) % 5 > 0), near=whole)
    assert part.fits["l0"].problem.shift == whole.fits["l0"].problem.shift
    assert part.from_json(whole.to_json()).fits["l0"].problem.shift == pytest.approx(whole.fits["l0"].problem.shift)


def test_one_target_alone_keeps_the_priors_as_they_are() -> None:
    table, _ = planted(2)
    assert not fit("shapley_law", table, targets=["l0"], starts=2).fits["l0"].problem.shift
