"""Which runs play a game: the coalitions of one size and one budget, without runs that diverged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.optimize import nnls

from glotmix.errors import BadInput
from glotmix.measurements import Measurements

EQUAL_SHARES = 5e-3
"""Most by which shares may differ from equal ones: tables print them rounded."""
SAME_SIZE = 1.01
"""N and D that differ by less than this factor are one size."""
OWN_BUDGET, PLANNED_BUDGET = 0.01, 0.05
"""Most by which a run's tokens may miss the sum of its members' own budgets, relative to them: in any table, and among
coalitions that were planned as such, whose tokens are those of whole batches."""
BARE = 4.0
"""Passes up to which repeated text is worth nearly as much as fresh text (Muennighoff et al., arXiv 2305.16264)."""
DIVERGED_GAP, DIVERGED_LOSS, DIVERGED_PART = 2.0, 0.5, 0.2
"""A loss is diverged if it and all above it are at most this part of a target's losses, and the gap below it is more
than so many times the range of the others and more than this part of the largest of them."""

Budget = Literal["fixed", "own", "capped", "unknown"]


@dataclass(frozen=True)
class Played:
    """Runs that play one game."""

    runs: Measurements
    """Runs of one size; a loss that diverged is NaN."""
    inside_RL: np.ndarray
    """Who was trained on, booleans."""
    budget: Budget
    """"fixed": every coalition has the same tokens; "own": those of its members; "capped": those of its members where
    they are fewer than D, else D; "unknown": the table has no D."""
    N: float
    """Parameters of these runs; NaN where the table does not tell."""
    D: float
    """Training tokens of the full coalition (of every one with a fixed budget); NaN where the table does not tell."""
    remarks: tuple[str, ...] = ()
    """What was left out, and why."""

    @property
    def notes(self) -> dict[str, object]:
        """Size and budget for readers of the values."""
        told: dict[str, object] = {"budget": self.budget, "runs": len(self.runs)}
        sizes = {name: value for name, value in (("N", self.N), ("D", self.D)) if np.isfinite(value)}
        runs = self.runs
        again = repeats_in(runs.languages, runs.p_RL, runs.D_R, runs.unique_RL)
        told |= sizes | ({"repeats": again} if again else {})
        return told | ({"left out": list(self.remarks)} if self.remarks else {})


def coalitions_in(measurements: Measurements) -> Played:
    """The runs that play the largest game that the table holds.

    Payoffs of different model sizes or budgets are those of different games and are never put together: of all pairs
    (N, D) that one is taken at which most coalitions were run, and the largest of several. Tokens may follow the
    coalition: runs of one N whose D is the sum of budgets of their members (budget "own"), or that sum where it is
    below the D of all others (budget "capped"), are one game.

    Raises:
        BadInput: no run plays a coalition.
    """
    played_R = plays_coalition(measurements)
    if not played_R.any():
        raise BadInput(
            "no run plays a coalition: its members have equal shares, or its role is coalition",
            expected="runs of subsets of the languages",
        )
    played = measurements.where(played_R)
    budget, keep_R = max(_games(played), key=lambda game: _worth(played, game[1]))
    runs = played.where(keep_R)
    remarks = []
    if left := len(played) - len(runs):
        remarks.append(f"{left} coalition runs of another size or budget: {_size_words(runs)} is the game")
    runs, diverged = without_diverged(runs)
    inside_RL = runs.p_RL > 0
    whole_R = inside_RL.sum(axis=1) == inside_RL.sum(axis=1).max()
    D = float(runs.D_R[whole_R].max()) if len(runs) else float("nan")
    return Played(runs, inside_RL, budget, float(runs.N_R.max()), D, (*remarks, *diverged))


def repeats_in(
    languages: Sequence[str], p_RL: np.ndarray, D_R: np.ndarray, unique_RL: np.ndarray | None
) -> dict[str, object]:
    """How often coalitions read text again: how many of them read a member more than ``BARE`` times, and which member
    how often at most. Empty where none does, or tokens are not known.

    Args:
        languages: columns [L].
        p_RL: shares.
        D_R: training tokens.
        unique_RL: unique tokens of every language in every run.
    """
    if unique_RL is None:
        return {}
    passes_RL = np.nan_to_num(p_RL * D_R[:, None] / unique_RL)
    if not (often_RL := passes_RL > BARE).any():
        return {}
    run, language = map(int, np.unravel_index(int(passes_RL.argmax()), passes_RL.shape))
    several = len(np.unique(p_RL[often_RL.any(axis=1)] > 0, axis=0))
    return {"coalitions": several, "language": languages[language], "passes": float(passes_RL[run, language])}


def plays_coalition(measurements: Measurements) -> np.ndarray:
    """Whether each run plays a coalition [R]: planned as one, a repeat of one, or of equal shares if none is; and its
    mixture does not change."""
    inside_RL = measurements.p_RL > 0
    planned_R = np.array([role == "coalition" for role in measurements.role_R], dtype=bool)
    equal_RL = inside_RL / inside_RL.sum(axis=1, keepdims=True)
    equal_R = np.abs(measurements.p_RL - equal_RL).max(axis=1) < EQUAL_SHARES
    plays_R = planned_R | (~planned_R.any() & equal_R) | _repeats(measurements, planned_R)
    return np.asarray(plays_R & ~measurements.changes_R, dtype=bool)


def numbers(inside_RL: np.ndarray) -> np.ndarray:
    """Number of every coalition, player l being bit l; at most 62 players."""
    return np.asarray(inside_RL @ (1 << np.arange(inside_RL.shape[1])))


def present(players: Sequence[str], targets: Sequence[str], inside_CL: np.ndarray) -> np.ndarray:
    """Whether a coalition holds the target, [C, T]; never for a target outside the mixture."""
    columns = [
        inside_CL[:, players.index(t)] if t in players else np.zeros(len(inside_CL), dtype=bool) for t in targets
    ]
    return np.column_stack(columns)


def without_diverged(runs: Measurements) -> tuple[Measurements, tuple[str, ...]]:
    """Losses far above all others of their target are left out (NaN), each told with its run and value.

    One diverged coalition moves the values of every language, and its loss says nothing of who was in it. A loss counts
    as diverged where the sorted losses of the target tear: see ``DIVERGED_GAP``. Runs that go on from a trained model
    forget what they do not read, and may tear apart there: only what a run reads tells whether it diverged.
    """
    loss_RT, remarks = runs.loss_RT.copy(), []
    reads_RT = np.ones(loss_RT.shape, dtype=bool)
    if runs.before_T is not None:
        reads_RT = present(runs.languages, runs.targets, runs.p_RL > 0)
    for t, target in enumerate(runs.targets):
        known = np.sort(loss_RT[np.isfinite(loss_RT[:, t]), t])
        few = int(DIVERGED_PART * len(known))
        for last in range(len(known) - 2, len(known) - 2 - few, -1):  # the largest loss that is still sound
            gap, spread = known[last + 1] - known[last], known[last] - known[0]
            if gap > DIVERGED_GAP * spread and gap > DIVERGED_LOSS * known[last]:
                for r in np.flatnonzero((loss_RT[:, t] > known[last]) & reads_RT[:, t]):
                    remarks.append(
                        f"run {runs.runs[r]}, loss of {target}: {loss_RT[r, t]:.4g}, where all others are at most "
                        f"{known[last]:.4g}; it diverged"
                    )
                    loss_RT[r, t] = np.nan
                break
    return replace(runs, loss_RT=loss_RT), tuple(remarks)


def _games(played: Measurements) -> list[tuple[Budget, np.ndarray]]:
    """Every set of rows that is one game: its budget and a mask [R]."""
    found: list[tuple[Budget, np.ndarray]] = []
    for n in np.unique(_levels(played.N_R)):
        same_R = _levels(played.N_R) == n
        if not np.isfinite(played.D_R[same_R]).all():
            found.append(("unknown", same_R))
            continue
        level_R = np.where(same_R, _levels(played.D_R), -1)
        several = [("fixed", level_R == d) for d in np.unique(level_R[same_R])]
        found.extend(several)  # type: ignore[arg-type]
        if len(several) > 1:
            for budget, most in (("own", np.inf), ("capped", float(played.D_R[same_R].max()))):
                if _adds_up(played.where(same_R), most):
                    found.append((budget, same_R))  # type: ignore[arg-type]
                    break
    return found


def _adds_up(runs: Measurements, most: float) -> bool:
    """Whether tokens are the sum of budgets that the members bring, or ``most`` where that is less.

    Where a sum is below ``most``, its members are in coalitions that tell their budgets; any other brings enough.
    """
    inside_RL = (runs.p_RL > 0).astype(float)
    below_R = most > SAME_SIZE * runs.D_R
    budget_L, _ = nnls(inside_RL[below_R] / runs.D_R[below_R, None], np.ones(below_R.sum()))
    budget_L[~inside_RL[below_R].any(axis=0)] = runs.D_R.max() if np.isinf(most) else most
    summed_R = np.minimum(inside_RL @ budget_L, most)
    planned = all(role in ("coalition", "anchor") for role in runs.role_R)
    return bool((np.abs(summed_R / runs.D_R - 1) < (PLANNED_BUDGET if planned else OWN_BUDGET)).all())


def _worth(played: Measurements, keep_R: np.ndarray) -> tuple[int, float, float]:
    """Different coalitions, then size."""
    different = len(np.unique(played.p_RL[keep_R] > 0, axis=0))
    sizes = (np.nan_to_num(x_R[keep_R]).max() for x_R in (played.N_R, played.D_R))
    return (different, *map(float, sizes))  # type: ignore[return-value]


def _levels(x_R: np.ndarray) -> np.ndarray:
    """Numbers of the sizes, NaN being one of them; values within one percent of the least of a level are one."""
    known_R = np.nan_to_num(x_R, nan=-1.0)
    level_R, start, level = np.zeros(len(known_R), dtype=int), -np.inf, -1
    for r in np.argsort(known_R, kind="stable"):
        if not start * SAME_SIZE >= known_R[r] > 0 and known_R[r] != start:
            start, level = known_R[r], level + 1
        level_R[r] = level
    return level_R


def _size_words(runs: Measurements) -> str:
    named = [f"{name} = {x_R.max():.4g}" for name, x_R in (("N", runs.N_R), ("D", runs.D_R)) if np.isfinite(x_R).all()]
    return ", ".join(named) or "the one with most coalitions"


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
