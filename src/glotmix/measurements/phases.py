"""From the columns of phases to phases: every run has some, or one mixture from start to end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from glotmix.measurements.draft import Draft
from glotmix.measurements.roles import LENGTH, RATE
from glotmix.mixture.phases import MOST_PHASES, Phases

AVERAGE_TOLERANCE = 0.025
"""How far ``p/<group>`` may be from the average of the phases, as rounded as shares are."""
AsShares = Callable[[np.ndarray, Sequence[str], Sequence[str], bool, str], tuple[np.ndarray, list[str], list[str]]]
"""Rows of shares as rows that sum to one, with remarks and faults (:func:`~glotmix.measurements.checks.as_shares`)."""


def phases_of(draft: Draft, as_shares: AsShares, what: str = "run") -> tuple[Phases | None, list[str], list[str]]:
    """Phases of a table, remarks, and faults; where runs have phases, ``draft.shares`` become their averages.

    A run has a phase where it has shares of it. A run without any has its ``p/<group>`` from start to end. What is
    left in ``draft.shares`` are shares of one, not of 100.
    """
    if not draft.phases:
        return None, [], []
    numbers, languages = sorted(draft.phases), list(draft.shares)
    if numbers != list(range(1, len(numbers) + 1)) or not 2 <= len(numbers) <= MOST_PHASES:
        these = ", ".join(f"phase{number}" for number in numbers)
        return None, [], [f"columns of {these} (expected phase1, phase2, … up to phase{MOST_PHASES})"]
    R, K = len(draft.names), len(numbers)
    p_RKL, length_RK, rate_RK = np.full((R, K, len(languages)), np.nan), np.zeros((R, K)), np.ones((R, K))
    for k, number in enumerate(numbers):
        phase = draft.phases[number]
        for l, language in enumerate(languages):  # noqa: E741 - the language, as everywhere
            p_RKL[:, k, l] = phase.shares.get(language, np.nan)
        length_RK[:, k] = phase.sizes.get(LENGTH, np.nan)
        rate_RK[:, k] = phase.sizes.get(RATE, np.nan)
    there_RK = np.isfinite(p_RKL).any(axis=2)
    several_R = there_RK.any(axis=1)
    faults = _faults(draft.names, there_RK, length_RK, rate_RK, what)
    remarks: list[str] = []
    constant_RL = np.column_stack(list(draft.shares.values()))
    parts = [(p_RKL[:, k], there_RK[:, k], f", phase {number}") for k, number in enumerate(numbers)]
    for p_RL, rows_R, of in [*parts, (constant_RL, ~several_R, "")]:
        named = [draft.names[r] + of for r in np.flatnonzero(rows_R).tolist()]
        p_RL[rows_R], told, wrong = as_shares(p_RL[rows_R], named, languages, draft.percent, what)
        remarks, faults = [*remarks, *told], [*faults, *wrong]
    sound_R = (~there_RK | (length_RK > 0)).all(axis=1)
    length_RK = np.where(there_RK & sound_R[:, None], length_RK, 0.0)
    length_RK /= np.where(several_R & sound_R, length_RK.sum(axis=1), 1.0)[:, None]
    average_RL = np.einsum("rk,rkl->rl", length_RK, np.where(there_RK[:, :, None], p_RKL, 0.0))
    for r in np.flatnonzero(several_R & sound_R & np.isfinite(constant_RL).any(axis=1)).tolist():
        off_L = np.abs(np.nan_to_num(constant_RL[r]) / max(np.nansum(constant_RL[r]), 1e-300) - average_RL[r])
        if off_L.max() > AVERAGE_TOLERANCE:
            l = int(off_L.argmax())  # noqa: E741
            share = f"p/{languages[l]} is {constant_RL[r, l]:g}"
            faults.append(f"{what} {draft.names[r]}: {share} (expected the phases' average, {average_RL[r, l]:.4g})")
    if faults:
        return None, remarks, faults
    average_RL = np.where(several_R[:, None], average_RL, constant_RL)
    draft.shares, draft.percent = dict(zip(languages, average_RL.T, strict=True)), False
    p_RKL = np.where(there_RK[:, :, None], p_RKL, average_RL[:, None])
    length_RK = np.where(several_R[:, None], length_RK, np.eye(K)[:1])
    rate_RK = np.where(np.isfinite(rate_RK), rate_RK, 1.0)
    return Phases(p_RKL, length_RK, rate_RK), remarks, faults


def _faults(
    names: Sequence[str], there_RK: np.ndarray, length_RK: np.ndarray, rate_RK: np.ndarray, what: str
) -> list[str]:
    faults = []
    for r, k in np.argwhere(there_RK & ~(length_RK > 0)).tolist():
        x = length_RK[r, k]
        told = "no number" if np.isnan(x) else f"{x:g}"
        faults.append(f"{what} {names[r]}: phase{k + 1}/tokens is {told} (expected the phase's tokens, or their share)")
    for r, k in np.argwhere(there_RK & (rate_RK <= 0)).tolist():
        faults.append(f"{what} {names[r]}: phase{k + 1}/lr is {rate_RK[r, k]:g} (expected above 0)")
    some_R = (there_RK & np.isnan(rate_RK)).any(axis=1) & (there_RK & (rate_RK > 0)).any(axis=1)
    for r in np.flatnonzero(some_R).tolist():
        faults.append(f"{what} {names[r]}: a mean learning rate of some phases alone (expected of all, or of none)")
    return faults
