"""Shapley values of a table of runs: exact where it holds every coalition, estimated where it does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from glotmix.errors import BadInput
from glotmix.measurements import Measurements
from glotmix.mixture.groups import MOST_PLAYERS, Groups
from glotmix.transfer.coalitions import Played, coalitions_in, present
from glotmix.transfer.estimate import Payoff, SampledValues
from glotmix.transfer.game import (
    check_empty,
    empty_losses,
    empty_notes,
    empty_weights,
    game_from,
)
from glotmix.transfer.groups import owen_weights
from glotmix.transfer.matrix import TransferMatrix
from glotmix.transfer.noise import LEVEL, largest_of_blocks, noise_of
from glotmix.transfer.shapley import exact
from glotmix.transfer.surrogate import MOST_MODELLED, adjusted, surrogate

PriorAt = Callable[[float, float, Mapping[str, float]], Payoff]
"""From N, D and the losses of the empty coalition to the payoffs that a fitted law predicts there."""


def values_of_runs(measurements: Measurements, empty_loss: Mapping[str, float | None]) -> TransferMatrix:
    """Exact values of every target that has a loss in every coalition; the others' are estimated from those they have.

    A blank cell, or a run that diverged, takes one coalition from one target; the other targets lose nothing by it.

    Raises:
        BadInput: a coalition was run for no target (:func:`estimated` needs fewer), or too few are left for one.
    """
    check_empty(empty_loss, measurements.targets)
    whole, some = _complete_targets(measurements)
    if not some:
        return exact(game_from(measurements, empty_loss))
    if not whole:
        return estimated(measurements, empty_loss)
    parts = []
    for targets in (whole, some):
        level = 1 - (1 - LEVEL) * len(targets) / len(measurements.targets)
        few, empty = _only(measurements, targets), {target: empty_loss[target] for target in targets}
        if targets is whole:
            parts.append(exact(game_from(few, empty), level))
        else:
            parts.append(estimated(few, empty, level=level))
    return _together(measurements.targets, parts, some)


def values_for_laws(measurements: Measurements) -> TransferMatrix:
    """Values for laws that use them: exact where every coalition was run, else estimated.

    Laws use differences between the values of a target alone, on which the loss of the empty coalition has no bearing.

    Raises:
        BadInput: too few coalitions.
    """
    empty = dict.fromkeys(measurements.targets)
    try:
        return values_of_runs(measurements, empty)
    except BadInput:
        return estimated(measurements, empty)


def estimated(
    measurements: Measurements,
    empty_loss: Mapping[str, float | None],
    seed: int = 0,
    prior: PriorAt | None = None,
    level: float = LEVEL,
    groups: Groups | None = None,
) -> TransferMatrix:
    """Shapley values from a table in which not every coalition was run.

    Up to ``MOST_MODELLED`` languages by :func:`~glotmix.transfer.surrogate.surrogate`, with intervals that hold all at
    once; beyond, the saturating curve's values by antithetic permutations (its payoffs cost nothing) plus KernelSHAP of
    what the curve leaves over, without intervals. ``method`` says which.

    Args:
        measurements: runs, among them coalitions as :func:`glotmix.transfer.game.game_from` understands them.
        empty_loss: target to the loss of a model that was trained on nothing; None takes it from the table.
        seed: of the permutations.
        prior: payoffs of a fitted law at the size of the runs, which take the curve's place (*law-adjusted* values).
        level: probability with which all intervals hold.
        groups: groups that bargain as wholes: Owen values in place of Shapley values.

    Raises:
        BadInput: fewer coalitions than languages, or (beyond ``MOST_MODELLED``) too few to tell all values, or groups.
    """
    check_empty(empty_loss, measurements.targets)
    played = coalitions_in(measurements)
    targets, players, n = measurements.targets, measurements.languages, len(measurements.languages)
    inside_RL, loss_RT = played.inside_RL, played.runs.loss_RT
    _check_enough(played, n)
    weight_TR = empty_weights(players, targets, inside_RL, np.isfinite(loss_RT), empty_loss)
    empty_T = empty_losses(targets, empty_loss, weight_TR, loss_RT)
    payoff_RT = empty_T - loss_RT
    payoffs = None
    if prior is not None:
        payoffs = prior(played.N, played.D, dict(zip(targets, empty_T.tolist(), strict=True)))
    notes = played.notes | empty_notes(targets, empty_loss, empty_T)
    notes |= {"coalitions": len(np.unique(inside_RL, axis=0)), "runs": len(inside_RL)}
    if n <= MOST_MODELLED:
        taken_T = None if weight_TR is None else (weight_TR > 0).sum(axis=1)
        found = surrogate(
            inside_RL,
            payoff_RT,
            payoffs,
            noise_RT=_relative_noise(played),
            empty_runs_T=taken_T,
            W_LC=None if groups is None else owen_weights(players, groups),
        )
        kind = "Shapley" if groups is None else "Owen"
        method = f"{kind}, estimated from a model of the game" if prior is None else f"{kind}, law-adjusted"
    else:
        if groups is not None:
            raise BadInput(f"Owen values of {n} sources", expected=f"at most {MOST_MODELLED}, or no groups")
        if not np.isfinite(payoff_RT).all():
            raise BadInput(
                f"losses that are missing, among more than {MOST_MODELLED} languages", expected="all of them"
            )
        found = adjusted(inside_RL, payoff_RT, np.random.default_rng(seed), payoffs)
        method = "Shapley, regression-adjusted"
    half_TL = _half_widths(found, targets, players, level)
    low_TL = high_TL = None
    if half_TL is not None:
        low_TL, high_TL = found.value_TL - half_TL, found.value_TL + half_TL
        notes["intervals"] = f"all {half_TL.size} hold together with {level:.0%}"
    return TransferMatrix(targets, players, found.value_TL, low_TL, high_TL, measurements.gain_unit, method, notes)


def _relative_noise(played: Played) -> np.ndarray | None:
    """How noisy every loss is beside the target's others, where repeats tell it with and without the target."""
    runs = played.runs
    present_RT = present(runs.languages, runs.targets, played.inside_RL)
    _, coalition_R = np.unique(played.inside_RL, axis=0, return_inverse=True)
    noise = noise_of(runs.loss_RT, coalition_R, present_RT)
    deviation_RT = noise.deviation_TK[np.arange(len(runs.targets)), present_RT.astype(int)] * runs.loss_RT
    if not (noise.deviation_TK > 0).all():
        return None
    return np.asarray(deviation_RT / np.nanmean(deviation_RT, axis=0))


