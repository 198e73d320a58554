"""Game: languages as players, the fall of a target's loss as payoff."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from glotmix.errors import BadInput
from glotmix.measurements import Measurements

MOST_PLAYERS = 12
"""Beyond this a complete table (4,096 coalitions) is out of reach and the estimators take over."""


@dataclass(frozen=True)
class Game:
    """The payoff ``u_t(S) = L_t(∅) - L_t(S)`` of every coalition S of languages, for every target t.

    Source: ShapleyLaw (arXiv 2603.17945): languages are players, the payoff is the reduction of the test loss. The
    value of the empty coalition is a choice that the paper's public code leaves open; here it is an argument.
    """

    players: tuple[str, ...]
    """Languages, [L]; player l is bit l of a coalition's number."""
    targets: tuple[str, ...]
    """Languages evaluated, [T]."""
    payoff_CT: np.ndarray
    """Payoffs of all 2^L coalitions, by number; row 0 (nobody) is zero."""
    variance_CT: np.ndarray | None = None
    """Variance of each payoff (noise variance of a run over its repeats), or None when nothing was repeated."""
    freedom: int | None = None
    """Degrees of freedom of the noise variance; None for a variance that is known."""
    notes: Mapping[str, object] | None = None
    """Convention of the budget, value of the empty coalition, repeats."""

    def __post_init__(self) -> None:
        shape = (2 ** len(self.players), len(self.targets))
        if len(self.players) > MOST_PLAYERS:
            raise BadInput(f"a complete game of {len(self.players)} players", expected=f"at most {MOST_PLAYERS}")
        if self.payoff_CT.shape != shape:
            raise BadInput(f"payoffs of shape {self.payoff_CT.shape}", expected=f"{shape}: coalitions × targets")

    @property
    def quantile(self) -> float:
        """How many standard deviations a two-sided 95 % interval reaches."""
        return 1.96 if self.freedom is None else float(student.ppf(0.975, self.freedom))

    def payoff(self, coalition: set[str] | frozenset[str] | tuple[str, ...]) -> np.ndarray:
        """Payoffs [T] of the languages named."""
        return self.payoff_CT[sum(1 << self.players.index(player) for player in coalition)]


def members(n: int) -> np.ndarray:
    """Who is in which coalition: booleans [2^n, n]."""
    return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)


def game_of(players: tuple[str, ...], targets: tuple[str, ...], payoff: Callable[[np.ndarray], np.ndarray]) -> Game:
    """The complete game of a function from coalitions (booleans [C, L]) to payoffs [C, T] (of nobody: subtracted)."""
    value_CT = payoff(members(len(players)))
    return Game(players, targets, value_CT - value_CT[0])


def game_from(measurements: Measurements, empty_loss: Mapping[str, float]) -> Game:
    """The game played by the runs of a coalition table.

    A run plays the coalition of the languages it was trained on when these have equal shares, or when its role is
    "coalition"; repeats (several seeds) are averaged, and their spread gives the variance of a payoff, pooled over all
    coalitions of a target on the scale of the log of the loss.

    Args:
        measurements: runs, among them every coalition.
        empty_loss: target to the loss L_t(∅) of a model that was trained on nothing.

    Raises:
        BadInput: naming the coalitions that are missing, or a target without an empty loss.
    """
    if lacking := [target for target in measurements.targets if target not in empty_loss]:
        raise BadInput(f"no loss of the empty coalition for {', '.join(lacking)}", where="empty_loss")
    players = measurements.languages
    if len(players) > MOST_PLAYERS:
        raise BadInput(f"a complete game of {len(players)} players", expected=f"at most {MOST_PLAYERS}")
    number_R = _coalition_of_runs(measurements)
    played = measurements.where(number_R > 0)
    number_R = number_R[number_R > 0]
    in_CL = members(len(players))
    missing = sorted(set(range(1, 2 ** len(players))) - set(number_R.tolist()), key=lambda c: (in_CL[c].sum(), c))
    if missing:
        named = "; ".join("+".join(np.array(players)[in_CL[c]]) for c in missing[:3])
        raise BadInput(
            f"{len(missing)} of {2 ** len(players) - 1} coalitions were not run: {named}{' …' * (len(missing) > 3)}",
            expected="every coalition; or --estimate (coalitions: sampled in a study), which needs fewer",
        )
    empty_T = np.array([empty_loss[target] for target in played.targets])
    loss_CT, count_CT = _averages(played.loss_RT, number_R, 2 ** len(players))
    loss_CT[0] = empty_T
    noise_T, freedom = _relative_noise(played.loss_RT, number_R)
    variance_CT = None
    if freedom:
        variance_CT = (loss_CT * noise_T) ** 2 / np.maximum(count_CT, 1)
        variance_CT[0] = 0
    notes = {"empty_loss": {t: float(x) for t, x in zip(played.targets, empty_T, strict=True)}, "runs": len(played)}
    return Game(players, played.targets, empty_T - loss_CT, variance_CT, freedom or None, notes)


def _coalition_of_runs(measurements: Measurements) -> np.ndarray:
    """Number of the coalition that each run plays, 0 for a run that is no coalition."""
    number_R = (measurements.p_RL > 0) @ (1 << np.arange(len(measurements.languages)))
    return np.where(plays_coalition(measurements), number_R, 0)


def plays_coalition(measurements: Measurements) -> np.ndarray:
    """Whether each run plays a coalition [R]: planned as one, a repeat of one, or of equal shares if none is."""
    inside_RL = measurements.p_RL > 0
    planned_R = np.array([role == "coalition" for role in measurements.role_R])
    equal_RL = inside_RL / inside_RL.sum(axis=1, keepdims=True)
    equal_R = np.abs(measurements.p_RL - equal_RL).max(axis=1) < 5e-3
    return np.asarray(planned_R | (~planned_R.any() & equal_R) | _repeats(measurements, planned_R), dtype=bool)


def _repeats(measurements: Measurements, planned_R: np.ndarray) -> np.ndarray:
    """Runs of other roles (anchors) with exactly the mixture of a planned coalition, at the same N and D."""
    same_R = np.zeros(len(measurements), dtype=bool)
    key_RK = np.column_stack(
        [np.round(measurements.p_RL, 6), np.nan_to_num(measurements.N_R), np.nan_to_num(measurements.D_R)]
    )
    planned = {tuple(row) for row in key_RK[planned_R]}
    for r, row in enumerate(key_RK):
        same_R[r] = tuple(row) in planned
    return same_R


def _averages(loss_RT: np.ndarray, number_R: np.ndarray, coalitions: int) -> tuple[np.ndarray, np.ndarray]:
    loss_CT, count_CT = np.zeros((coalitions, loss_RT.shape[1])), np.zeros((coalitions, 1))
    np.add.at(loss_CT, number_R, loss_RT)
    np.add.at(count_CT, number_R, 1)
    return loss_CT / np.maximum(count_CT, 1), count_CT


def _relative_noise(loss_RT: np.ndarray, number_R: np.ndarray) -> tuple[np.ndarray, int]:
    """Standard deviation of the log of the loss between repeats, pooled, and its degrees of freedom."""
    squares_T, freedom = np.zeros(loss_RT.shape[1]), 0
    for number in np.unique(number_R):
        log = np.log(loss_RT[number_R == number])
        if len(log) > 1:
            squares_T, freedom = squares_T + ((log - log.mean(axis=0)) ** 2).sum(axis=0), freedom + len(log) - 1
    return np.sqrt(squares_T / max(freedom, 1)), freedom
