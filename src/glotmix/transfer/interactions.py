"""Beyond single values: pairs of languages, and groups of them as players."""

from __future__ import annotations

from collections.abc import Mapping
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


def owen(game: Game, groups: Mapping[str, tuple[str, ...]]) -> TransferMatrix:
    """Owen value of every language when the groups (families) bargain as wholes.

    ``φ_i = Σ_{H ⊆ groups∖k} Σ_{S ⊆ k∖i} |H|!(m-|H|-1)!/m! · |S|!(b-|S|-1)!/b! · [u(H∪S∪i) - u(H∪S)]`` for a language i
    of group k with b members among m groups. The sum over a group is its Shapley value in the game of groups.
    Source: Owen, Values of games with a priori unions (1977).

    Raises:
        BadInput: a language in no group, in two, or unknown.
    """
    named = [language for members_ in groups.values() for language in members_]
    if sorted(named) != sorted(game.players):
        odd = sorted(set(named) ^ set(game.players)) or sorted({name for name in named if named.count(name) > 1})
        raise BadInput(f"{', '.join(odd)} not in exactly one group", where="groups", expected=", ".join(game.players))
    bits = {name: sum(1 << game.players.index(language) for language in group) for name, group in groups.items()}
    W_LC = np.zeros((len(game.players), 2 ** len(game.players)))
    m = len(groups)
    for name, group in groups.items():
        others = [bits[other] for other in groups if other != name]
        for i, language in enumerate(group):
            player = game.players.index(language)
            rest = [1 << game.players.index(other) for j, other in enumerate(group) if j != i]
            for outer in members(len(others)):
                whole = sum(bit for bit, inside in zip(others, outer, strict=True) if inside)
                outer_weight = factorial(outer.sum()) * factorial(m - outer.sum() - 1) / factorial(m)
                for inner in members(len(rest)):
                    part = whole | sum(bit for bit, inside in zip(rest, inner, strict=True) if inside)
                    b, s = len(group), int(inner.sum())
                    weight = outer_weight * factorial(s) * factorial(b - s - 1) / factorial(b)
                    W_LC[player, part | 1 << player] += weight
                    W_LC[player, part] -= weight
    return game.values(W_LC, "Owen", groups={name: list(group) for name, group in groups.items()})
