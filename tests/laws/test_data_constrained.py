"""The data-constrained law against its authors' numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from glotmix.fit import fit
from glotmix.fit.fit import inputs_of
from glotmix.fit.solve import HUBER, equations, inner, levenberg_marquardt, outer
from glotmix.laws.atlas import saturated
from glotmix.laws.data_constrained import PUBLISHED, DataConstrained
from glotmix.laws.law import Inputs, Problem
from glotmix.measurements import Measurements

PROBLEM = Problem("c4", ("c4",), None, frozenset({"N", "D", "unique"}))
THETA = np.array([PUBLISHED["R_D"], PUBLISHED["R_N"]])


def inputs(N: list[float], D: list[float], U: list[float]) -> Inputs:
    return Inputs(np.ones((len(N), 1)), np.array(N), np.array(D), np.array(U)[:, None])


def test_two_losses_that_the_authors_publish() -> None:
    loss_R = DataConstrained(frozen=True).predict(
        PROBLEM, THETA, inputs([6.34e9, 8.67e9], [242e9, 178e9], [25e9, 25e9])
    )
    np.testing.assert_allclose(loss_R, [2.2256440889984477, 2.2269634075087867], rtol=1e-12)


def test_up_to_one_epoch_it_is_chinchilla() -> None:
    loss_R = DataConstrained(frozen=True).predict(PROBLEM, THETA, inputs([1e9], [20e9], [30e9]))
    expected = PUBLISHED["E"] + PUBLISHED["A"] * 1e9 ** -PUBLISHED["α"] + PUBLISHED["B"] * 20e9 ** -PUBLISHED["β"]
    assert loss_R[0] == pytest.approx(expected, rel=1e-12)


def test_planted_half_lives_come_back_from_noisy_runs() -> None:
    """Noise 0.3 %; 60 runs of up to 40 epochs. Ignoring repetition is off by more than 3 %."""
    rng = np.random.default_rng(0)
    U = rng.choice([1e8, 4e8, 1.5e9], 60)
    epochs = rng.choice([1, 2, 4, 8, 16, 40], 60)
    at = inputs(rng.choice([1e8, 4e8, 2e9], 60).tolist(), (U * epochs).tolist(), U.tolist())
    loss_R = DataConstrained(frozen=True).predict(PROBLEM, THETA, at) * np.exp(rng.normal(0, 0.003, 60))
    names = tuple(f"r{r}" for r in range(60))
    runs = Measurements(
        names, ("c4",), ("c4",), at.p_RL, loss_R[:, None], at.N_R, at.D_R, np.zeros(60, int), ("",) * 60, at.unique_RL
    )
    found = fit(DataConstrained(frozen=True), runs, bootstrap=20).fits["c4"]
    spread_P = found.bootstrap_BP.std(axis=0)
    assert np.all(np.abs(found.theta_P - THETA) < 3 * spread_P + 1e-9)
    assert np.all(spread_P < 0.5 * THETA)


def test_on_the_authors_runs_their_objective_and_their_constants_come_back() -> None:
    """182 runs (huggingface/datablations). They print 0.0158259 for the sum of Huber losses with δ = 1e-3 at their R_D
    and R_N; the runs tell these only roughly, and the intervals hold them."""
    rows = pl.read_csv(Path(__file__).parents[2] / "benchmarks" / "data" / "datablations_fit182.csv")
    N_R, D_R, U_R, loss_R = (rows[name].to_numpy() for name in ("N", "D", "U", "loss"))
    R, law = rows.height, DataConstrained(frozen=True)
    runs = Measurements(
        tuple(f"r{r}" for r in range(R)), ("c4",), ("c4",), np.ones((R, 1)), loss_R[:, None], N_R, D_R,
        np.zeros(R, int), ("",) * R, U_R[:, None],
    )  # fmt: skip
    residual_R = np.log(law.predict(PROBLEM, THETA, inputs_of(runs))) - np.log(loss_R)
    assert 1e-6 * HUBER.cost(residual_R / 1e-3).sum() == pytest.approx(0.0158259, abs=5e-8)
    rng = np.random.default_rng(0)
    low_P, high_P = law.bounds(PROBLEM)

    def again(rows: np.ndarray) -> np.ndarray:
        """Their objective: Huber losses with δ = 1e-3, so nearly absolute ones (most runs are further off than that)."""
        wanted = equations(law, PROBLEM, inputs_of(runs).where(rows), loss_R[rows], np.ones(R), 1e-3)
        ends = [inner(bound_P, wanted.log_P) for bound_P in (low_P, high_P)]
        found = levenberg_marquardt(wanted, inner(THETA, wanted.log_P), *ends, R, 200, rho=HUBER)
        return outer(found[0], wanted.log_P)

    again_BP = [again(rng.integers(R, size=R)) for _ in range(40)]
    low_P, high_P = np.quantile(again_BP, [0.025, 0.975], axis=0)
    assert (low_P <= THETA).all()
    assert (high_P >= THETA).all()


def test_saturation_is_smooth_at_one_epoch_and_bounded() -> None:
    U = np.ones((1, 1))
    below, above = (saturated(np.array([[x]]), U, 0.1) for x in (1 - 1e-9, 1 + 1e-9))
    assert below[0] == pytest.approx(above[0], abs=1e-8)
    assert below[1] == pytest.approx(above[1], abs=1e-8)
    assert saturated(np.array([[1e9]]), U, 0.1)[0] == pytest.approx(11.0)