def _half_widths(
    found: SampledValues, targets: tuple[str, ...], players: tuple[str, ...], level: float
) -> np.ndarray | None:
    """Simultaneous, targets taken as independent of each other."""
    if found.covariance_TLL is None or found.freedom_T is None:
        return None
    t_T, l_L = (np.argsort(np.array(names, dtype=object)) for names in (targets, players))
    block_TLL = found.covariance_TLL[np.ix_(t_T, l_L, l_L)]
    covariance_VV = np.zeros((block_TLL.shape[0] * block_TLL.shape[1],) * 2)
    for t, block_LL in enumerate(block_TLL):
        at = slice(t * len(block_LL), (t + 1) * len(block_LL))
        covariance_VV[at, at] = block_LL
    return np.asarray(largest_of_blocks(covariance_VV, found.freedom_T[t_T], level) * found.deviation_TL)


def _check_enough(played: Played, n: int) -> None:
    least = min(n + 1, 2**n - 1)
    for t, target in enumerate(played.runs.targets):
        different = len(np.unique(played.inside_RL[np.isfinite(played.runs.loss_RT[:, t])], axis=0))
        if different < least:
            told = "".join(f"; left out: {remark}" for remark in played.remarks)
            raise BadInput(f"{different} coalitions of {n} languages for {target}{told}", expected=f"at least {least}")


def _complete_targets(measurements: Measurements) -> tuple[list[str], list[str]]:
    """Targets that have a loss in every coalition that was run, and the others; all are the first if one was not."""
    n = len(measurements.languages)
    played = coalitions_in(measurements)
    if n > MOST_PLAYERS or len(np.unique(played.inside_RL, axis=0)) < 2**n - 1:
        return list(measurements.targets), []
    whole: list[str] = []
    some: list[str] = []
    for t, target in enumerate(measurements.targets):
        known_RL = played.inside_RL[np.isfinite(played.runs.loss_RT[:, t])]
        (whole if len(np.unique(known_RL, axis=0)) == 2**n - 1 else some).append(target)
    return whole, some


def _only(measurements: Measurements, targets: list[str]) -> Measurements:
    columns = [measurements.targets.index(target) for target in targets]
    return replace(measurements, targets=tuple(targets), loss_RT=measurements.loss_RT[:, columns])


def _together(targets: tuple[str, ...], parts: list[TransferMatrix], estimated_for: list[str]) -> TransferMatrix:
    """Rows of several matrices in the order of the targets."""
    row_of = {target: (part, i) for part in parts for i, target in enumerate(part.targets)}

    def rows(name: str) -> np.ndarray:
        found = []
        for target in targets:
            part, i = row_of[target]
            grid = getattr(part, name)
            found.append(np.full(len(part.sources), np.nan) if grid is None else grid[i])
        return np.array(found)

    low_TL, high_TL = rows("low_TL"), rows("high_TL")
    known = bool(np.isfinite(low_TL).any())
    first, second = parts
    left = list(dict.fromkeys([*first.notes.get("left out", []), *second.notes.get("left out", [])]))
    losses = {**first.notes["empty_loss"], **second.notes["empty_loss"]}
    losses = {target: losses[target] for target in targets}
    notes = {**second.notes, **first.notes, "empty_loss": losses} | ({"left out": left} if left else {})
    notes.pop("coalitions", None)
    if known:
        notes["intervals"] = f"all {np.isfinite(low_TL).sum()} hold together with at least {LEVEL:.0%}"
    method = f"exact Shapley; estimated from a model of the game for {', '.join(estimated_for)}"
    matrix = TransferMatrix(targets, first.sources, rows("value_TL"), None, None, first.unit, method, notes)
    return replace(matrix, low_TL=low_TL, high_TL=high_TL) if known else matrix
