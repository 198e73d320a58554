"""Reading measurements: a study's two tables, or runs in any of the forms in which people keep them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from glotmix.artifact import compare, read_json
from glotmix.errors import BadInput
from glotmix.language import find_name, same_language
from glotmix.measurements.checks import as_shares, checked
from glotmix.measurements.draft import Draft, PhaseColumns, merged
from glotmix.measurements.forms import draft_of, draft_of_mixtures
from glotmix.measurements.phases import phases_of
from glotmix.measurements.roles import LENGTH, RATE
from glotmix.measurements.runs import Measurements
from glotmix.measurements.scores import DeclaredScores
from glotmix.measurements.table import UNREADABLE, Table, open_table, read_table, table_of
from glotmix.mixture.phases import MOST_PHASES, Phases
from glotmix.scored import Scored, all_from_json
from glotmix.written import made_of


def read_runs(
    path: Path | None,
    *,
    mixtures: Path | None = None,
    losses: Path | None = None,
    scores: DeclaredScores | None = None,
) -> Measurements:
    """Measurements from a study directory, from one table, or from two.

    Args:
        path: study directory, wide table, long table with shares in it, or a tracker's export; with ``mixtures`` alone,
            the table of losses.
        mixtures: table of shares, one row per run, first column the run's name (Olmix ``ratios.csv``).
        losses: table of losses, wide or long, joined by its first column (Olmix ``metrics.csv``).
        scores: what is said of targets that are scores; columns that say so themselves (``acc/swh``) need not be named.
            A study knows its own.

    Raises:
        BadInput: naming the file and, for every fault, the column, row and value: missing columns, text where a number
            belongs, a run twice, negative shares, shares that do not sum to one, runs that only one of two tables has.
    """
    if mixtures is not None or losses is not None:
        if mixtures is None and path is not None and path.is_file():
            mixtures, path = path, None
        losses = losses if losses is not None else path
        if mixtures is None or losses is None or losses.is_dir():
            raise BadInput("only one of --mixtures and --losses was given", expected="both")
        both = merged(draft_of(open_table(mixtures), "shares"), draft_of(open_table(losses), "losses"))
        return checked(both, scores=scores)
    if path is None:
        raise BadInput("no table of runs", expected="RUNS, or --mixtures with --losses")
    if path.is_dir():
        folder = path / "measurements"
        if not (folder / "runs.parquet").is_file():
            raise BadInput("no measurements/runs.parquet in it", where=path, expected="the directory of a study")
        for name in ("runs.parquet", "losses.parquet"):
            compare(folder / name)
        with made_of(folder, "the tables of a study, as `glotmix run` writes them", *UNREADABLE):
            tables = read_table(folder / "runs.parquet"), read_table(folder / "losses.parquet")
            known = folder / SCORED
            return from_tables(*tables, scored=all_from_json(read_json(known)) if known.is_file() else {})
    return checked(draft_of(open_table(path)), scores=scores)


def from_wide(table: pl.DataFrame, *, where: object = None, scores: DeclaredScores | None = None) -> Measurements:
    """Measurements from one data frame, in any of the forms that :func:`read_runs` takes of a file.

    Args:
        table: one row per run, or per run and checkpoint.
        where: the object that it came from, for messages.
        scores: what is said of targets that are scores.

    Raises:
        BadInput: as :func:`read_runs`.
    """
    return checked(draft_of(table_of(table, where)), scores=scores)


def from_tables(
    runs: pl.DataFrame, losses: pl.DataFrame, metric: str = "bpb", scored: Mapping[str, Scored] | None = None
) -> Measurements:
    """The final losses of the complete runs of a study's two tables, and the final scores of targets that are scores.

    Args:
        runs: one row per run.
        losses: one row per run, step, target and metric.
        metric: which losses.
        scored: targets that are scores; their metric is "score".
    """
    scored = scored or {}
    is_score = pl.col("language").is_in(pl.Series(list(scored), dtype=pl.String).implode())
    found = losses.filter(pl.when(is_score).then(pl.col("metric") == SCORE).otherwise(pl.col("metric") == metric))
    runs = runs.filter(pl.col("status") == "complete").sort("run")
    languages = [column.removeprefix("p/") for column in runs.columns if column.startswith("p/")]
    final = (
        found.filter(pl.col("run").is_in(runs["run"].to_list()))
        .filter(pl.col("step") == pl.col("step").max().over("run"))
        .select("run", "language", "value")
    )
    # Targets in the mixture come first, in the mixture's order; the others follow by name.
    place = {language: i for i, language in enumerate(languages)}
    targets = sorted(final["language"].unique().to_list(), key=lambda target: (place.get(target, len(place)), target))
    wide = final.pivot("language", index="run", values="value")
    joined = runs.join(wide.rename({t: f"loss/{t}" for t in targets}), on="run", how="left").sort("run")
    table = Table(joined.select(c for c in joined.columns if c != "status"), "measurements")
    draft = Draft("measurements", [str(run) for run in joined["run"].to_list()], unit=metric)
    draft.shares = {language: table.numbers(f"p/{language}").value_R for language in languages}
    draft.losses = {target: table.numbers(f"loss/{target}").value_R for target in targets}
    if all(f"unique/{language}" in joined.columns for language in languages):
        draft.unique = {language: table.numbers(f"unique/{language}").value_R for language in languages}
    for number in range(1, MOST_PHASES + 1):
        columns = [column for column in joined.columns if column.startswith(f"phase{number}/")]
        parts = {column.removeprefix(f"phase{number}/"): table.numbers(column).value_R for column in columns}
        if parts:
            shares = {name.removeprefix("p/"): x_R for name, x_R in parts.items() if name.startswith("p/")}
            sizes = {name: parts[name] for name in (LENGTH, RATE) if name in parts}
            draft.phases[number] = PhaseColumns(shares, sizes)
    draft.sizes = {name: table.numbers(name).value_R for name in ("N", "D", "seed") if name in joined.columns}
    if "role" in joined.columns:
        draft.roles = [str(role or "") for role in joined["role"].to_list()]
    draft.scored = {target: scored[target] for target in targets if target in scored}
    measured = checked(draft, study=True)
    start = dict(found.filter(pl.col("step") == 0).select("language", "value").rows())
    start |= {target: told.turned(start[target]) for target, told in scored.items() if target in start}
    if any(target not in start for target in measured.targets if target not in scored):
        return measured
    return replace(measured, before_T=np.array([start.get(target, np.nan) for target in measured.targets]))


SCORED, SCORE = "scored.json", "score"
"""Beside a study's tables: what its scores mean; and the metric that they stand under, from 0 to 1."""


