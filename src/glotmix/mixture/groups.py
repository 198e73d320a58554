"""Groups of sources (domains, languages, families), and the coalitions that a game of groups is played by."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from glotmix.errors import BadInput

Groups = Mapping[str, tuple[str, ...]]
"""Name to members; every player is in exactly one."""
MOST_PLAYERS = 12
"""Sources of whose coalitions a model of the game can be written out; of more, groups have values and members none."""


def check_groups(players: Sequence[str], groups: Groups) -> None:
    """Every player is in exactly one group.

    Raises:
        BadInput: a player in no group, in two, or unknown.
    """
    named = [player for group in groups.values() for player in group]
    if sorted(named) != sorted(players):
        odd = sorted(set(named) ^ set(players)) or sorted({name for name in named if named.count(name) > 1})
        raise BadInput(f"{', '.join(odd)} not in exactly one group", where="groups", expected=", ".join(players))


def coalitions_of_groups(players: Sequence[str], groups: Groups, *, parts: bool = True) -> list[tuple[str, ...]]:
    """Coalitions of whole groups, with a part of one more; the smallest first, each in the order of the players.

    These are all that Owen values depend on (:func:`glotmix.transfer.groups.owen_weights`): with G groups of b members
    each ``2^G - 1 + G 2^(G-1) (2^b - 2)``, of the ``2^(G b) - 1`` that there are.

    Args:
        players: sources.
        groups: each player in one of them.
        parts: whether coalitions with a part of a group are wanted, or whole groups alone.

    Raises:
        BadInput: as :func:`check_groups`; or parts of groups of more than ``MOST_PLAYERS``.
    """
    check_groups(players, groups)
    if parts and len(players) > MOST_PLAYERS:
        raise BadInput(
            f"values inside groups of {len(players)} sources",
            where="design.coalitions",
            expected=f"between, which takes groups whole, or at most {MOST_PLAYERS} sources",
        )
    found: set[tuple[str, ...]] = set()
    for name, group in groups.items():
        others = [members for other, members in groups.items() if other != name]
        inner = list(_subsets(group)) if parts else [(), tuple(group)]
        for outer in _subsets(others):
            whole = {player for members in outer for player in members}
            found |= {tuple(player for player in players if player in whole or player in part) for part in inner}
    place = {player: i for i, player in enumerate(players)}
    return sorted(found - {()}, key=lambda one: (len(one), [place[player] for player in one]))


def spread_over_groups(players: Sequence[str], groups: Groups, count: int, rng: np.random.Generator) -> np.ndarray:
    """Some of the coalitions of groups, from which a model of the game tells the others, booleans [count, n].

    Everybody, every player alone, every group alone; then those that are least like the ones chosen: with the least
    ``Σ exp(3 - 6 d/n)`` over them, d the number of players in which two differ.
    """
    n = len(players)
    inside_CL = np.array([[player in one for player in players] for one in coalitions_of_groups(players, groups)])
    first = [tuple(players), *((player,) for player in players), *groups.values()]
    wanted = [np.isin(players, one) for one in dict.fromkeys(tuple(one) for one in first)]
    chosen = [row for row in wanted if (inside_CL == row).all(axis=1).any()][:count]
    pool_CL = inside_CL[rng.permutation(len(inside_CL))]
    pool_CL = pool_CL[[not any(np.array_equal(row, one) for one in chosen) for row in pool_CL]]
    sign_CL = 2.0 * pool_CL - 1
    likeness_C = sum((np.exp(3 * (sign_CL @ (2.0 * one - 1)) / n) for one in chosen), np.zeros(len(pool_CL)))
    while len(chosen) < count and np.isfinite(likeness_C).any():
        place = int(np.argmin(likeness_C))
        likeness_C = likeness_C + np.exp(3 * (sign_CL @ sign_CL[place]) / n)
        likeness_C[place] = np.inf
        chosen.append(pool_CL[place])
    return np.array(chosen)


def _subsets(items: Sequence[object]) -> itertools.chain:  # type: ignore[type-arg]
    return itertools.chain.from_iterable(itertools.combinations(items, size) for size in range(len(items) + 1))
