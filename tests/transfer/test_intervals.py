"""Intervals of a game's values hold all at once, and noise alone names nobody a helper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.transfer_intervals import (
    KINDS,
    helper_named,
    judged,
    pairs_covered,
    planted,
    table,
    true_game,
    truth,
    values,
)
from glotmix.transfer.coalitions import coalitions_in
from glotmix.transfer.game import game_from
from glotmix.transfer.interactions import interactions, interactions_for, mean_interactions
from glotmix.transfer.leave_one_out import leave_one_out
from glotmix.transfer.noise import Noise
from glotmix.transfer.shapley import exact
from glotmix.transfer.surrogate import surrogate


@pytest.fixture
def fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough for a quantile whose probability is off by 0.3 %, a tenth of what these tests allow."""
    monkeypatch.setattr("glotmix.transfer.noise.DRAWS", 4000)


@pytest.mark.usefixtures("fewer_draws")
@pytest.mark.parametrize(
    "kind",
    [
        "two seeds",
        pytest.param("three seeds, absent targets four times noisier", marks=pytest.mark.slow),
        pytest.param("noise common to all targets", marks=pytest.mark.slow),
    ],
)
def test_all_true_values_lie_in_their_intervals_at_once(kind: str) -> None:
    """300 tables, so that the share's own standard deviation is 1.3 %.

    Pointwise intervals with one noise level for all targets hold whole matrices in 0 to 20 % of these tables.
    """
    assert 0.92 <= judged(KINDS[kind], 300, pairs_too=False)["all values covered"] <= 0.98


@pytest.mark.usefixtures("fewer_draws")
@pytest.mark.parametrize("kind", ["no transfer", "no transfer, absent targets four times noisier"])
def test_with_no_transfer_a_page_names_no_helper(kind: str) -> None:
    """Five of a hundred may; pointwise intervals name one in about half of these tables."""
    assert judged(KINDS[kind], 100, pairs_too=False)["helper named"] <= 0.05


def test_without_repeats_nothing_is_claimed() -> None:
    kind = replace(KINDS["two seeds"], seeds=1)
    rng = np.random.default_rng(0)
    loss = planted(kind, rng)
    found = values(kind, table(kind, loss, rng), truth(kind, loss)[1])
    assert found.low_TL is None
    assert not helper_named(found)
    assert "No intervals" in " ".join(found.explained())


def test_the_order_of_runs_and_languages_changes_nothing() -> None:
    kind = KINDS["noise common to all targets"]
    rng = np.random.default_rng(1)
    runs = table(kind, planted(kind, rng), rng)
    mixed = runs.where(rng.permutation(len(runs)))
    l_L, t_T = rng.permutation(len(runs.languages)), rng.permutation(len(runs.targets))
    mixed = replace(
        mixed,
        languages=tuple(np.array(runs.languages)[l_L].tolist()),
        targets=tuple(np.array(runs.targets)[t_T].tolist()),
        p_RL=mixed.p_RL[:, l_L],
        loss_RT=mixed.loss_RT[:, t_T],
    )
    one, other = (exact(game_from(some, dict.fromkeys(runs.targets))) for some in (runs, mixed))
    for target in runs.targets:
        for source in runs.languages:
            assert other[target, source] == pytest.approx(one[target, source], rel=1e-9, abs=1e-12)
            assert other.interval(target, source) == pytest.approx(one.interval(target, source), rel=1e-6)


def test_interactions_and_leave_one_out_have_intervals_too() -> None:
    kind = KINDS["two seeds"]
    rng = np.random.default_rng(2)
    game = game_from(table(kind, planted(kind, rng), rng), dict.fromkeys([f"l{i}" for i in range(5)]))
    for found in (interactions_for(game, "l4"), leave_one_out(game)):
        low, high = found.interval(found.targets[1], "l0") or (np.nan, np.nan)
        assert low < found[found.targets[1], "l0"] < high


