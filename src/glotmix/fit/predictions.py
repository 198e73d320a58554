"""`glotmix predict`: losses of the mixtures of a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from glotmix.fit.choice import processes_for
from glotmix.fit.extrapolation import rows_beyond
from glotmix.fit.fit import Fit
from glotmix.fit.jackknife import Jackknife, jackknife
from glotmix.fit.splits import mixtures_of
from glotmix.measurements import DeclaredScores, Measurements, read_mixtures, read_runs, same_names, write_csv

PARTS = 20
"""Fits without a part of the runs that CV+ makes."""


@dataclass(frozen=True)
class Predicted:
    """What was written."""

    rows: int
    """Mixtures."""
    beyond: int
    """How many of them lie beyond the runs."""
    remarks: tuple[str, ...]
    """How the tables were read."""


def predict_table(fitted: Fit, mixtures: Path, out: Path, jackknifed: Path | None = None) -> Predicted:
    """Write ``loss/<target>``, ``…/low`` and ``…/high`` beside the columns of a table of mixtures.

    A column ``beyond`` says in what a row lies beyond the runs, where one does. Intervals are those of the fit's
    resamples, or with the runs ``jackknifed`` those of jackknife+ (CV+ in 20 parts if there are more mixtures), for
    which the law is fitted to these runs again.

    Raises:
        BadInput: a column is missing, a share is no number, negative, or a row does not sum to one.
    """
    read = read_mixtures(mixtures, fitted.languages)
    by: Fit | Jackknife = fitted
    remarks = read.remarks
    if jackknifed is not None:
        runs = read_runs(jackknifed, scores=DeclaredScores.of(fitted.scored))
        remarks = (*remarks, *runs.remarks)
        by = intervals_from(fitted, same_names(runs, fitted, where=jackknifed))
    remarks = (*remarks, *_of_unique(fitted, read.unique_RL))
    prediction = by.predict(read.p_RL, read.N_R, read.D_R, read.unique_RL, read.phases)
    prediction = replace(prediction, beyond=tuple(rows_beyond(fitted, read.p_RL, read.N_R, read.D_R)))
    write_csv(read.written.with_columns(prediction.to_polars()).fill_nan(None), out)
    return Predicted(len(read.p_RL), sum(bool(words) for words in prediction.beyond), remarks)


def _of_unique(fitted: Fit, unique_RL: np.ndarray | None) -> tuple[str, ...]:
    """What becomes of the unique tokens of a table where it is not what it seems."""
    if unique_RL is None:
        return ()
    if fitted.unique_L is None:
        return ("the law was fitted without unique tokens, so the columns unique/<group> change nothing",)
    lacking = [name for name, x_R in zip(fitted.languages, unique_RL.T, strict=True) if np.isnan(x_R).any()]
    told = f"no unique/ of {', '.join(lacking)} in every row: there it is what the runs had that were fitted to"
    return (told,) if lacking else ()


def intervals_from(fitted: Fit, runs: Measurements) -> Jackknife:
    """The same law fitted to runs again for intervals by jackknife+; by CV+ in ``PARTS`` parts of many mixtures."""
    parts = PARTS if mixtures_of(runs).max() >= PARTS else None
    many = processes_for(runs)
    return jackknife(fitted.law, runs, parts=parts, targets=fitted.targets, transfer=fitted.transfer, workers=many)
