"""Values from few runs."""

from __future__ import annotations

import numpy as np
import pytest

from glotmix.errors import BadInput
from glotmix.measurements import Measurements
from glotmix.mixture.design import spread_coalitions
from glotmix.transfer.estimate import kernel_shap, permutation
from glotmix.transfer.game import members
from glotmix.transfer.measured import estimated
from glotmix.transfer.shapley import weights
from glotmix.transfer.surrogate import regression_adjusted, surrogate

N = 6


def payoff(inside: np.ndarray) -> np.ndarray:
    return np.column_stack([1 - (1 + inside @ np.linspace(0.2, 2, N)) ** -0.6, np.log1p(inside @ np.ones(N))])


def truth() -> np.ndarray:
    return (weights(N) @ payoff(members(N))).T


def test_kernel_shap_of_every_coalition_is_exact() -> None:
    inside = members(N)[1:]
    np.testing.assert_allclose(kernel_shap(inside, payoff(inside)).value_TL, truth(), atol=1e-10)


def test_permutations_come_near_with_many_runs_and_pairs_come_nearer() -> None:
    errors = {}
    for antithetic in (False, True):
        off = [
            np.linalg.norm(permutation(payoff, N, 60, np.random.default_rng(s), antithetic).value_TL - truth())
            for s in range(20)
        ]
        errors[antithetic] = np.mean(off)
    assert errors[True] < errors[False] < 0.2 * np.linalg.norm(truth())


@pytest.mark.parametrize("estimator", [kernel_shap, regression_adjusted, surrogate])
def test_estimates_from_a_design_share_out_the_whole_payoff(estimator) -> None:
    inside = spread_coalitions(N, 30, np.random.default_rng(0))
    whole = payoff(np.ones((1, N), dtype=bool))[0]
    np.testing.assert_allclose(estimator(inside, payoff(inside)).value_TL.sum(axis=1), whole, rtol=0.01)


def test_the_surrogate_needs_fewer_runs_than_sampling() -> None:
    """10 languages, 32 runs, noise 0.03, a coverage game; permutations are off by 0.4 of the values' norm."""
    rng = np.random.default_rng(3)
    reach, worth = rng.random((10, 40)) < 0.3, rng.dirichlet(np.ones(40))
    covered = lambda inside: (((inside.astype(float) @ reach) > 0) @ worth)[:, None]  # noqa: E731
    noisy = lambda inside: covered(inside) + rng.normal(0, 0.03, (len(inside), 1)) * inside.any(axis=1)[:, None]  # noqa: E731
    value_L = weights(10) @ covered(members(10))[:, 0]
    inside = spread_coalitions(10, 32, rng)
    found = surrogate(inside, noisy(inside))
    other = permutation(noisy, 10, 32, rng)
    off, sampled = (np.linalg.norm(e.value_TL[0] - value_L) / np.linalg.norm(value_L) for e in (found, other))
    assert off < 0.2 < sampled


def test_a_law_that_is_right_leaves_only_noise_to_correct() -> None:
    inside = spread_coalitions(N, 12, np.random.default_rng(1))
    found = surrogate(inside, payoff(inside), prior=payoff)
    np.testing.assert_allclose(found.value_TL, truth(), atol=1e-6)


def test_a_law_that_is_wrong_is_corrected_by_the_runs() -> None:
    inside = spread_coalitions(N, 40, np.random.default_rng(1))
    wrong = lambda coalitions: 0.7 * payoff(coalitions)  # noqa: E731
    found = surrogate(inside, payoff(inside), prior=wrong)
    before = np.linalg.norm(0.3 * truth())
    assert np.linalg.norm(found.value_TL - truth()) < 0.25 * before


def test_a_design_holds_everybody_and_no_coalition_twice() -> None:
    inside = spread_coalitions(8, 50, np.random.default_rng(2))
    assert inside[0].all()
    assert len(np.unique(inside, axis=0)) == 50


def test_too_few_coalitions_are_refused() -> None:
    inside = spread_coalitions(N, 4, np.random.default_rng(0))
    with pytest.raises(BadInput, match="values"):
        kernel_shap(inside, payoff(inside))


def table(n: int, coalitions: np.ndarray, noise: float = 0.0) -> Measurements:
    """Losses of a planted game in which language i is worth more the later it stands."""
    names = tuple(f"l{i:02}" for i in range(n))
    worth = np.linspace(0.2, 2, n)
    loss = 5 - (1 - (1 + coalitions @ worth) ** -0.6) + noise * np.random.default_rng(0).normal(size=len(coalitions))
    p_RL = coalitions / coalitions.sum(1, keepdims=True)
    runs = tuple(f"r{i}" for i in range(len(p_RL)))
    ones = np.ones(len(p_RL))
    roles = ("coalition",) * len(p_RL)
    return Measurements(runs, names, ("t",), p_RL, loss[:, None], ones, ones, ones.astype(int), roles)


def planted(n: int) -> np.ndarray:
    """The true values, from many orders of arrival."""
    worth = np.linspace(0.2, 2, n)
    game = permutation(lambda S: (1 - (1 + S @ worth) ** -0.6)[:, None], n, 10_000 * n, np.random.default_rng(1), True)
    return game.value_TL[0]


@pytest.mark.parametrize(("n", "runs", "most"), [(8, 40, 0.05), (20, 60, 0.15)])
def test_a_table_of_some_coalitions_gives_values_near_the_truth(n: int, runs: int, most: float) -> None:
    inside = spread_coalitions(n, runs, np.random.default_rng(0)) if n < 12 else drawn(n, runs)
    found = estimated(table(n, inside), {"t": 5.0})
    truth_L = planted(n)
    # Equal shares of the whole, which know nothing of who is worth more, are more than twice as far away.
    equal = np.linalg.norm(truth_L.mean() - truth_L) / np.linalg.norm(truth_L)
    assert np.linalg.norm(found.value_TL[0] - truth_L) / np.linalg.norm(truth_L) < most < equal / 2
    assert ("estimated" in found.method) == (n == 8)
    assert (found.low_TL is not None) == (n == 8)


def drawn(n: int, runs: int) -> np.ndarray:
    inside = np.random.default_rng(0).random((runs, n)) < np.linspace(0.1, 0.9, runs)[:, None]
    inside[0] = True
    return inside[inside.any(axis=1)]


def test_too_few_coalitions_are_bad_input() -> None:
    with pytest.raises(BadInput, match="5 coalitions of 8 languages"):
        estimated(table(8, spread_coalitions(8, 5, np.random.default_rng(0))), {"t": 5.0})


def test_estimators_of_shapiq_see_every_coalition_once_and_are_exact_with_all_of_them() -> None:
    pytest.importorskip("shapiq")
    from glotmix.transfer.by_shapiq import by_shapiq

    w_L, asked = np.array([0.5, 1.0, 0.2, 0.1, 0.8]), []

    def payoff(inside: np.ndarray) -> np.ndarray:
        asked.extend(map(bytes, inside))
        return np.column_stack([np.log1p(inside @ w_L), (inside @ w_L) ** 2])

    found = by_shapiq("KernelSHAP", payoff, 5, 32)
    true_TL = (weights(5) @ (payoff(members(5)) - payoff(members(5)[:1]))).T
    np.testing.assert_allclose(found.value_TL, true_TL, atol=1e-6)
    assert found.runs == 31
    with pytest.raises(BadInput, match="no approximator 'Nothing'"):
        by_shapiq("Nothing", payoff, 5, 32)
