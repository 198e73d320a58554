"""Shapley values of a game: exact from a complete table."""

from __future__ import annotations

from math import factorial

import numpy as np

from glotmix.transfer.game import Game, members
from glotmix.transfer.matrix import TransferMatrix
from glotmix.transfer.noise import LEVEL


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


def exact(game: Game, level: float = LEVEL) -> TransferMatrix:
    """Shapley value φ_{l→t} of every language for every target, in the unit of the loss.

    Values are linear in the payoffs, so their errors follow from those of the payoffs. The intervals hold all at once
    with probability ``level``: with no transfer at all, at most one matrix in twenty shows any.
    """
    return game.values(weights(len(game.players)), "exact Shapley", level)
