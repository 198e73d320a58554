"""From a draft to measurements: every fault is told at once, and what looks odd is remarked upon."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glotmix.errors import BadInput
from glotmix.measurements.draft import Draft
from glotmix.measurements.phases import phases_of
from glotmix.measurements.runs import Measurements
from glotmix.measurements.scores import DeclaredScores, as_errors
from glotmix.wording import counted, listed

SHARE_TOLERANCE = 0.025
"""Published tables print shares rounded to three digits (RegMix's sum to 0.996–1.003, one of Data Mixing Laws' to
1.0199), so an imported row may sum to within this of one; it is divided by its sum."""
SUM_TOLD = 0.005
"""Shares that miss one by more than rounding does are remarked upon."""
LEAST_N, LEAST_D = 1e4, 1e5
"""Parameters and tokens below which a column must be in another unit: no model is that small."""
OTHER_UNIT = 5.0
"""A target whose losses are typically so many times those of the others, or a part of them, is in another unit."""
MOST_FAULTS = 8
"""Faults told at once."""


def checked(draft: Draft, *, study: bool = False, scores: DeclaredScores | None = None) -> Measurements:
    """Measurements of a draft.

    Args:
        draft: rows of a table.
        scores: what is said of targets that are scores.
        study: whether glotmix wrote it, so that nothing needs a remark.

    Raises:
        BadInput: naming the file and every fault.
    """
    draft.meet()
    draft.last_steps()
    if not draft.names:
        raise BadInput("no runs in the table", where=None if study else draft.where)
    faults, remarks = list(draft.faults), list(draft.remarks)
    languages, targets = tuple(draft.shares), tuple(draft.losses)
    phases, told, wrong = phases_of(draft, as_shares)
    remarks, faults = [*remarks, *told], [*faults, *wrong]
    p_RL = np.column_stack(list(draft.shares.values()))
    share_remarks: list[str] = []
    share_faults: list[str] = []
    if not wrong:  # else shares were looked at phase by phase, and runs of phases have no others
        p_RL, share_remarks, share_faults = as_shares(p_RL, draft.names, list(languages), draft.percent)
    scored, told, wrong = as_errors(draft, scores or DeclaredScores(), study=study)
    remarks, faults = [*remarks, *told], [*faults, *wrong]
    loss_RT = np.column_stack(list(draft.losses.values()))
    faults += [*share_faults, *_losses_at_most_zero(draft, loss_RT), *_sizes_at_most_zero(draft)]
    if not study:
        faults += _targets_without_losses(loss_RT, targets)
    seed_R = np.nan_to_num(draft.sizes.get("seed", np.zeros(len(draft.names)))).astype(int)  # a blank one is told above
    names, twice = _told_apart(draft, seed_R)
    faults += twice
    if faults:
        shown = [*faults[:MOST_FAULTS], *([f"{len(faults) - MOST_FAULTS} more"] if len(faults) > MOST_FAULTS else [])]
        raise BadInput("; ".join(shown), where=None if study else draft.where)
    unique_RL = None
    if draft.unique and all(language in draft.unique for language in languages):
        unique_RL = np.column_stack([draft.unique[language] for language in languages])
    unknown = np.full(len(names), np.nan)
    found = Measurements(
        tuple(names),
        languages,
        targets,
        p_RL,
        loss_RT,
        draft.sizes.get("N", unknown),
        draft.sizes.get("D", unknown),
        seed_R,
        tuple(draft.roles) if draft.roles is not None else ("",) * len(names),
        unique_RL,
        draft.unit,
        phases=None if phases is None or not phases.differ_R.any() else phases,
        scored=scored,
    )
    if study:
        return found
    remarks += share_remarks
    found, told = _with_losses(found)
    found, copies = _without_copies(found)
    remarks += [*told, *copies, *_never_varied(found), *_units_of_sizes(found), *_units_of_targets(found)]
    return Measurements(**{**vars(found), "remarks": tuple(dict.fromkeys(remarks))})


def as_shares(
    p_RL: np.ndarray, names: Sequence[str], languages: Sequence[str], percent: bool = False, what: str = "run"
) -> tuple[np.ndarray, list[str], list[str]]:
    """Shares that sum to one, remarks, and faults; an empty cell of a row that is whole without it is a share of 0."""
    faults, remarks = [], []
    blank_RL = ~np.isfinite(p_RL)
    p_RL = np.where(blank_RL, 0.0, p_RL)
    sum_R = p_RL.sum(axis=1)
    whole = 100.0 if percent or (np.abs(sum_R - 100) <= 100 * SHARE_TOLERANCE).all() else 1.0
    sum_R, p_RL = sum_R / whole, p_RL / whole
    if whole == 100:
        remarks.append("shares are percentages, divided by 100")
    off_R = np.abs(sum_R - 1) > SHARE_TOLERANCE
    for r in np.flatnonzero((p_RL < 0).any(axis=1)).tolist():
        l = int(np.argmin(p_RL[r]))  # noqa: E741 - the language, as everywhere
        faults.append(f"{what} {names[r]}: p/{languages[l]} is {p_RL[r, l]:g} (expected at least 0)")
    for r in np.flatnonzero(off_R & ~(p_RL < 0).any(axis=1)).tolist():
        empty = [languages[i] for i in np.flatnonzero(blank_RL[r]).tolist()]
        why = f", and p/{listed(empty)} has no number (expected a finite number)" if empty else " (expected 1)"
        faults.append(f"{what} {names[r]}: shares sum to {sum_R[r]:.4f}{why}")
    if not faults and blank_RL.any():
        remarks.append(f"{counted(int(blank_RL.sum()), 'empty share')} in rows that sum to 1 without it: read as 0")
    told_R = ~off_R & (np.abs(sum_R - 1) > SUM_TOLD)
    if told_R.any():
        ends = f"{sum_R[told_R].min():.3f}", f"{sum_R[told_R].max():.3f}"
        between = ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
        remarks.append(
            f"shares of {counted(int(told_R.sum()), what)} sum to {between} and are divided by their sum "
            "(is a group missing?)"
        )
    return p_RL / np.where(sum_R > 0, sum_R, 1)[:, None], remarks, faults


def _losses_at_most_zero(draft: Draft, loss_RT: np.ndarray) -> list[str]:
    targets = list(draft.losses)
    return [
        f"run {draft.names[r]}: loss/{targets[t]} is {loss_RT[r, t]:g} (expected above 0)"
        for r, t in np.argwhere(loss_RT <= 0)
    ]


def _sizes_at_most_zero(draft: Draft) -> list[str]:
    faults = []
    for name in ("N", "D"):
        if name in draft.sizes:
            bad = np.flatnonzero(draft.sizes[name] <= 0)
            faults += [f"run {draft.names[r]}: {name} is {draft.sizes[name][r]:g} (expected above 0)" for r in bad]
    return faults


def _targets_without_losses(loss_RT: np.ndarray, targets: Sequence[str]) -> list[str]:
    empty = [target for target, column in zip(targets, loss_RT.T, strict=True) if not np.isfinite(column).any()]
    return [f"column loss/{target}: no number in it" for target in empty]


def _told_apart(draft: Draft, seed_R: np.ndarray) -> tuple[list[str], list[str]]:
    """Names of runs, with the seed where one name stands for several; and rows that nothing tells apart."""
    tokens_R = np.nan_to_num(draft.sizes.get("D", np.zeros(len(draft.names))), nan=-1.0)
    parameters_R = np.nan_to_num(draft.sizes.get("N", np.zeros(len(draft.names))), nan=-1.0)
    kinds: dict[str, set[tuple[int, float]]] = {}
    for name, seed, N in zip(draft.names, seed_R.tolist(), parameters_R.tolist(), strict=True):
        kinds.setdefault(name, set()).add((seed, N))
    names = []
    for name, seed, N in zip(draft.names, seed_R.tolist(), parameters_R.tolist(), strict=True):
        seeds, sizes = ({kind[i] for kind in kinds[name]} for i in (0, 1))
        names.append(name + (f" N={N:g}" if len(sizes) > 1 else "") + (f" seed={seed}" if len(seeds) > 1 else ""))
    seen, faults = set(), []
    for name, tokens in zip(names, tokens_R.tolist(), strict=True):
        if (name, tokens) in seen:
            faults.append(f"run {name} is listed twice (expected one row per run, or per run and D)")
        seen.add((name, tokens))
    return names, list(dict.fromkeys(faults))


def _with_losses(found: Measurements) -> tuple[Measurements, list[str]]:
    """Missing losses are named and counted; a run without any is left out."""
    remarks = []
    loss_RT = np.where(np.isfinite(found.loss_RT), found.loss_RT, np.nan)
    missing_RT = np.isnan(loss_RT)
    for t, target in enumerate(found.targets):
        if missing_RT[:, t].any():
            runs = [found.runs[r] for r in np.flatnonzero(missing_RT[:, t])]
            remarks.append(
                f"loss/{target} has no number in {counted(len(runs), 'row')} ({listed(runs)}): left out for this target"
            )
    empty_R = np.asarray(missing_RT.all(axis=1))
    if empty_R.any():
        runs = [found.runs[r] for r in np.flatnonzero(empty_R)]
        remarks.append(f"{counted(len(runs), 'run')} without any loss ({listed(runs)}): left out")
    kept = Measurements(**{**vars(found), "loss_RT": loss_RT}).where(~empty_R)
    return kept, remarks


def _without_copies(found: Measurements) -> tuple[Measurements, list[str]]:
    """Rows that repeat another run's shares, sizes and losses to the last digit, under another name, are kept once."""
    if len(found.targets) < 2:
        return found, []  # with one loss of few digits two runs may well agree
    first: dict[tuple[float, ...], int] = {}
    copies = []
    sizes_RK = np.column_stack([found.N_R, found.D_R])
    for r, row in enumerate(np.column_stack([found.composition, found.loss_RT, sizes_RK])):
        key = tuple(np.nan_to_num(row, nan=-1.0).tolist())
        if key in first and found.runs[r] != found.runs[first[key]]:
            copies.append((r, first[key]))
        first.setdefault(key, r)
    if not copies:
        return found, []
    named = listed([f"{found.runs[r]} of {found.runs[other]}" for r, other in copies])
    rows = np.array([r for r in range(len(found)) if r not in {copy for copy, _ in copies}], dtype=int)
    told = (
        f"{counted(len(copies), 'row')} {'is a copy' if len(copies) == 1 else 'are copies'} of others to the last digit"
    )
    return found.where(rows), [f"{told} ({named}) and left out: repeats would differ by their noise"]


