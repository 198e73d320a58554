"""Intervals of a game's values hold all at once, and noise alone names nobody a helper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.transfer_intervals import KINDS, helper_named, judged, planted, table, truth, values
from glotmix.transfer.game import game_from
from glotmix.transfer.interactions import interactions_for
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


def test_a_target_whose_noise_is_unknown_has_no_interval() -> None:
    """Only the full coalition is repeated: nothing tells how noisy a loss is where the target was absent."""
    kind = replace(KINDS["two seeds"], outside=0)
    rng = np.random.default_rng(3)
    runs = table(kind, planted(kind, rng), rng)
    full_R = (runs.p_RL > 0).all(axis=1)
    few = runs.where(full_R | (runs.seed_R == 0))
    assert exact(game_from(few, dict.fromkeys(few.targets))).low_TL is None
