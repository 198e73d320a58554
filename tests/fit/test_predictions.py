"""Predictions for a table of mixtures: unique tokens of some groups, mixtures at which a law is infinite."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from glotmix.fit import Fit, fit
from glotmix.fit.predictions import predict_table
from tests.fit.planted import LANGUAGES, noisy, swarm, table, truth

UNIQUE = np.array([5e9, 2e9, 3e8, 1e8])


@pytest.fixture(scope="module")
def repeating() -> Fit:
    rng = np.random.default_rng(0)
    p_RL, D_R = swarm(rng, 24), np.tile([5e8, 4e9], 12)
    d_RL = p_RL * D_R[:, None]
    return fit(
        "atlas",
        table(p_RL, noisy(rng, 0.6 + 0.4 * (np.minimum(d_RL, UNIQUE) / 1e8) ** -0.3, 0.01), D_R, UNIQUE),
        starts=2,
    )


def asked(folder: Path, fitted: Fit, columns: dict[str, float]) -> tuple[np.ndarray, tuple[str, ...]]:
    row = {f"p/{name}": 0.25 for name in LANGUAGES} | {"D": 4e9} | columns
    pl.DataFrame([row]).write_csv(folder / "mixtures.csv")
    told = predict_table(fitted, folder / "mixtures.csv", folder / "out.csv")
    return pl.read_csv(folder / "out.csv").select(f"^loss/({'|'.join(LANGUAGES)})$").to_numpy()[0], told.remarks


def test_unique_tokens_of_some_groups_are_used_and_the_others_told(repeating: Fit, tmp_path: Path) -> None:
    """A table that names the unique tokens of one group asks about that group; they were dropped without a word."""
    rare = LANGUAGES[3]
    plain_T, _ = asked(tmp_path, repeating, {})
    some_T, remarks = asked(tmp_path, repeating, {f"unique/{rare}": 4e9})
    every = {f"unique/{name}": x for name, x in zip(LANGUAGES, [*UNIQUE[:3], 4e9], strict=True)}
    all_T, silent = asked(tmp_path, repeating, every)
    assert some_T[3] < 0.97 * plain_T[3]
    np.testing.assert_allclose(some_T, all_T)
    assert any(LANGUAGES[0] in told and "unique/" in told for told in remarks)
    assert not any("unique/" in told for told in silent)


def test_unique_tokens_that_change_nothing_are_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    p_RL = swarm(rng, 20)
    plain = fit("own_ratio_floored", table(p_RL, noisy(rng, truth(p_RL), 0.01)), starts=2)
    _, remarks = asked(tmp_path, plain, {f"unique/{LANGUAGES[0]}": 1e9})
    assert any("change nothing" in told for told in remarks)


def test_a_loss_that_is_infinite_has_no_interval_and_makes_no_noise() -> None:
    rng = np.random.default_rng(0)
    p_RL = swarm(rng, 20)
    found = fit("own_ratio", table(p_RL, noisy(rng, truth(p_RL), 0.01)), starts=2, bootstrap=20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told = found.predict(np.array([[0.5, 0.5, 0, 0], [0.25, 0.25, 0.25, 0.25]]))
    assert np.isinf(told.value_RT[0, 2])
    assert np.isnan(told.low_RT[0, 2])
    assert np.isfinite(told.low_RT[1]).all()
    assert (told.low_RT[1] < told.value_RT[1]).all()
