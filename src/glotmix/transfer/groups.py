"""Groups as players: Shapley values between them, Owen values inside.

Where sources are grouped (by domain, by language), groups bargain as wholes and share what they win among members.
Values between groups are those of the game whose players are the groups; a member's Owen value is its part of its
group's. Both are linear in payoffs, and need the coalitions of :func:`glotmix.mixture.groups.coalitions_of_groups`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import factorial

import numpy as np

from glotmix.measurements import Measurements
from glotmix.mixture.groups import Groups, check_groups
from glotmix.transfer.game import Game, members
from glotmix.transfer.matrix import TransferMatrix
from glotmix.transfer.noise import LEVEL
from glotmix.transfer.shapley import weights


def owen_weights(players: Sequence[str], groups: Groups) -> np.ndarray:
    """The linear map W [L, 2^L] from payoffs by coalition number to Owen values.

    ``φ_i = Σ_{H ⊆ groups∖k} Σ_{S ⊆ k∖i} |H|!(m-|H|-1)!/m! · |S|!(b-|S|-1)!/b! · [u(H∪S∪i) - u(H∪S)]`` for a player i
    of group k with b members among m groups. The sum over a group is its Shapley value in the game of groups.
    Source: Owen, Values of games with a priori unions (1977).

    Raises:
        BadInput: a player in no group, in two, or unknown.
    """
    check_groups(players, groups)
    bits = _bits(players, groups)
    W_LC = np.zeros((len(players), 2 ** len(players)))
    m = len(groups)
    for name, group in groups.items():
        others = [bits[other] for other in groups if other != name]
        for i, language in enumerate(group):
            player = players.index(language)
            rest = [1 << players.index(other) for j, other in enumerate(group) if j != i]
            for outer in members(len(others)):
                whole = sum(bit for bit, inside in zip(others, outer, strict=True) if inside)
                outer_weight = factorial(outer.sum()) * factorial(m - outer.sum() - 1) / factorial(m)
                for inner in members(len(rest)):
                    part = whole | sum(bit for bit, inside in zip(rest, inner, strict=True) if inside)
                    b, s = len(group), int(inner.sum())
                    weight = outer_weight * factorial(s) * factorial(b - s - 1) / factorial(b)
                    W_LC[player, part | 1 << player] += weight
                    W_LC[player, part] -= weight
    return W_LC


def between_weights(players: Sequence[str], groups: Groups) -> np.ndarray:
    """The linear map [G, 2^L] from payoffs by coalition number to Shapley values of the groups as players.

    Raises:
        BadInput: as :func:`owen_weights`.
    """
    check_groups(players, groups)
    bits = np.array(list(_bits(players, groups).values()))
    W_GC = np.zeros((len(groups), 2 ** len(players)))
    W_GC[:, members(len(groups)) @ bits] = weights(len(groups))
    return W_GC


def owen(game: Game, groups: Groups, level: float = LEVEL) -> TransferMatrix:
    """Owen value of every player when the groups bargain as wholes.

    Raises:
        BadInput: a player in no group, in two, or unknown.
    """
    W_LC = owen_weights(game.players, groups)
    return game.values(W_LC, "Owen", level, groups=_as_lists(groups))


def between(game: Game, groups: Groups, level: float = LEVEL) -> TransferMatrix:
    """Shapley values of the groups, which are the ``sources`` here: the sums of their members' Owen values.

    Raises:
        BadInput: as :func:`owen`.
    """
    W_GC = between_weights(game.players, groups)
    half_TG = game.half_widths(W_GC, list(groups), level)
    return _matrix(game, groups, (W_GC @ game.payoffs).T, half_TG, level)


def folded(between_groups: TransferMatrix, groups: Groups) -> TransferMatrix:
    """What groups give groups: the mean over the targets of each. Targets in no group stay as they are.

    The half-width of a mean is the mean of the half-widths: where all of them hold at once, so does it.
    """
    inside = {name: [m for m in group if m in between_groups.targets] for name, group in groups.items()}
    grouped = {name for group in inside.values() for name in group}
    rows = {name: group for name, group in inside.items() if group}
    rows |= {target: [target] for target in between_groups.targets if target not in grouped}
    at = {target: t for t, target in enumerate(between_groups.targets)}

    def mean(array: np.ndarray | None) -> np.ndarray | None:
        if array is None:
            return None
        return np.array([np.mean([array[at[target]] for target in group], axis=0) for group in rows.values()])

    value = mean(between_groups.value_TL)
    assert value is not None
    return replace(
        between_groups,
        targets=tuple(rows),
        value_TL=value,
        low_TL=mean(between_groups.low_TL),
        high_TL=mean(between_groups.high_TL),
    )


def summed(values: TransferMatrix, groups: Groups) -> TransferMatrix:
    """Values of groups as the sums of their members'. The half-width of a sum is at most the sum of the half-widths:
    where all of these hold at once, so do the wider ones here."""
    columns = [[values.sources.index(one) for one in group] for group in groups.values()]

    def added(array: np.ndarray) -> np.ndarray:
        return np.column_stack([array[:, places].sum(axis=1) for places in columns])

    value_TG, low_TG, high_TG = added(values.value_TL), None, None
    if values.low_TL is not None and values.high_TL is not None:
        half_TG = added((values.high_TL - values.low_TL) / 2)
        low_TG, high_TG = value_TG - half_TG, value_TG + half_TG
    notes = {**values.notes, "groups": _as_lists(groups)}
    return TransferMatrix(
        values.targets, tuple(groups), value_TG, low_TG, high_TG, values.unit, f"{values.method}, summed", notes
    )


def by_group(measurements: Measurements, groups: Groups) -> Measurements:
    """The same runs with shares of groups in place of their members'."""
    columns = {name: [measurements.languages.index(one) for one in group] for name, group in groups.items()}
    p_RG = np.column_stack([measurements.p_RL[:, places].sum(axis=1) for places in columns.values()])
    return replace(measurements, languages=tuple(groups), p_RL=p_RG, unique_RL=None, phases=None)


def _matrix(
    game: Game, groups: Groups, value_TG: np.ndarray, half_TG: np.ndarray | None, level: float
) -> TransferMatrix:
    notes = {**(game.notes or {}), "groups": _as_lists(groups)}
    low_TG = high_TG = None
    if half_TG is not None:
        low_TG, high_TG = value_TG - half_TG, value_TG + half_TG
        notes["intervals"] = f"all {np.isfinite(half_TG).sum()} hold together with {level:.0%}"
    method = "Shapley between groups"
    return TransferMatrix(game.targets, tuple(groups), value_TG, low_TG, high_TG, game.unit, method, notes)


def _as_lists(groups: Groups) -> dict[str, list[str]]:
    return {name: list(group) for name, group in groups.items()}


def _bits(players: Sequence[str], groups: Groups) -> dict[str, int]:
    return {name: sum(1 << players.index(language) for language in group) for name, group in groups.items()}