class Named(Protocol):
    """Whatever has groups and targets: measurements, a fitted law."""

    @property
    def languages(self) -> tuple[str, ...]: ...

    @property
    def targets(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Mixtures:
    """Mixtures of a table, in the languages of a law."""

    table: Table
    """The table itself."""
    names: tuple[str, ...]
    """What its first column calls them."""
    p_RL: np.ndarray
    """Shares; rows sum to one."""
    N_R: np.ndarray | None
    """Parameters, where the table has them."""
    D_R: np.ndarray | None
    """Training tokens, where the table has them."""
    unique_RL: np.ndarray | None
    """Unique tokens, where the table has them of every language."""
    remarks: tuple[str, ...]
    """How it was read."""
    phases: Phases | None = None
    """Mixtures by phase, where the table has them; ``p_RL`` is their average."""

    @property
    def written(self) -> pl.DataFrame:
        """The table as it was given, to write it again; numbers with a sign are numbers, else cells are text."""
        frame = self.table.frame
        signed = [
            name
            for name, kind in frame.schema.items()
            if kind == pl.String and frame[name].str.contains(r"^\s*[-+]").any() and self.table.is_numeric(name)
        ]
        return frame.with_columns([pl.Series(name, self.table.numbers(name).value_R) for name in signed])


def read_mixtures(source: Path | pl.DataFrame, languages: Sequence[str]) -> Mixtures:
    """Mixtures to predict for: ``p/<group>`` columns, or columns of numbers alone as in Olmix's ``ratios.csv``.

    Raises:
        BadInput: a language without a column, a column of no language of the law (with a near one), a share that is
            no number or negative, a row that does not sum to one.
    """
    table = open_table(source) if isinstance(source, Path) else table_of(source)
    draft, path = draft_of_mixtures(table), table.where
    phases, told, wrong = _phases_in(draft, languages)
    drawn = replace_names(draft, languages)
    if missing := [language for language in languages if language not in drawn]:
        raise BadInput(
            f"no column {', '.join(f'p/{language}' for language in missing)}",
            where=path,
            expected=", ".join(f"p/{language}" for language in languages),
        )
    p_RL = np.column_stack([drawn[language] for language in languages])
    remarks: list[str] = []
    if not wrong:  # else shares were looked at phase by phase
        p_RL, remarks, wrong = as_shares(p_RL, draft.names, list(languages), draft.percent, what="row")
    if faults := [*draft.faults, *wrong]:
        raise BadInput("; ".join(faults), where=path)
    unique_RL = None
    if draft.unique:
        found = {find_name(name, languages, where=path): x_R for name, x_R in draft.unique.items()}
        unknown_R = np.full(len(p_RL), np.nan)
        unique_RL = np.column_stack([found.get(language, unknown_R) for language in languages])
    sizes = (draft.sizes.get("N"), draft.sizes.get("D"))
    return Mixtures(table, tuple(draft.names), p_RL, *sizes, unique_RL, (*draft.remarks, *told, *remarks), phases)


def _phases_in(draft: Draft, languages: Sequence[str]) -> tuple[Phases | None, list[str], list[str]]:
    """Phases of mixtures under the law's names, with remarks and faults; shares become those of all of the law's
    languages."""
    if not draft.phases:
        return None, [], []

    def named(shares: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = {find_name(name, languages, where=draft.where): x_R for name, x_R in shares.items()}
        return {one: found[one] for one in languages if one in found}

    nothing_R = np.full(len(draft.names), np.nan)
    for phase in draft.phases.values():
        phase.shares = named(phase.shares)
    draft.shares = {one: nothing_R for phase in draft.phases.values() for one in phase.shares} | named(draft.shares)
    if missing := [language for language in languages if language not in draft.shares]:
        return None, [], [f"no column {', '.join(f'phase1/p/{language}' for language in missing)}"]
    draft.shares = {one: draft.shares[one] for one in languages}
    return phases_of(draft, as_shares, "row")


def replace_names(draft: Draft, languages: Sequence[str]) -> dict[str, np.ndarray]:
    """Shares under the law's names; whole columns meet them when what all share is taken away."""
    if draft.loose_shares:
        known = Draft(draft.where, draft.names, dict(draft.shares), {name: np.zeros(0) for name in languages})
        known.loose_shares = True
        known.meet()
        return known.shares
    return {find_name(name, languages, where=draft.where): x_R for name, x_R in draft.shares.items()}


def same_names(apart: Measurements, fitted: Named, where: object = None) -> Measurements:
    """Runs kept apart under the names, and in the order, of the runs that a law is fitted to.

    Raises:
        BadInput: a group that these do not have, or one that is missing.
    """
    found = [find_name(name, fitted.languages, where=where) for name in apart.languages]
    if missing := [language for language in fitted.languages if language not in found]:
        raise BadInput(f"no shares of {', '.join(missing)}", where=where, expected=", ".join(fitted.languages))
    order = [found.index(language) for language in fitted.languages]
    targets = []
    for name in apart.targets:
        alike = [target for target in fitted.targets if target not in apart.targets and same_language(target, name)]
        targets.append(alike[0] if len(alike) == 1 else name)
    unique_RL = None if apart.unique_RL is None else apart.unique_RL[:, order]
    phases = apart.phases
    if phases is not None:
        phases = Phases(phases.p_RKL[:, :, order], phases.length_RK, phases.rate_RK)
    return replace(
        apart,
        languages=fitted.languages,
        targets=tuple(targets),
        p_RL=apart.p_RL[:, order],
        unique_RL=unique_RL,
        phases=phases,
    )
