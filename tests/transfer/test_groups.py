"""Groups as players: Shapley values between them and Owen values inside, against closed sums and another library."""

import itertools
from math import factorial

import numpy as np
import pytest

from glotmix.errors import BadInput
from glotmix.measurements import from_wide
from glotmix.mixture.config import DesignConfig
from glotmix.mixture.groups import coalitions_of_groups, spread_over_groups
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.planning import design_of
from glotmix.transfer.game import game_from, game_of
from glotmix.transfer.groups import between, between_weights, by_group, folded, owen, owen_weights, summed
from glotmix.transfer.measured import estimated
from glotmix.transfer.shapley import exact, weights

SHAPES = [(3, 3), (2, 4), (1, 5), (2, 2, 2), (4, 2, 1), (3, 3, 2), (2, 2, 2, 2), (3, 3, 3), (1, 2, 3, 4), (6, 4), (3, 3, 3, 3)]  # fmt: skip
"""Sizes of 2 to 4 groups of 6 to 12 sources."""


def grouped(sizes):
    """Players in an order that mixes the groups, and the groups."""
    groups = {f"g{k}": tuple(f"g{k}/{i}" for i in range(size)) for k, size in enumerate(sizes)}
    order = [name for group in itertools.zip_longest(*groups.values()) for name in group if name]
    return tuple(order), groups


def planted(players, seed=0, targets=2):
    """A game with saturation, synergies of pairs and noise in every coalition."""
    rng = np.random.default_rng(seed)
    n = len(players)
    w_TL, pair_TLL = rng.uniform(0.1, 1, (targets, n)), rng.normal(0, 0.1, (targets, n, n))

    def payoff(inside_CL):
        x_CL = inside_CL.astype(float)
        pairs_CT = np.einsum("cl,tlm,cm->ct", x_CL, pair_TLL, x_CL)
        return np.log1p(x_CL @ w_TL.T) + pairs_CT + rng.normal(0, 0.05, pairs_CT.shape) * inside_CL.any(axis=1)[:, None]

    return game_of(players, tuple(f"t{t}" for t in range(targets)), payoff)


def by_orders(game, groups):
    """Owen values by their first definition: mean marginal contribution over all orders in which no group is torn."""
    value = {player: np.zeros(len(game.targets)) for player in game.players}
    orders = 0
    for outer in itertools.permutations(groups):
        for inner in itertools.product(*(itertools.permutations(groups[name]) for name in outer)):
            came = []
            for player in itertools.chain.from_iterable(inner):
                value[player] += game.payoff((*came, player)) - game.payoff(tuple(came))
                came.append(player)
            orders += 1
    return np.array([value[player] / orders for player in game.players]).T


def by_two_stages(game, groups):
    """Owen values by their second definition: each member's Shapley value in its group's own game, whose payoff of S is
    the Shapley value that S would have in the group's stead among the groups."""
    found = np.zeros((len(game.targets), len(game.players)))
    for k, group in groups.items():
        others = [members for other, members in groups.items() if other != k]
        m = len(groups)

        def worth(part, others=others, m=m):
            total = np.zeros(len(game.targets))
            for size in range(m):
                for outer in itertools.combinations(others, size):
                    whole = tuple(itertools.chain.from_iterable(outer))
                    share = factorial(size) * factorial(m - size - 1) / factorial(m)
                    total += share * (game.payoff((*whole, *part)) - game.payoff(whole))
            return total

        parts = [[p for p, inside in zip(group, row, strict=True) if inside] for row in np.ndindex(*[2] * len(group))]
        numbers = [sum(1 << group.index(p) for p in part) for part in parts]
        worth_CT = np.zeros((2 ** len(group), len(game.targets)))
        worth_CT[numbers] = [worth(part) for part in parts]
        values = weights(len(group)) @ worth_CT
        for player, value_T in zip(group, values, strict=True):
            found[:, game.players.index(player)] = value_T
    return found


