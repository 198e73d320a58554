"""Game: languages as players, the fall of a target's loss as payoff."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glotmix.errors import BadInput
from glotmix.measurements import Measurements
from glotmix.mixture.groups import MOST_PLAYERS
from glotmix.scored import Scored
from glotmix.transfer.coalitions import Played, coalitions_in, numbers, present
from glotmix.transfer.matrix import TransferMatrix
from glotmix.transfer.noise import LEVEL, PayoffErrors, noise_of

FROM_TABLE = "mean of models trained on one other language"
"""What the loss of the empty coalition is taken to be where it is not given."""


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
    """Payoffs of all 2^L coalitions, by number; row 0 (nobody) is zero, and NaN those that were not run and that the
    values asked for do not depend on."""
    errors: PayoffErrors | None = None
    """Noise of the payoffs, or None when nothing was repeated."""
    notes: Mapping[str, object] | None = None
    """Convention of the budget, value of the empty coalition, size, repeats."""
    unit: str = "loss"
    """Unit of the payoffs."""

    def __post_init__(self) -> None:
        shape = (2 ** len(self.players), len(self.targets))
        if len(self.players) > MOST_PLAYERS:
            raise BadInput(f"a complete game of {len(self.players)} players", expected=f"at most {MOST_PLAYERS}")
        if self.payoff_CT.shape != shape:
            raise BadInput(f"payoffs of shape {self.payoff_CT.shape}", expected=f"{shape}: coalitions × targets")

    @property
    def payoffs(self) -> np.ndarray:
        """The payoffs with a zero, in place of NaN, where nothing is known and nothing depends on it."""
        return np.asarray(np.nan_to_num(self.payoff_CT))

    def payoff(self, coalition: set[str] | frozenset[str] | tuple[str, ...]) -> np.ndarray:
        """Payoffs [T] of the languages named."""
        return np.asarray(self.payoff_CT[sum(1 << self.players.index(player) for player in coalition)])

    def values(self, W_LC: np.ndarray, method: str, level: float = LEVEL, **notes: object) -> TransferMatrix:
        """What is linear in the payoffs, ``Σ_C W_lC u_t(C)`` of every player, with intervals that hold all at once."""
        value_TL = (W_LC @ self.payoffs).T
        low_TL = high_TL = None
        told = {**(self.notes or {}), **notes}
        half_TL = self.half_widths(W_LC, self.players, level)
        if half_TL is not None:
            low_TL, high_TL = value_TL - half_TL, value_TL + half_TL
            told["intervals"] = f"all {np.isfinite(half_TL).sum()} hold together with {level:.0%}"
        return TransferMatrix(self.targets, self.players, value_TL, low_TL, high_TL, self.unit, method, told)

    def half_widths(self, W_KC: np.ndarray, labels: Sequence[str], level: float = LEVEL) -> np.ndarray | None:
        """Half-widths [T, K] of simultaneous intervals; None where nothing is known of the noise."""
        if self.errors is None:
            return None
        half_TK = self.errors.half_widths(W_KC, self.targets, labels, level)
        return half_TK if np.isfinite(half_TK).any() else None


def members(n: int) -> np.ndarray:
    """Who is in which coalition: booleans [2^n, n]."""
    return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)


def game_of(players: tuple[str, ...], targets: tuple[str, ...], payoff: Callable[[np.ndarray], np.ndarray]) -> Game:
    """The complete game of a function from coalitions (booleans [C, L]) to payoffs [C, T] (nobody: subtracted)."""
    value_CT = payoff(members(len(players)))
    return Game(players, targets, value_CT - value_CT[0])


def game_from(
    measurements: Measurements, empty_loss: Mapping[str, float | None], needed_CL: np.ndarray | None = None
) -> Game:
    """The game played by the runs of a coalition table.

    A run plays the coalition of the languages it was trained on when these have equal shares, or when its role is
    "coalition"; all are of one size (:func:`~glotmix.transfer.coalitions.coalitions_in`). Repeats (several seeds) are
    averaged, and their spread gives the noise of a payoff (:func:`~glotmix.transfer.noise.noise_of`).

    Args:
        measurements: runs, among them every coalition.
        empty_loss: target to the loss L_t(∅) of a model that was trained on nothing; None takes the mean of the models
            that were trained on one other language, whose noise the intervals then hold too.
        needed_CL: the coalitions that must be there, booleans; None for all.

    Raises:
        BadInput: naming the coalitions that are missing, or a target without an empty loss.
    """
    players = measurements.languages
    check_empty(empty_loss, measurements.targets)
    if len(players) > MOST_PLAYERS:
        raise BadInput(f"a complete game of {len(players)} players", expected=f"at most {MOST_PLAYERS}")
    played = coalitions_in(measurements)
    number_R, in_CL = numbers(played.inside_RL), members(len(players))
    loss_CT, count_CT = _averages(played.runs.loss_RT, number_R, len(in_CL))
    needed_C = np.ones(len(in_CL), dtype=bool) if needed_CL is None else np.zeros(len(in_CL), dtype=bool)
    if needed_CL is not None:
        needed_C[numbers(needed_CL)] = True
    _check_complete(played, count_CT, in_CL, needed_C)
    empty_TC = empty_weights(players, played.runs.targets, in_CL, count_CT > 0, empty_loss)
    empty_T = empty_losses(played.runs.targets, empty_loss, empty_TC, loss_CT)
    loss_CT[0] = empty_T
    kind_CT = present(players, played.runs.targets, in_CL)
    noise = noise_of(played.runs.loss_RT, number_R, kind_CT[number_R])
    errors = None
    if (noise.freedom_TK > 0).any():
        deviation_TK = noise.deviation_TK
        deviation_CT = loss_CT * deviation_TK[np.arange(kind_CT.shape[1]), kind_CT.astype(int)]
        deviation_CT /= np.sqrt(np.maximum(count_CT, 1))
        deviation_CT[0] = 0
        deviation_CT[count_CT == 0] = 0  # not run, and no value asked for depends on it
        errors = PayoffErrors(deviation_CT, kind_CT.astype(int), noise, empty_TC)
    notes = played.notes | empty_notes(played.runs.targets, empty_loss, empty_T) | (noise.notes if errors else {})
    return Game(players, played.runs.targets, empty_T - loss_CT, errors, notes, measurements.gain_unit)


def check_empty(empty_loss: Mapping[str, float | None], targets: Sequence[str]) -> None:
    """Every target needs a loss of the empty coalition, or None."""
    if lacking := [target for target in targets if target not in empty_loss]:
        raise BadInput(f"no loss of the empty coalition for {', '.join(lacking)}", where="empty_loss")


def empty_weights(
    players: Sequence[str],
    targets: Sequence[str],
    inside_CL: np.ndarray,
    known_CT: np.ndarray,
    empty_loss: Mapping[str, float | None],
) -> np.ndarray | None:
    """Weights [T, C] of coalitions whose mean loss stands for ``L_t(∅)`` where it was not given; None if all were.

    These are the coalitions without the target that have the fewest members: models that were trained on one other
    language. They know as little of the target as a trained model can, so a source that tells nothing of it has the
    value 0. The worst run, a choice that suggests itself, is the one that noise and divergence move most.

    Raises:
        BadInput: every coalition holds such a target.
    """
    weight_TC = np.zeros((len(targets), len(inside_CL)))
    if all(empty_loss[target] is not None for target in targets):
        return None
    size_C, absent_CT = inside_CL.sum(axis=1), ~present(players, targets, inside_CL)
    for t, target in enumerate(targets):
        if empty_loss[target] is not None:
            continue
        some_C = absent_CT[:, t] & known_CT[:, t] & (size_C > 0)
        if not some_C.any():
            raise BadInput(
                f"no run without {target}, so nothing tells the loss of the empty coalition", expected="--empty"
            )
        some_C &= size_C == size_C[some_C].min()
        weight_TC[t] = some_C / some_C.sum()
    return weight_TC


def empty_of_scores(targets: Sequence[str], scored: Mapping[str, Scored]) -> dict[str, float | None]:
    """Target to the error of guessing, which a score has without any language; None for losses, of which that is not
    known."""
    return {target: scored[target].most if target in scored else None for target in targets}


def empty_losses(
    targets: Sequence[str], empty_loss: Mapping[str, float | None], empty_TC: np.ndarray | None, loss_CT: np.ndarray
) -> np.ndarray:
    """``L_t(∅)`` [T]: as given, or the mean that the weights of :func:`empty_weights` take."""
    found = []
    for t, target in enumerate(targets):
        given = empty_loss[target]
        found.append(float(given) if given is not None else float(empty_TC[t] @ np.nan_to_num(loss_CT[:, t])))  # type: ignore[index]
    return np.array(found)


def empty_notes(
    targets: Sequence[str], empty_loss: Mapping[str, float | None], empty_T: np.ndarray
) -> dict[str, object]:
    """The loss of the empty coalition and where it comes from."""
    taken = [target for target in targets if empty_loss[target] is None]
    origin = "given" if not taken else FROM_TABLE
    if taken and len(taken) < len(targets):
        origin += f" for {', '.join(taken)}, otherwise given"
    return {"empty": origin, "empty_loss": {t: float(x) for t, x in zip(targets, empty_T, strict=True)}}


def _check_complete(played: Played, count_CT: np.ndarray, in_CL: np.ndarray, needed_C: np.ndarray) -> None:
    players = np.array(played.runs.languages)
    missing = np.flatnonzero((count_CT == 0).any(axis=1) & in_CL.any(axis=1) & needed_C).tolist()
    if missing:
        missing.sort(key=lambda c: (in_CL[c].sum(), c))
        named = "; ".join("+".join(players[in_CL[c]]) for c in missing[:3])
        told = "".join(f"; left out: {remark}" for remark in played.remarks)
        raise BadInput(
            f"{len(missing)} of {needed_C[1:].sum()} coalitions were not run: {named}{' …' * (len(missing) > 3)}{told}",
            expected="every coalition; or --estimate (coalitions: sampled in a study), which needs fewer",
        )


def _averages(loss_RT: np.ndarray, number_R: np.ndarray, coalitions: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean loss [C, T] over the runs that have one, and how many these are; NaN where none has (row 0 aside)."""
    known_RT = np.isfinite(loss_RT)
    loss_CT, count_CT = np.zeros((coalitions, loss_RT.shape[1])), np.zeros((coalitions, loss_RT.shape[1]))
    np.add.at(loss_CT, number_R, np.where(known_RT, loss_RT, 0))
    np.add.at(count_CT, number_R, known_RT)
    return np.divide(loss_CT, count_CT, out=np.full_like(loss_CT, np.nan), where=count_CT > 0), count_CT
