"""Repeats tell where runs are noisy."""

from __future__ import annotations

import numpy as np

from glotmix.fit import fit
from glotmix.fit.weights import weights_from_repeats
from glotmix.measurements import Measurements

LANGUAGES = ("a", "b")


def runs_of(seed: int, uneven: bool) -> tuple[Measurements, np.ndarray]:
    """24 mixtures, three seeds of each; the noise of a is 0.3 % alone and 5 % where it is absent."""
    rng = np.random.default_rng(seed)
    p_RL = np.repeat(rng.dirichlet([0.6, 0.6], 24), 3, axis=0)
    noise_R = 0.003 * (p_RL[:, 0] + 0.01) ** -0.6 if uneven else np.full(72, 0.01)
    true_RT = 2 * (p_RL + 0.02) ** -0.12
    loss_RT = true_RT * np.exp(noise_R[:, None] * rng.normal(size=(72, 2)))
    unknown, names = np.full(72, np.nan), tuple(f"r{r}" for r in range(72))
    return Measurements(
        names, LANGUAGES, LANGUAGES, p_RL, loss_RT, unknown, unknown, np.tile([0, 1, 2], 24), ("",) * 72
    ), true_RT


def test_noisy_mixtures_weigh_less_and_even_noise_changes_little() -> None:
    runs, _ = runs_of(0, uneven=True)
    weight_R = weights_from_repeats(runs)[:, 0]
    small_R = runs.p_RL[:, 0] < 0.5
    assert weight_R[small_R].mean() < 0.3 * weight_R[~small_R].mean()
    even = weights_from_repeats(runs_of(0, uneven=False)[0])
    assert even.max() / even.min() < 6 < 20 < weight_R.max() / weight_R.min()


def test_without_repeats_all_runs_weigh_the_same() -> None:
    runs = runs_of(0, uneven=True)[0]
    assert (weights_from_repeats(runs.where(np.arange(72) % 3 == 0)) == 1).all()


def test_weights_may_differ_by_target_and_a_weight_of_zero_leaves_a_run_out() -> None:
    runs, _ = runs_of(1, uneven=True)
    weight_RT = np.ones((72, 2))
    weight_RT[:30, 0] = 0
    found, part = (
        fit("own_ratio_floored", runs, weights=weight_RT),
        fit("own_ratio_floored", runs.where(np.arange(72) >= 30)),
    )
    np.testing.assert_allclose(found.fits["a"].theta_P, part.fits["a"].theta_P, rtol=1e-6)
    assert (found.fits["a"].runs, found.fits["b"].runs) == (42, 72)
    one = fit("null", runs, weights=np.ones(72)).fits["a"].theta_P
    assert one == fit("null", runs).fits["a"].theta_P