@pytest.mark.parametrize("sizes", SHAPES)
def test_owen_values_are_the_two_stage_values_and_add_up(sizes):
    players, groups = grouped(sizes)
    game = planted(players, seed=sum(sizes))
    inside, outside = owen(game, groups), between(game, groups)
    assert inside.value_TL == pytest.approx(by_two_stages(game, groups), abs=1e-12)
    whole = game.payoff(players)
    assert inside.value_TL.sum(axis=1) == pytest.approx(whole, abs=1e-12)
    assert outside.value_TL.sum(axis=1) == pytest.approx(whole, abs=1e-12)
    assert summed(inside, groups).value_TL == pytest.approx(outside.value_TL, abs=1e-12)


@pytest.mark.parametrize("sizes", [(3, 3), (2, 4), (2, 2, 2), (4, 2, 1)])
def test_owen_values_are_means_over_orders_in_which_no_group_is_torn(sizes):
    players, groups = grouped(sizes)
    game = planted(players)
    assert owen(game, groups).value_TL == pytest.approx(by_orders(game, groups), abs=1e-12)


@pytest.mark.parametrize("sizes", [(3, 3), (3, 3, 2), (2, 2, 2, 2), (3, 3, 3, 3)])
def test_values_between_groups_are_those_of_another_library(sizes):
    shapiq = pytest.importorskip("shapiq")
    players, groups = grouped(sizes)
    game, names = planted(players), list(groups)
    mine = between(game, groups)
    for t in range(len(game.targets)):

        def payoff(inside_CG, t=t):
            rows = [tuple(p for g, name in enumerate(names) if row[g] for p in groups[name]) for row in inside_CG]
            return np.array([game.payoff(row)[t] for row in rows])

        theirs = shapiq.ExactComputer(payoff, len(names))("SV")
        assert mine.value_TL[t] == pytest.approx([theirs[(g,)] for g in range(len(names))], abs=1e-10)


def test_groups_of_one_leave_shapley_values():
    players, _ = grouped((6,))
    game = planted(players)
    alone = {player: (player,) for player in players}
    assert owen(game, alone).value_TL == pytest.approx(exact(game).value_TL, abs=1e-12)
    assert between(game, alone).value_TL == pytest.approx(exact(game).value_TL, abs=1e-12)


@pytest.mark.parametrize("sizes", SHAPES)
def test_the_coalitions_that_are_planned_are_those_that_values_depend_on(sizes):
    players, groups = grouped(sizes)
    planned = coalitions_of_groups(players, groups)
    number = {sum(1 << players.index(p) for p in one) for one in planned}
    W_LC = np.vstack([owen_weights(players, groups), between_weights(players, groups)])
    assert number == set(np.flatnonzero((W_LC != 0).any(axis=0)).tolist()) - {0}
    G = len(sizes)
    assert len(planned) == 2**G - 1 + sum(2 ** (G - 1) * (2**b - 2) for b in sizes)
    whole = coalitions_of_groups(players, groups, parts=False)
    assert len(whole) == 2**G - 1


def table_of(game, coalitions, noise=0.0, seeds=1, seed=0):
    """Runs of some coalitions of a game, whose empty loss is 5."""
    rng, rows = np.random.default_rng(seed), []
    for one in coalitions:
        for s in range(seeds):
            shares = {f"p/{p}": (p in one) / len(one) for p in game.players}
            losses = 5 - game.payoff(tuple(one)) + rng.normal(0, noise, len(game.targets))
            told = {f"loss/{t}": loss for t, loss in zip(game.targets, losses, strict=True)}
            rows.append({"run": f"{'+'.join(one)}-{s}", "seed": s, "D": 1e6, "N": 1e5, **shares, **told})
    import polars as pl

    return from_wide(pl.DataFrame(rows))


def test_a_table_of_these_coalitions_alone_is_enough():
    players, groups = grouped((2, 2, 2))
    game = planted(players)
    needed = coalitions_of_groups(players, groups)
    runs = table_of(game, needed)
    played = game_from(
        runs, dict.fromkeys(game.targets, 5.0), np.array([[p in one for p in players] for one in needed])
    )
    assert owen(played, groups).value_TL == pytest.approx(owen(game, groups).value_TL, abs=1e-9)
    assert between(played, groups).value_TL == pytest.approx(between(game, groups).value_TL, abs=1e-9)
    with pytest.raises(BadInput, match=r"\d+ of 63 coalitions were not run"):
        game_from(runs, dict.fromkeys(game.targets, 5.0))
    less = table_of(game, needed[1:])
    mask = np.array([[p in one for p in players] for one in needed])
    with pytest.raises(BadInput, match="1 of 31 coalitions were not run"):
        game_from(less, dict.fromkeys(game.targets, 5.0), mask)


