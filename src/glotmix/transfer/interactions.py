"""Beyond single values: pairs of languages."""

from __future__ import annotations

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
    index_LL, half_LL = interactions(game)[t], np.zeros((n, n))
    i_K, j_K = np.tril_indices(n, -1)
    labels = ["+".join(sorted((game.players[i], game.players[j]))) for i, j in zip(i_K, j_K, strict=True)]
    half_TK, low_LL, high_LL = game.half_widths(pair_weights(n), labels), None, None
    if half_TK is not None and np.isfinite(half_TK[t]).all():
        half_LL[i_K, j_K] = half_LL[j_K, i_K] = half_TK[t]
        low_LL, high_LL = index_LL - half_LL, index_LL + half_LL
    method = f"pairwise Shapley interactions for {target}"
    notes = dict(game.notes or {})
    return TransferMatrix(game.players, game.players, index_LL, low_LL, high_LL, game.unit, method, notes)


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
