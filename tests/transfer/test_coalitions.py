"""Which runs play a game, and what nobody loses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from glotmix.errors import BadInput
from glotmix.measurements import Measurements
from glotmix.transfer.coalitions import coalitions_in
from glotmix.transfer.game import game_from, members
from glotmix.transfer.measured import estimated, values_of_runs
from glotmix.transfer.shapley import exact

PLAYERS = ("a", "b", "c")
NOBODY = dict.fromkeys(PLAYERS)


def useless(N: float = 1e7, D: float | np.ndarray = 1e9, loss: float = 1.0, keep: slice = slice(None)) -> Measurements:
    """All coalitions of three languages that tell nothing of each other: twice the loss where a target is absent."""
    inside = members(3)[1:][keep]
    p_RL = inside / inside.sum(axis=1, keepdims=True)
    R = len(inside)
    tokens = np.broadcast_to(np.asarray(D, float), (R,)).copy()
    names = tuple(f"r{N:g}-{tokens[r]:g}-{r}" for r in range(R))
    losses = loss * np.where(inside, 1.0, 2.0)
    return Measurements(names, PLAYERS, PLAYERS, p_RL, losses, np.full(R, N), tokens, np.zeros(R, int), ("",) * R)


def both(one: Measurements, other: Measurements) -> Measurements:
    rows = [
        np.concatenate([getattr(one, name), getattr(other, name)])
        for name in ("p_RL", "loss_RT", "N_R", "D_R", "seed_R")
    ]
    roles = (*one.role_R, *other.role_R)
    return Measurements((*one.runs, *other.runs), PLAYERS, PLAYERS, rows[0], rows[1], *rows[2:], roles)


@pytest.mark.parametrize("way", [values_of_runs, estimated])
def test_coalitions_of_two_sizes_are_never_averaged(way) -> None:
    """Four coalitions of a larger model, at half the loss: averaged in, they invent transfer of +0.125."""
    runs = both(useless(), useless(N=1e9, loss=0.5, keep=slice(2, None, 2)))
    found = way(runs, NOBODY)
    cross = found.value_TL[~np.eye(3, dtype=bool)]
    assert np.abs(cross).max() < (1e-12 if way is values_of_runs else 0.02)
    assert found.notes["N"] == 1e7
    assert "another size" in " ".join(found.explained())


def test_checkpoints_are_games_of_their_own_and_the_last_is_played() -> None:
    found = values_of_runs(both(useless(D=1e9), useless(D=2e9, loss=0.8)), NOBODY)
    assert found.notes["D"] == 2e9
    np.testing.assert_allclose(found.value_TL, 0.8 * np.eye(3), atol=1e-12)


def test_the_larger_of_two_complete_sizes_is_played() -> None:
    assert coalitions_in(both(useless(N=1e9), useless(N=1e7))).N == 1e9


def test_tokens_of_the_members_are_one_game() -> None:
    own = useless(D=members(3)[1:] @ np.array([1e9, 1e9, 3e9]))
    found = values_of_runs(own, NOBODY)
    assert found.notes["budget"] == "own"
    np.testing.assert_allclose(found.value_TL, np.eye(3), atol=1e-12)


def test_tokens_of_the_members_up_to_those_of_the_run_are_one_game() -> None:
    capped = useless(D=np.minimum(members(3)[1:] @ np.array([9e9, 4e8, 2e8]), 1e9))
    found = values_of_runs(capped, NOBODY)
    assert found.notes["budget"] == "capped"
    assert found.notes["runs"] == 7
    assert "no language was read more often" in " ".join(found.explained())
    np.testing.assert_allclose(found.value_TL, np.eye(3), atol=1e-12)
    # One small coalition that has more than the others leave it is another game.
    odd = np.where(np.arange(7) == 5, 7e8, capped.D_R)
    assert coalitions_in(replace(capped, D_R=odd)).budget == "fixed"


def test_tokens_of_whole_batches_are_a_game_only_where_they_were_planned() -> None:
    D_R = np.minimum(members(3)[1:] @ np.array([9e9, 4e8, 2e8]), 1e9)
    D_R[1] *= 1.03
    rounded = useless(D=D_R)
    assert coalitions_in(rounded).budget == "fixed"
    assert coalitions_in(replace(rounded, role_R=("coalition",) * 7)).budget == "capped"


def test_coalitions_that_read_text_again_are_told() -> None:
    """Of two million unique tokens of c a run of a thousand million makes 500 passes, beside one other 250."""
    few = replace(useless(), unique_RL=np.tile([1e9, 1e9, 2e6], (7, 1)))
    told = " ".join(values_of_runs(few, NOBODY).explained())
    assert "4 coalitions read some text more than four times, c up to 500 times" in told
    enough = replace(useless(), unique_RL=np.tile(1e9, (7, 3)))
    assert "more than four times" not in " ".join(values_of_runs(enough, NOBODY).explained())


def test_a_run_that_diverged_gives_nobody_anything() -> None:
    """The worst run as the empty coalition, and its loss in the sum, gave two useless sources +1.167 each."""
    runs = useless()
    runs.loss_RT[5, 0] = 9.0
    found = values_of_runs(runs, NOBODY)
    assert abs(found["a", "b"]) < 0.05
    assert abs(found["a", "c"]) < 0.05
    np.testing.assert_allclose(found.value_TL[1:], np.eye(3)[1:], atol=1e-12)
    told = " ".join(found.explained())
    assert runs.runs[5] in told
    assert "9" in told
    assert "a" in found.method.partition("for ")[2]


@pytest.mark.parametrize(("at", "counts"), [((5, 0), True), ((5, 1), False)])
def test_what_runs_forget_of_the_model_that_they_go_on_from_counts(at: tuple[int, int], counts: bool) -> None:
    """Run 5 reads b and c: its loss of a says how much it forgets, one of b that it diverged."""
    runs = replace(useless(), before_T=np.full(3, 1.5))
    runs.loss_RT[at] = 9.0
    found = coalitions_in(runs)
    assert np.isfinite(found.runs.loss_RT[at]) == counts
    assert ("diverged" in " ".join(found.remarks)) != counts


@pytest.mark.parametrize("at", [(5, 0), (0, 1), (6, 2)])
def test_a_blank_cell_costs_its_own_target_only(at: tuple[int, int]) -> None:
    runs = useless()
    runs.loss_RT[at] = np.nan
    found = values_of_runs(runs, NOBODY)
    np.testing.assert_allclose(np.delete(found.value_TL, at[1], 0), np.delete(np.eye(3), at[1], 0), atol=1e-12)
    assert np.abs(found.value_TL - np.eye(3)).max() < 0.2


def test_sound_losses_far_apart_are_kept() -> None:
    """A target ten times worse where it is absent is no divergence: half of the runs have that."""
    runs = useless()
    runs.loss_RT[:, 0] = np.where(runs.p_RL[:, 0] > 0, 0.5, 5.0)
    assert not coalitions_in(runs).remarks


def test_the_empty_coalition_is_a_model_of_one_other_language() -> None:
    game = game_from(useless(), NOBODY)
    assert game.notes["empty_loss"] == {"a": 2.0, "b": 2.0, "c": 2.0}
    np.testing.assert_allclose(exact(game).value_TL, np.eye(3), atol=1e-12)


def test_a_loss_that_every_run_was_trained_for_needs_to_be_told() -> None:
    runs = useless(keep=slice(0, None, 2))  # a in all
    with pytest.raises(BadInput, match="no run without a"):
        estimated(runs, NOBODY)


def test_no_coalitions_are_named_as_such() -> None:
    runs = useless(keep=slice(2, 3))
    runs.p_RL[:] = [0.7, 0.2, 0.1]
    with pytest.raises(BadInput, match="no run plays a coalition"):
        values_of_runs(runs, NOBODY)
