"""Shapley values: the axioms, the reference library, the noise."""

from __future__ import annotations

import numpy as np
import pytest

from glotmix.errors import BadInput
from glotmix.measurements import Measurements
from glotmix.transfer.game import Game, game_from, game_of, members
from glotmix.transfer.groups import owen
from glotmix.transfer.interactions import interactions
from glotmix.transfer.leave_one_out import leave_one_out
from glotmix.transfer.shapley import exact

PLAYERS = ("es", "fr", "it", "ru")


def random_game(seed: int, n: int = 4, targets: int = 2) -> Game:
    payoff_CT = np.random.default_rng(seed).normal(size=(2**n, targets))
    payoff_CT[0] = 0
    return Game(tuple(f"l{i}" for i in range(n)), tuple(f"t{i}" for i in range(targets)), payoff_CT)


def test_values_share_out_the_whole_payoff() -> None:
    game = random_game(0, 5)
    np.testing.assert_allclose(exact(game).value_TL.sum(axis=1), game.payoff_CT[-1], atol=1e-12)


def test_interchangeable_languages_get_the_same() -> None:
    game = game_of(PLAYERS, ("t",), lambda inside: np.sqrt(inside @ [1.0, 1.0, 2.0, 3.0])[:, None])
    values = exact(game)
    assert values["t", "es"] == pytest.approx(values["t", "fr"], abs=1e-12)
    assert values["t", "ru"] > values["t", "it"] > values["t", "es"]


def test_a_language_that_adds_nothing_gets_nothing() -> None:
    game = game_of(PLAYERS, ("t",), lambda inside: np.log1p(inside @ [1.0, 0.0, 2.0, 3.0])[:, None])
    assert exact(game)["t", "fr"] == pytest.approx(0, abs=1e-12)


def test_values_of_a_sum_of_games_are_the_sum_of_values() -> None:
    one, two = random_game(1), random_game(2)
    both = Game(one.players, one.targets, one.payoff_CT + two.payoff_CT)
    np.testing.assert_allclose(exact(both).value_TL, exact(one).value_TL + exact(two).value_TL, atol=1e-12)


def test_values_and_interactions_equal_shapiq() -> None:
    shapiq = pytest.importorskip("shapiq")
    game = random_game(3, 5, 1)
    number = lambda coalition: sum(1 << int(i) for i in coalition)  # noqa: E731
    reference = shapiq.ExactComputer(
        n_players=5, game=lambda rows: np.array([game.payoff_CT[number(np.flatnonzero(row)), 0] for row in rows])
    )
    single, pairs = reference("SV", order=1), reference("SII", order=2)
    index_LL = interactions(game)[0]
    for i in range(5):
        assert exact(game).value_TL[0, i] == pytest.approx(single[(i,)], abs=1e-10)
        for j in range(i):
            assert index_LL[i, j] == pytest.approx(pairs[(j, i)], abs=1e-10)


def test_owen_values_of_singletons_and_of_one_group_are_shapley_values() -> None:
    game = random_game(4)
    alone = owen(game, {name: (name,) for name in game.players})
    together = owen(game, {"all": game.players})
    np.testing.assert_allclose(alone.value_TL, exact(game).value_TL, atol=1e-12)
    np.testing.assert_allclose(together.value_TL, exact(game).value_TL, atol=1e-12)


def test_owen_values_of_a_group_sum_to_its_value_as_one_player() -> None:
    game = random_game(5)
    groups = {"a": ("l0", "l2"), "b": ("l1", "l3")}
    bits = {"a": 0b0101, "b": 0b1010}
    merged = Game(("a", "b"), game.targets, game.payoff_CT[[0, bits["a"], bits["b"], 15]])
    values = owen(game, groups)
    for target in game.targets:
        assert values[target, "l0"] + values[target, "l2"] == pytest.approx(exact(merged)[target, "a"], abs=1e-12)


def test_a_language_in_no_group_is_refused() -> None:
    with pytest.raises(BadInput, match="l3"):
        owen(random_game(6), {"a": ("l0", "l1", "l2")})


def table(noise: float, seed: int, repeats: int = 2, leave: int | None = None) -> Measurements:
    """All coalitions of four languages, ``repeats`` seeds each, losses with relative noise."""
    rng = np.random.default_rng(seed)
    inside = np.repeat(members(4)[1:], repeats, axis=0)
    if leave is not None:
        inside = inside[(inside @ [1, 2, 4, 8]) != leave]
    p_RL = inside / inside.sum(axis=1, keepdims=True)
    loss_RT = true_loss(p_RL) * np.exp(rng.normal(0, noise, (len(p_RL), 2)))
    R = len(p_RL)
    known = np.full(R, 1e6)
    return Measurements(
        tuple(f"r{r}" for r in range(R)), PLAYERS, ("es", "pl"), p_RL, loss_RT, known, known, np.arange(R) % repeats,
        ("coalition",) * R,
    )  # fmt: skip


def true_loss(p_RL: np.ndarray) -> np.ndarray:
    return np.column_stack(
        [2 - 0.4 * np.log(p_RL @ [1, 0.3, 0.3, 0.02]), 4 - 0.2 * np.log(p_RL @ [0.1, 0.1, 0.2, 0.6])]
    )


def test_a_missing_coalition_is_named() -> None:
    with pytest.raises(BadInput, match="fr\\+it"):
        game_from(table(0.0, 0, leave=0b0110), {"es": 5.0, "pl": 5.0})


def test_a_missing_empty_loss_is_named() -> None:
    with pytest.raises(BadInput, match="pl"):
        game_from(table(0.0, 0), {"es": 5.0})


def test_leaving_one_out_misses_what_a_twin_stands_in_for() -> None:
    """Shapley values share the credit; leave-one-out gives neither twin any."""
    game = game_of(PLAYERS, ("t",), lambda inside: (inside[:, 0] | inside[:, 1]).astype(float)[:, None])
    assert leave_one_out(game)["t", "es"] == 0
    assert exact(game)["t", "es"] == pytest.approx(0.5)
