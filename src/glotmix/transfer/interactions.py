"""Beyond single values: pairs of languages."""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial

import numpy as np

from glotmix.errors import BadInput
from glotmix.transfer.game import Game, members
from glotmix.transfer.matrix import TransferMatrix


def interactions(game: Game) -> np.ndarray:
    """Pairwise Shapley interaction index [T, L, L], zero on the diagonal.

    ``I_ij = Σ_{S ∌ i,j} |S|! (n-|S|-2)! / (n-1)! · [u(S∪ij) - u(S∪i) - u(S∪j) + u(S)]``: above zero two languages
    help more together than apart, below zero one stands in for the other. Source: Grabisch & Roubens, An axiomatic
    approach to the concept of interaction among players in cooperative games (1999).
    """
    n = len(game.players)
    W_KC, (i_K, j_K) = pair_weights(n), np.tril_indices(n, -1)
    index_TLL = np.zeros((len(game.targets), n, n))
    index_TLL[:, i_K, j_K] = index_TLL[:, j_K, i_K] = (W_KC @ game.payoff_CT).T
    return index_TLL


def interactions_for(game: Game, target: str) -> TransferMatrix:
    """The index for one target, languages against languages, with intervals that hold for all pairs at once.

    Raises:
        BadInput: an unknown target.
    """
    if target not in game.targets:
        raise BadInput(f"no target {target}", where="--interactions", expected=", ".join(game.targets))
    n, t = len(game.players), game.targets.index(target)
    index_LL = interactions(game)[t]
    half_TK, low_LL, high_LL = game.half_widths(pair_weights(n), _pairs(game.players)), None, None
    if half_TK is not None and np.isfinite(half_TK[t]).all():
        half_LL = _square(n, half_TK[t])
        low_LL, high_LL = index_LL - half_LL, index_LL + half_LL
    method = f"pairwise Shapley interactions for {target}"
    notes = dict(game.notes or {})
    return TransferMatrix(game.players, game.players, index_LL, low_LL, high_LL, game.unit, method, notes)


def mean_interactions(game: Game, targets: Sequence[str]) -> TransferMatrix:
    """The mean of the index over some targets, languages against languages, with intervals that hold for all pairs at
    once; without them where the noise of one of these targets is not known."""
    n = len(game.players)
    index_LL = interactions(game)[[game.targets.index(target) for target in targets]].mean(axis=0)
    low_LL = high_LL = None
    if game.errors is not None:
        half_K = game.errors.half_widths_of_mean(pair_weights(n), game.targets, _pairs(game.players), targets)
        if np.isfinite(half_K).all():
            half_LL = _square(n, half_K)
            low_LL, high_LL = index_LL - half_LL, index_LL + half_LL
    method = f"pairwise Shapley interactions, mean over {len(targets)} targets"
    return TransferMatrix(
        game.players, game.players, index_LL, low_LL, high_LL, game.unit, method, dict(game.notes or {})
    )


def _pairs(players: tuple[str, ...]) -> list[str]:
    """Names of the pairs, ordered as ``np.tril_indices``; the same whatever the order of the players."""
    i_K, j_K = np.tril_indices(len(players), -1)
    return ["+".join(sorted((players[i], players[j]))) for i, j in zip(i_K, j_K, strict=True)]


def _square(n: int, value_K: np.ndarray) -> np.ndarray:
    """Values of pairs as a symmetric matrix, zero on the diagonal."""
    square_LL, (i_K, j_K) = np.zeros((n, n)), np.tril_indices(n, -1)
    square_LL[i_K, j_K] = square_LL[j_K, i_K] = value_K
    return square_LL


def pair_weights(n: int) -> np.ndarray:
    """The linear map [n (n-1) / 2, 2^n] from payoffs to the index of every pair, ordered as ``np.tril_indices``."""
    in_CL = members(n)
    size_C, number_C = in_CL.sum(axis=1), np.arange(2**n)
    weight_S = np.array([factorial(s) * factorial(n - s - 2) / factorial(n - 1) for s in range(n - 1)])
    rows = []
    for i, j in zip(*np.tril_indices(n, -1), strict=True):
        without_C = number_C[~in_CL[:, i] & ~in_CL[:, j]]
        row_C = np.zeros(2**n)
        for more, sign in ((0, 1), (1 << int(i), -1), (1 << int(j), -1), (1 << int(i) | 1 << int(j), 1)):
            row_C[without_C | more] += sign * weight_S[size_C[without_C]]
        rows.append(row_C)
    return np.array(rows).reshape(-1, 2**n)
