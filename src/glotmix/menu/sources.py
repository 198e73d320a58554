"""From what a notebook has at hand - a path, a data frame, an earlier result - to what the stages take."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import polars as pl

from glotmix.errors import BadInput
from glotmix.fit.choice import Fitted, open_fit
from glotmix.fit.fit import Fit
from glotmix.measurements import DeclaredScores, Measurements, from_wide, read_runs
from glotmix.menu.results import StudyResults
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule, schedule_in
from glotmix.optimize.optimum import Optimum


@runtime_checkable
class Tabular(Protocol):
    """A data frame of polars, pandas or Arrow."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The Arrow PyCapsule interface, which all of them have."""


PathLike = str | os.PathLike[str]
"""Path of a file or a directory."""
RunsLike = PathLike | Measurements | Tabular
"""Runs: a study's directory, a table (CSV, TSV, Parquet), measurements, or a data frame."""
LawLike = PathLike | Fitted | Fit | StudyResults
"""A fitted law: what ``fit`` returned, the law itself, a ``fit.json``, or a finished study."""
MixtureLike = PathLike | Mapping[str, float] | Schedule | Optimum
"""Shares by language, a schedule, an optimum, or a JSON file that holds one of them."""


def runs_of(source: RunsLike, scores: DeclaredScores | None = None) -> Measurements:
    """The measurements that somebody means.

    Raises:
        BadInput: as :func:`glotmix.measurements.read_runs`, or an object that is no table.
    """
    if isinstance(source, Measurements):
        return source
    if isinstance(source, str | os.PathLike):
        return read_runs(Path(source), scores=scores)
    return from_wide(frame_of(source), scores=scores)


def frame_of(table: Tabular) -> pl.DataFrame:
    """A data frame of polars from one of polars, pandas or Arrow.

    Raises:
        BadInput: an object that is no data frame.
    """
    if isinstance(table, pl.DataFrame):
        return table
    if not isinstance(table, Tabular):
        raise BadInput(f"a {type(table).__name__}", expected="a path, a data frame of polars, pandas or Arrow")
    return pl.DataFrame(table)


def law_of(source: LawLike) -> Fit:
    """The fitted law that somebody means.

    Raises:
        BadInput: an object that has no fitted law, or a file that is none.
    """
    if isinstance(source, Fit):
        return source
    if isinstance(source, Fitted):
        return source.fit
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        return StudyResults(path).law if path.is_dir() else open_fit(path)
    if isinstance(source, StudyResults):
        return source.law
    raise BadInput(f"a {type(source).__name__}", expected="a fitted law, the path of a fit.json, or a finished study")


def schedule_of(source: MixtureLike) -> Schedule:
    """The schedule that somebody means; a mixture is one that never changes.

    Raises:
        BadInput: an object or a file that holds neither.
    """
    if isinstance(source, Schedule):
        return source
    if isinstance(source, Optimum):
        return Schedule.constant(source.mixture)
    if isinstance(source, Mapping):
        return Schedule.constant(Mixture(source))
    if isinstance(source, str | os.PathLike):
        return schedule_in(Path(source))
    raise BadInput(f"a {type(source).__name__}", expected="shares by language, a schedule, an optimum, or a path")


def mixture_of(source: MixtureLike) -> Mixture:
    """The one mixture that somebody means.

    Raises:
        BadInput: as :func:`schedule_of`, or a schedule of several stages.
    """
    schedule = schedule_of(source)
    if not schedule.is_constant:
        raise BadInput(f"a schedule of {len(schedule.stages)} stages", expected="one mixture")
    return schedule.average()
