"""Values from few runs."""

from __future__ import annotations

import numpy as np
import pytest

from glotmix.errors import BadInput
from glotmix.transfer.estimate import design, kernel_shap, permutation, regression_adjusted, surrogate
from glotmix.transfer.game import members
from glotmix.transfer.shapley import weights

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
    inside = design(N, 30, np.random.default_rng(0))
    whole = payoff(np.ones((1, N), dtype=bool))[0]
    np.testing.assert_allclose(estimator(inside, payoff(inside)).value_TL.sum(axis=1), whole, rtol=0.01)


def test_the_surrogate_needs_fewer_runs_than_sampling() -> None:
    """10 languages, 32 runs, noise 0.03, a coverage game; permutations are off by 0.4 of the values' norm."""
    rng = np.random.default_rng(3)
    reach, worth = rng.random((10, 40)) < 0.3, rng.dirichlet(np.ones(40))
    covered = lambda inside: (((inside.astype(float) @ reach) > 0) @ worth)[:, None]  # noqa: E731
    noisy = lambda inside: covered(inside) + rng.normal(0, 0.03, (len(inside), 1)) * inside.any(axis=1)[:, None]  # noqa: E731
    value_L = weights(10) @ covered(members(10))[:, 0]
    inside = design(10, 32, rng)
    found = surrogate(inside, noisy(inside))
    other = permutation(noisy, 10, 32, rng)
    off, sampled = (np.linalg.norm(e.value_TL[0] - value_L) / np.linalg.norm(value_L) for e in (found, other))
    assert off < 0.2 < sampled


def test_a_law_that_is_right_leaves_only_noise_to_correct() -> None:
    inside = design(N, 12, np.random.default_rng(1))
    found = surrogate(inside, payoff(inside), prior=payoff)
    np.testing.assert_allclose(found.value_TL, truth(), atol=1e-6)


def test_a_law_that_is_wrong_is_corrected_by_the_runs() -> None:
    inside = design(N, 40, np.random.default_rng(1))
    wrong = lambda coalitions: 0.7 * payoff(coalitions)  # noqa: E731
    found = surrogate(inside, payoff(inside), prior=wrong)
    before = np.linalg.norm(0.3 * truth())
    assert np.linalg.norm(found.value_TL - truth()) < 0.25 * before


def test_a_design_holds_everybody_and_no_coalition_twice() -> None:
    inside = design(8, 50, np.random.default_rng(2))
    assert inside[0].all()
    assert len(np.unique(inside, axis=0)) == 50


def test_too_few_coalitions_are_refused() -> None:
    inside = design(N, 4, np.random.default_rng(0))
    with pytest.raises(BadInput, match="values"):
        kernel_shap(inside, payoff(inside))
