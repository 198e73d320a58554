"""Shapley values of a game: exact from a complete table."""

from __future__ import annotations

from math import factorial

import numpy as np

from glotmix.transfer.game import Game, members
from glotmix.transfer.matrix import TransferMatrix


def weights(n: int) -> np.ndarray:
    """The linear map W [n, 2^n] from payoffs by coalition number to Shapley values.

    ``φ_i = Σ_{S ∌ i} |S|! (n-|S|-1)! / n! · [u(S ∪ i) - u(S)]`` (Shapley 1953), collected by coalition: u(S) counts
    ``+(s-1)! (n-s)! / n!`` for members and ``-s! (n-s-1)! / n!`` for the others, with s = |S|.
    """
    in_CL = members(n)
    size_C = in_CL.sum(axis=1)
    inside = [factorial(s - 1) * factorial(n - s) / factorial(n) if s else 0.0 for s in range(n + 1)]
    outside = [factorial(s) * factorial(n - s - 1) / factorial(n) if s < n else 0.0 for s in range(n + 1)]
    W_CL = np.where(in_CL, np.array(inside)[size_C, None], -np.array(outside)[size_C, None])
    return W_CL.T


def exact(game: Game) -> TransferMatrix:
    """Shapley value φ_{l→t} of every language for every target, in the unit of the loss.

    Values are linear in the payoffs, so their intervals follow from the variances of the payoffs without sampling:
    ``Var φ_i = Σ_S W_iS² Var u(S)`` (runs are independent), times Student's quantile.
    """
    W_LC = weights(len(game.players))
    value_TL = (W_LC @ game.payoff_CT).T
    low_TL = high_TL = None
    if game.variance_CT is not None:
        spread_TL = game.quantile * np.sqrt((W_LC**2 @ game.variance_CT).T)
        low_TL, high_TL = value_TL - spread_TL, value_TL + spread_TL
    notes = dict(game.notes or {})
    return TransferMatrix(game.targets, game.players, value_TL, low_TL, high_TL, "bpb", "exact Shapley", notes)