def _never_varied(found: Measurements) -> list[str]:
    """Groups of which the runs tell nothing."""
    same = [
        language
        for language, p_R in zip(found.languages, found.p_RL.T, strict=True)
        if len(found) > 1 and np.ptp(p_R) == 0
    ]
    if not same:
        return []
    return [f"{listed(same)}: the same share in every run, so nothing is learned of what more or less of it would do"]


def _units_of_sizes(found: Measurements) -> list[str]:
    remarks = []
    for name, what, x_R, least in (
        ("N", "parameters", found.N_R, LEAST_N),
        ("D", "tokens", found.D_R, LEAST_D),
    ):
        if np.isfinite(x_R).any() and np.nanmax(x_R) < least:
            remarks.append(
                f"{name} is {np.nanmin(x_R):g} to {np.nanmax(x_R):g}: in millions or billions? {what.capitalize()} are "
                f"taken one by one, so give every other {name} in the same unit; FLOPs are wrong"
            )
    return remarks


def _units_of_targets(found: Measurements) -> list[str]:
    """Targets whose typical loss is far from that of the others."""
    losses = [t for t, target in enumerate(found.targets) if target not in found.scored]
    if len(losses) < 3:
        return []
    typical_T = np.nanmedian(found.loss_RT[:, losses], axis=0)
    remarks = []
    for t, target in enumerate(found.targets[t] for t in losses):
        others = float(np.median(np.delete(typical_T, t)))
        if not 1 / OTHER_UNIT < typical_T[t] / others < OTHER_UNIT:
            remarks.append(
                f"loss/{target} is typically {typical_T[t]:.3g} where the others are {others:.3g}: in another unit? "
                "A mean objective counts it by its size (--objective normalised does not)"
            )
    return remarks