def test_runs_of_whole_groups_alone_tell_the_values_between_them():
    players, groups = grouped((3, 4, 2))
    game = planted(players)
    runs = table_of(game, coalitions_of_groups(players, groups, parts=False))
    # Shares differ between groups of different sizes, so that these runs are known as coalitions by their role.
    from dataclasses import replace

    runs = replace(by_group(runs, groups), role_R=("coalition",) * len(runs))
    found = exact(game_from(runs, dict.fromkeys(game.targets, 5.0)))
    assert found.sources == tuple(groups)
    assert found.value_TL == pytest.approx(between(game, groups).value_TL, abs=1e-9)


def test_intervals_hold_together_and_folding_keeps_them():
    players, groups = grouped((2, 2))
    game = planted(players, targets=4)
    game = game_of(players, players, lambda inside: np.array([[1.0] * 4] * len(inside)) * inside.any(axis=1)[:, None])
    needed = coalitions_of_groups(players, groups)
    mask = np.array([[p in one for p in players] for one in needed])
    truth = owen(game, groups).value_TL, folded(between(game, groups), groups).value_TL
    held = []
    for seed in range(60):
        runs = table_of(game, needed, noise=0.02, seeds=2, seed=seed)
        played = game_from(runs, dict.fromkeys(players, 5.0), mask)
        inside, fold = owen(played, groups), folded(between(played, groups), groups)
        assert fold.targets == fold.sources == tuple(groups)
        held.append(
            [bool(((m.low_TL <= v) & (v <= m.high_TL)).all()) for m, v in zip((inside, fold), truth, strict=True)]
        )
        assert (summed(inside, groups).high_TL >= between(played, groups).value_TL).all()
    assert np.mean(held, axis=0).min() >= 0.85


def test_estimates_of_owen_values_come_near_from_half_of_the_coalitions():
    players, groups = grouped((3, 3))
    game = game_of(
        players, ("t",), lambda inside: np.log1p(inside @ np.array([[1.0], [0.5], [0.2], [0.8], [0.1], [0.4]]))
    )
    chosen = spread_over_groups(players, groups, 20, np.random.default_rng(0))
    assert len({row.tobytes() for row in chosen}) == 20
    assert chosen[0].all()
    runs = table_of(game, [[p for p, inside in zip(players, row, strict=True) if inside] for row in chosen])
    found = estimated(runs, {"t": 5.0}, groups=groups)
    truth = owen(game, groups).value_TL
    assert np.abs(found.value_TL - truth).max() < 0.05 * np.abs(truth).max()
    assert found.method.startswith("Owen")


def test_a_design_of_groups_holds_these_coalitions_and_says_what_is_too_much():
    players, groups = grouped((2, 2, 2))
    natural = Mixture.normalised(dict.fromkeys(players, 1.0))
    config = DesignConfig(players="group", swarm=3, anchors=1)
    runs = [r for r in design_of(config, players, natural, 1e6, groups=groups).runs if r.role == "coalition"]
    assert [set(r.schedule.average().support) for r in runs] == list(map(set, coalitions_of_groups(players, groups)))
    whole = config.model_copy(update={"coalitions": "between"})
    assert sum(r.role == "coalition" for r in design_of(whole, players, natural, 1e6, groups=groups).runs) == 7
    with pytest.raises(BadInput, match="players"):
        design_of(whole, players, natural, 1e6)
    many, big = grouped((3, 3, 3, 3))
    with pytest.raises(BadInput, match="coalitions: between"):
        design_of(config, many, Mixture.normalised(dict.fromkeys(many, 1.0)), 1e6, groups=big)
    huge, of = grouped((20, 20))
    flat = Mixture.normalised(dict.fromkeys(huge, 1.0))
    for kind in ("all", "sampled"):
        with pytest.raises(BadInput, match="between"):
            design_of(config.model_copy(update={"coalitions": kind}), huge, flat, 1e6, groups=of)
    assert len(design_of(whole, huge, flat, 1e6, groups=of).runs) >= 3
