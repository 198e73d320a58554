"""Intervals of a game's values hold all at once, and noise alone names nobody a helper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.transfer_intervals import KINDS, helper_named, judged, planted, table, truth, values
from glotmix.transfer.game import game_from
from glotmix.transfer.interactions import interactions, interactions_for, mean_interactions
from glotmix.transfer.leave_one_out import leave_one_out
from glotmix.transfer.shapley import exact


@pytest.mark.parametrize(
    "kind", ["two seeds", "three seeds, absent targets four times noisier", "noise common to all targets"]
)
def test_all_true_values_lie_in_their_intervals_at_once(kind: str) -> None:
    """600 tables, so that the share's own standard deviation is 0.9 %.

    Pointwise intervals with one noise level for all targets hold whole matrices in 0 to 20 % of these tables.
    """
    assert 0.92 <= judged(KINDS[kind], 600)["all values covered"] <= 0.98


@pytest.mark.parametrize("kind", ["no transfer", "no transfer, absent targets four times noisier"])
def test_with_no_transfer_a_page_names_no_helper(kind: str) -> None:
    """Five of a hundred may; pointwise intervals name one in about half of these tables."""
    assert judged(KINDS[kind], 100)["helper named"] <= 0.05


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


def test_intervals_of_the_mean_interactions_hold_for_all_pairs_at_once() -> None:
    """One seed moves all targets: were their noise taken for independent, half the tables would have a pair outside."""
    kind = replace(KINDS["noise common to all targets"], outside=0)
    covered, tables = 0, 60
    for seed in range(tables):
        rng = np.random.default_rng([seed, 9])
        loss = planted(kind, rng)
        empty = truth(kind, loss)[1]
        game = game_from(table(kind, loss, rng), empty)
        quiet = game_from(table(replace(kind, noise=1e-9), loss, rng), empty)
        found = mean_interactions(game, game.targets)
        assert found.low_TL is not None
        assert found.high_TL is not None
        np.testing.assert_allclose(found.value_TL, interactions(game).mean(axis=0), atol=1e-12)
        true_LL = interactions(quiet).mean(axis=0)
        covered += bool(((found.low_TL <= true_LL + 1e-8) & (true_LL - 1e-8 <= found.high_TL)).all())
    assert 0.87 * tables <= covered
    assert np.median(found.high_TL - found.low_TL) < 20 * np.abs(true_LL).max()


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
