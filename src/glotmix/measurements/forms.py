"""The forms in which people keep their runs: wide, long, shares and losses apart, a tracker's export."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable
from typing import Literal

import numpy as np
import polars as pl

from glotmix.errors import BadInput
from glotmix.measurements.draft import Draft, PhaseColumns
from glotmix.measurements.roles import (
    KEYS,
    LOOSE_SCORES,
    METRICS,
    ROLE,
    RUN,
    SCORES,
    SEED,
    SHARE,
    STATE,
    STEP,
    TRACKER,
    D,
    N,
    Roles,
    metric_of,
    roles_of,
    score_name,
    score_of,
)
from glotmix.measurements.table import UNNAMED, Table
from glotmix.scored import Scored
from glotmix.wording import listed

WANTED = "run, N, D, seed, p/<group>…, loss/<group>…"
LOST = frozenset({"crashed", "failed", "killed", "diverged", "running", "preempted"})
"""States of runs whose losses are not those of a finished run."""
PARTS = ("language", "target", "group", "domain", "task", "dataset")
"""Columns of a long table that name the target, where the metric does not."""
LONGEST_CELL = 200_000
"""Characters of a cell that is read as a dictionary."""
BOUNDS = ("index", "name")
"""Columns of numbers that are no group in two-table forms (Olmix's tables begin with run, name, index)."""

Part = Literal["all", "shares", "losses"]


def draft_of(table: Table, part: Part = "all") -> Draft:
    """What one table says of its runs.

    Args:
        table: wide or long, with plain columns or as a tracker exports them.
        part: what is wanted of it; of two tables, columns of numbers without a prefix are groups.

    Raises:
        BadInput: it has not what is wanted.
    """
    table = _unpacked(table)
    lower = {column.casefold(): column for column in table.columns}
    if "metric" in lower and "value" in lower:
        return _of_long(table, lower, part)
    roles = roles_of(table.columns)
    draft = Draft(table.where, [], remarks=list(table.remarks))
    if part == "all":
        _check_wide(table, roles)
    else:
        _loosen(draft, table, roles, part)
    draft.names = _runs(table, roles.keys[RUN] if part == "all" else table.columns[0])
    if part != "losses":
        for group, column in roles.shares.items():
            draft.shares[group] = _read(draft, table, column, blank_is_fault=False)
            draft.percent |= table.numbers(column).percent
        for group, column in roles.unique.items():
            draft.unique[group] = _read(draft, table, column)
        _phases(draft, table, roles)
    if part != "shares":
        draft.unit = roles.metric if roles.metric == "bpb" else "loss"
        for target, column in roles.losses.items():
            draft.losses[target] = _read(draft, table, column, blank_is_fault=False)
            draft.percent_scores |= {target} if table.numbers(column).percent else set()
        _scores(draft, table, roles)
        if roles.rest and roles.metric != "loss" and not draft.loose_losses:
            _tell_others(draft, roles)
    _keys(draft, table, roles)
    _drop_lost(draft, table, roles)
    return draft


def draft_of_mixtures(table: Table) -> Draft:
    """Shares alone, with sizes and unique tokens where there are any; mixtures need no names."""
    roles = roles_of(table.columns)
    draft = Draft(table.where, [], remarks=list(table.remarks))
    if not roles.shares and not roles.phases:
        _loosen(draft, table, roles, "shares", keyed=False)
    named = roles.keys.get(RUN)
    draft.names = [str(r + 1) for r in range(table.frame.height)]
    if named is not None:
        draft.names = [f"{r + 1} ({text})" if text else str(r + 1) for r, text in enumerate(table.texts(named))]
    for group, column in roles.shares.items():
        draft.shares[group] = _read(draft, table, column, blank_is_fault=not roles.phases, what="row")
        draft.percent |= table.numbers(column).percent
    for group, column in roles.unique.items():
        draft.unique[group] = _read(draft, table, column, what="row")
    _phases(draft, table, roles, what="row")
    for key in (N, D):
        if key in roles.keys:
            draft.sizes[key] = roles.factors.get(key, 1.0) * _read(draft, table, roles.keys[key], what="row")
    return draft


def _check_wide(table: Table, roles: Roles) -> None:
    if RUN not in roles.keys:
        raise BadInput("no column 'run'", where=table.where, expected=WANTED)
    shares = roles.shares or roles.phases
    if not shares or not (roles.losses or roles.scores):
        missing = "p/<group>" if not shares else "loss/<group>"
        shown = ", ".join(column.removeprefix(UNNAMED) for column in table.columns[:8])
        hint = (
            "; is it one of two tables, shares and losses apart (--mixtures, --losses)?"
            if len(table.columns) > 2
            else ""
        )
        raise BadInput(
            f"no column {missing}; it has {shown}{hint}", where=table.where, expected="p/<group>… and loss/<group>…"
        )


def _loosen(draft: Draft, table: Table, roles: Roles, part: Part, keyed: bool = True) -> None:
    """In one of two tables, columns of numbers are groups if none has a prefix that says so.

    ``keyed``: the first column names the runs, whatever it is called.
    """
    wanted = roles.shares if part == "shares" else roles.losses
    if wanted or (part == "shares" and roles.phases) or (part == "losses" and roles.scores):
        return
    for key in (N, D):
        if roles.keys.get(key, "") in ("n", "d"):  # a group, where groups have no prefix
            roles.rest.append(roles.keys.pop(key))
    known = {*roles.keys.values(), *table.columns[: 1 if keyed else 0]}
    named = [c for c in table.columns if c not in known and c.casefold() not in BOUNDS and c not in KEYS[RUN]]
    found = [column for column in named if table.is_numeric(column)]
    if not found or any(column.startswith(UNNAMED) for column in found):
        what = "a column has no name" if found else "no column of numbers after the first"
        raise BadInput(what, where=table.where, expected="run, then a column of numbers per group")
    wanted.update({column: column for column in found})
    if part == "shares":
        draft.loose_shares = True
    else:
        draft.loose_losses = True


def _runs(table: Table, column: str) -> list[str]:
    """Names of runs; a row without one is an error with its number."""
    names = table.texts(column)
    if None in names:
        shown = column if not column.startswith(UNNAMED) else "1"
        raise BadInput(
            f"row {names.index(None) + 1}, column {shown}: empty", where=table.where, expected="a run's name"
        )
    return [str(name) for name in names]


def _read(draft: Draft, table: Table, column: str, *, blank_is_fault: bool = True, what: str = "run") -> np.ndarray:
    """Numbers of a column; cells that are none are faults with run, column and value."""
    found = table.numbers(column)
    bad_R = found.bad_R | (~np.isfinite(found.value_R) if blank_is_fault else np.zeros(len(found.bad_R), dtype=bool))
    for r in np.flatnonzero(bad_R)[:1]:
        cell = table.cell(int(r), column)
        draft.faults.append(f"{what} {draft.names[r]}, column {column}: {cell!r} (expected a finite number)")
    return found.value_R


def _scores(draft: Draft, table: Table, roles: Roles) -> None:
    """Columns that say that they are scores. One that is called so loosely that it may be anything, and holds what no
    score is, is left alone."""
    for target, (column, higher) in roles.scores.items():
        found = table.numbers(column)
        loose = (score_of(column) or ("", ""))[1] in LOOSE_SCORES
        if loose and bool(((found.value_R < 0) | (found.value_R > 100)).any()):
            draft.remarks.append(f"{column} is not read: a score lies between 0 and 1, or 0 and 100 %")
            continue
        draft.losses[target] = _read(draft, table, column, blank_is_fault=False)
        draft.scored[target] = Scored(higher)
        draft.percent_scores |= {target} if found.percent else set()
    if not draft.losses:
        raise BadInput("no losses, and no scores between 0 and 1", where=table.where, expected=WANTED)


def _phases(draft: Draft, table: Table, roles: Roles, what: str = "run") -> None:
    """Shares, tokens and learning rates of the phases; cells of phases that a run does not have are empty."""
    for number in sorted({*roles.phases, *roles.phase_keys}):
        phase = draft.phases.setdefault(number, PhaseColumns())
        for columns, found in ((roles.phases, phase.shares), (roles.phase_keys, phase.sizes)):
            for name, column in columns.get(number, {}).items():
                found[name] = _read(draft, table, column, blank_is_fault=False, what=what)


def _keys(draft: Draft, table: Table, roles: Roles) -> None:
    """Sizes, seeds, steps and roles."""
    for key in (N, D, STEP):
        if key in roles.keys:
            factor = roles.factors.get(key, 1.0)
            draft.sizes[key] = factor * _read(draft, table, roles.keys[key], blank_is_fault=key != STEP)
            if factor != 1:
                draft.remarks.append(f"{roles.keys[key]} is read in units of {factor:.0e}".replace("e+0", "e"))
    if SEED in roles.keys:
        draft.sizes[SEED] = _seeds(draft, table, roles.keys[SEED])
    if ROLE in roles.keys:
        draft.roles = [text or "" for text in table.texts(roles.keys[ROLE])]


def _seeds(draft: Draft, table: Table, column: str) -> np.ndarray:
    """Whole numbers, 0 where a cell is empty."""
    found, text = table.numbers(column), table.texts(column)
    told_R = np.array([cell is not None for cell in text], dtype=bool)
    with np.errstate(invalid="ignore"):
        whole_R = (found.value_R == np.round(found.value_R)) & (np.abs(found.value_R) < 2**62)
    for r in np.flatnonzero(told_R & ~whole_R)[:1]:
        cell = table.cell(int(r), column)
        number = found.value_R[r]
        shown = float(number) if np.isfinite(number) else cell
        draft.faults.append(f"run {draft.names[r]}, column {column}: {shown!r} (expected a whole number)")
    return np.where(whole_R & told_R, np.nan_to_num(found.value_R, posinf=0, neginf=0), 0)


def _drop_lost(draft: Draft, table: Table, roles: Roles) -> None:
    """Runs that did not finish are left out."""
    if STATE not in roles.keys:
        return
    states = [(text or "").casefold() for text in table.texts(roles.keys[STATE])]
    lost = [r for r, state in enumerate(states) if state in LOST]
    if lost:
        told = listed([f"{draft.names[r]} ({states[r]})" for r in lost])
        draft.remarks.append(f"{len(lost)} runs that did not finish are left out: {told}")
        draft.keep(np.array([r for r in range(len(states)) if r not in set(lost)], dtype=int))


def _tell_others(draft: Draft, roles: Roles) -> None:
    others = [column for column in roles.rest if metric_of(column)]
    if others:
        draft.remarks.append(f"losses are {roles.metric}; other losses of the table are not read: {listed(others)}")


def _of_long(table: Table, lower: dict[str, str], part: Part) -> Draft:
    """A long table, one row per number: run, step, metric, value; tokens where it has them.

    Metrics that name shares ("p/swh") are shares; other columns (config.*) are those of their run.
    """
    roles = roles_of([column for column in table.columns if column not in (lower["metric"], lower["value"])])
    if RUN not in roles.keys:
        raise BadInput("no column 'run'", where=table.where, expected="run, step, metric, value")
    names = _runs(table, roles.keys[RUN])
    draft = Draft(table.where, names, remarks=list(table.remarks))
    value_R = _read(draft, table, lower["value"], blank_is_fault=False)
    metric = [text or "" for text in table.texts(lower["metric"])]
    by_part = next((lower[name] for name in PARTS if name in lower), None)
    if by_part is not None:
        metric = [f"{group or ''}/{name}" for group, name in zip(table.texts(by_part), metric, strict=True)]
    keyed = Draft(table.where, names)
    _keys(keyed, table, roles)
    draft.faults += keyed.faults
    group_of = {name: share[1] for name in set(metric) if (share := SHARE.match(TRACKER.sub("", name)))}
    best = _best_metric(set(metric))
    cell_of, scored = _cells_of(dict.fromkeys(metric), best)
    draft.scored = scored
    at: dict[tuple[str, float], dict[str, tuple[float, float]]] = {}
    shares: dict[str, dict[str, float]] = {}
    step_R, D_R = keyed.sizes.get(STEP), keyed.sizes.get(D)
    for r, (run, name) in enumerate(zip(names, metric, strict=True)):
        step = 0.0 if step_R is None else float(np.nan_to_num(step_R[r], nan=-1))
        if name in group_of:
            shares.setdefault(run, {})[group_of[name]] = float(value_R[r])
            continue
        found = cell_of[name]
        if found is None:
            continue
        cells = at.setdefault((run, -1.0 if D_R is None else float(D_R[r])), {})
        if np.isfinite(value_R[r]) and step >= cells.get(found, (-np.inf, 0.0))[0]:
            cells[found] = (step, float(value_R[r]))
        else:
            cells.setdefault(found, (-np.inf, float("nan")))
    if not at:
        shown = listed(sorted(set(metric)))
        raise BadInput(
            f"no metric is a loss; there are {shown}", where=table.where, expected="loss/<group> or eval/<group>/bpb"
        )
    return _pivoted(draft, keyed, table, roles, at, shares, best, part)


def _cells_of(names: Iterable[str], best: str | None) -> tuple[dict[str, str | None], dict[str, Scored]]:
    """Metric to the target whose loss or score it is, None for neither; and what the scores mean."""
    names, found = list(names), dict[str, str | None]()
    losses = {parts[0] for name in names if (parts := metric_of(name)) and parts[1] == best}
    scores: dict[str, dict[str, str]] = {}
    for name in names:
        parts = metric_of(name)
        found[name] = parts[0] if parts is not None and parts[1] == best else None
        if parts is None and (score := score_of(name)) is not None:
            scores.setdefault(score[0], {})[score[1]] = name
    scored = {}
    for group, several in scores.items():
        metric = next(one for one in SCORES if one in several)
        target = score_name(group, metric, losses)
        found[several[metric]] = target
        scored[target] = Scored(SCORES[metric])
    return found, scored


def _best_metric(names: set[str]) -> str | None:
    kinds = {found[1] for name in names if (found := metric_of(name))}
    return next((metric for metric in METRICS if metric in kinds), None)


def _pivoted(
    draft: Draft,
    keyed: Draft,
    table: Table,
    roles: Roles,
    at: dict[tuple[str, float], dict[str, tuple[float, float]]],
    shares: dict[str, dict[str, float]],
    best: str | None,
    part: Part,
) -> Draft:
    """The wide draft of a long table."""
    first: dict[str, int] = {}
    for r, run in enumerate(draft.names):
        first.setdefault(run, r)
    several = {STEP: keyed.sizes[STEP]} if STEP in keyed.sizes else {}
    if several and D not in keyed.sizes and len(np.unique(several[STEP])) > 1:
        draft.remarks.append(
            "losses at several steps: the last of each run is taken (a column tokens makes checkpoints of them)"
        )
    rows = np.array([first[run] for run, _ in at], dtype=int)
    groups = list(dict.fromkeys(group for cells in at.values() for group in cells))
    runs = [run for run, _ in at]
    wide = Draft(draft.where, runs, remarks=draft.remarks, faults=draft.faults, unit="bpb" if best == "bpb" else "loss")
    wide.scored = draft.scored
    for group in groups:
        wide.losses[group] = np.array([cells.get(group, (0.0, float("nan")))[1] for cells in at.values()])
    for key in (N, SEED):
        if key in keyed.sizes:
            wide.sizes[key] = keyed.sizes[key][rows]
    if D in keyed.sizes:
        wide.sizes[D] = np.array([tokens for _, tokens in at])
    if keyed.roles is not None:
        wide.roles = [keyed.roles[r] for r in rows]
    for group, column in roles.shares.items():
        wide.shares[group] = table.numbers(column).value_R[rows]
    _phases(keyed, table, roles)
    wide.phases = {number: phase.at(rows) for number, phase in keyed.phases.items()}
    for group in dict.fromkeys(group for cells in shares.values() for group in cells):
        wide.shares[group] = np.array([shares.get(run, {}).get(group, float("nan")) for run in runs])
    if part == "all" and not wide.shares and not wide.phases:
        beside = "--mixtures SHARES.csv, one row per run, beside it"
        raise BadInput("a long table without shares", where=draft.where, expected=beside)
    return wide


def _unpacked(table: Table) -> Table:
    """Columns ``config`` and ``summary`` that hold dictionaries, as an export by Weights & Biases' API has them."""
    frame = table.frame
    for column in ("config", "summary"):
        if column not in frame.columns or frame[column].dtype != pl.String:
            continue
        rows = [_dictionary(cell) for cell in frame[column].to_list()]
        if not any(rows):
            continue
        flat = [_flat(row, column) for row in rows]
        for name in dict.fromkeys(name for row in flat for name in row):
            if name not in frame.columns:
                cells = [None if row.get(name) is None else str(row[name]) for row in flat]
                frame = frame.with_columns(pl.Series(name, cells, dtype=pl.String))
        frame = frame.drop(column)
    return table if frame is table.frame else Table(frame, table.where, table.decimal_comma, table.remarks)


def _dictionary(cell: str | None) -> dict[str, object]:
    """A cell that holds a JSON object or a Python literal; nothing is run."""
    if not cell or not cell.lstrip().startswith("{") or len(cell) > LONGEST_CELL:
        return {}
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(cell)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        if isinstance(found, dict):
            return {str(key): value for key, value in found.items()}
    return {}


def _flat(row: dict[str, object], prefix: str, depth: int = 4) -> dict[str, object]:
    """Nested dictionaries under dotted names; plain values alone."""
    found: dict[str, object] = {}
    for key, value in row.items():
        name = f"{prefix}.{key}"
        if isinstance(value, dict) and depth:
            found |= _flat({str(k): v for k, v in value.items()}, name, depth - 1)
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            found[name] = value
    return found