@pytest.mark.usefixtures("fewer_draws")
def test_intervals_of_the_mean_interactions_hold_for_all_pairs_at_once() -> None:
    """Two seeds, most of whose noise is common to all targets: 300 tables, so that the share's own standard deviation is
    1.3 %. Were their noise taken for independent, half the tables would have a pair outside; were only the estimates of
    the noise, 10 %."""
    kind, covered, tables = KINDS["noise common to all targets, two seeds"], 0, 300
    for seed in range(tables):
        rng = np.random.default_rng([seed, 9])
        loss = planted(kind, rng)
        covered += bool(pairs_covered(kind, loss, table(kind, loss, rng), truth(kind, loss)[1]))
    assert 0.92 <= covered / tables <= 0.98


def test_mean_interactions_are_means_over_the_targets_and_no_wider_than_they_need_be() -> None:
    kind, rng = KINDS["noise common to all targets, two seeds"], np.random.default_rng(0)
    loss = planted(kind, rng)
    game = game_from(table(kind, loss, rng), dict.fromkeys([f"l{i}" for i in range(4)]))
    found = mean_interactions(game, game.targets)
    np.testing.assert_allclose(found.value_TL, interactions(game).mean(axis=0), atol=1e-12)
    assert found.low_TL is not None
    assert found.high_TL is not None
    true_LL = interactions(true_game(kind, loss)).mean(axis=0)
    assert np.median(found.high_TL - found.low_TL) < 20 * np.abs(true_LL).max()


def test_one_seed_makes_the_noise_of_many_targets_look_large_or_small_together() -> None:
    """Eight repeats, correlation 0.9: estimated variances correlate by its square, and vary as chi-squares of eight."""
    correlation_TT = np.where(np.eye(2, dtype=bool), 1.0, 0.9)
    repeat_QTK = np.ones((8, 2, 1), dtype=bool) & (np.arange(2) == 1)
    freedom_TK = np.array([[0.0, 8.0], [0.0, 8.0]])
    noise = Noise(np.full((2, 2), 0.01), freedom_TK, correlation_TT, repeat_QTK)
    variance_BTK, found_BTT = noise.estimated_again(np.arange(2), np.random.default_rng(0), with_correlation=True)
    one_B, other_B = variance_BTK[:, :, 1].T
    assert one_B.mean() == pytest.approx(1, abs=0.02)
    assert one_B.var() == pytest.approx(2 / 8, rel=0.1)
    assert np.corrcoef(one_B, other_B)[0, 1] == pytest.approx(0.81, abs=0.03)
    assert np.median(found_BTT[:, 0, 1]) == pytest.approx(0.9, abs=0.05)


def test_estimated_values_are_as_sure_as_the_scale_that_all_runs_tell() -> None:
    """24 runs of six languages: t intervals of 24 degrees of freedom, at once for 36 values, whatever is left over."""
    kind, rng = KINDS["estimated, no transfer"], np.random.default_rng(0)
    loss = planted(kind, rng)
    runs = table(kind, loss, rng)
    found = values(kind, runs, {})
    assert found.low_TL is not None
    assert found.high_TL is not None
    played = coalitions_in(runs)
    empty = found.notes["empty_loss"]
    payoff_RT = np.array([empty[target] for target in runs.targets]) - played.runs.loss_RT
    single_T = [(played.inside_RL.sum(axis=1) == 1) & ~played.inside_RL[:, t] for t in range(6)]
    told = surrogate(played.inside_RL, payoff_RT, empty_runs_T=np.array([one.sum() for one in single_T]))
    assert told.freedom_T is not None
    np.testing.assert_array_equal(told.freedom_T, 24)
    reach_TL = (found.high_TL - found.low_TL) / 2 / told.deviation_TL
    assert np.ptp(reach_TL) < 1e-6
    assert 3.4 < reach_TL.mean() < 3.75


def test_a_target_whose_noise_is_unknown_has_no_interval() -> None:
    """Only the full coalition is repeated: nothing tells how noisy a loss is where the target was absent."""
    kind = replace(KINDS["two seeds"], outside=0)
    rng = np.random.default_rng(3)
    runs = table(kind, planted(kind, rng), rng)
    full_R = (runs.p_RL > 0).all(axis=1)
    few = runs.where(full_R | (runs.seed_R == 0))
    game = game_from(few, dict.fromkeys(few.targets))
    assert exact(game).low_TL is None
    assert mean_interactions(game, game.targets).low_TL is None
