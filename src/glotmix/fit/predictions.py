"""`glotmix predict`: losses of the mixtures of a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from glotmix.errors import BadInput
from glotmix.fit.choice import _processes_for
from glotmix.fit.extrapolation import rows_beyond
from glotmix.fit.fit import Fit
from glotmix.fit.jackknife import Jackknife, jackknife
from glotmix.fit.splits import mixtures_of
from glotmix.measurements import read_runs, read_table, write_csv

PARTS = 20
"""Fits without a part of the runs that CV+ makes."""


def predict_table(fitted: Fit, mixtures: Path, out: Path, jackknifed: Path | None = None) -> None:
    """Write ``loss/<target>``, ``…/low`` and ``…/high`` beside the columns of a table of mixtures.

    Intervals are those of the fit's resamples, or with the runs ``jackknifed`` those of jackknife+ (CV+ in 20 parts if
    there are more mixtures), for which the law is fitted to these runs again.

    Raises:
        BadInput: a column is missing, a share is no number, negative, or a row does not sum to one.
    """
    table = read_table(mixtures)
    columns = [f"p/{language}" for language in fitted.languages]
    if missing := [column for column in columns if column not in table.columns]:
        raise BadInput(f"no column {', '.join(missing)}", where=mixtures, expected=", ".join(columns))
    p_RL = np.column_stack([_numbers(table, column, mixtures) for column in columns])
    if (p_RL < 0).any() or (np.abs(p_RL.sum(1) - 1) > 0.025).any():
        row = int(np.argmax((p_RL < 0).any(1) | (np.abs(p_RL.sum(1) - 1) > 0.025)))
        raise BadInput(
            f"row {row + 1}: shares sum to {p_RL[row].sum():.4f}, the least is {p_RL[row].min():.4g}",
            where=mixtures,
            expected="shares of at least 0 that sum to 1",
        )
    given = {name: _numbers(table, name, mixtures) if name in table.columns else None for name in ("N", "D")}
    by: Fit | Jackknife = fitted
    if jackknifed is not None:
        runs = read_runs(jackknifed)
        parts = PARTS if mixtures_of(runs).max() >= PARTS else None
        many = _processes_for(runs)
        by = jackknife(fitted.law, runs, parts=parts, targets=fitted.targets, transfer=fitted.transfer, workers=many)
    prediction = by.predict(p_RL / p_RL.sum(1, keepdims=True), given["N"], given["D"])
    told = rows_beyond(fitted, p_RL, given["N"], given["D"])
    if any(told):
        table = table.with_columns(pl.Series("beyond", told))
    for t, target in enumerate(prediction.targets):
        table = table.with_columns(
            pl.Series(f"loss/{target}", prediction.value_RT[:, t]),
            pl.Series(f"loss/{target}/low", prediction.low_RT[:, t]),
            pl.Series(f"loss/{target}/high", prediction.high_RT[:, t]),
        )
    write_csv(table.fill_nan(None), out)


def _numbers(table: pl.DataFrame, column: str, where: Path) -> np.ndarray:
    values = table[column].cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise BadInput(f"row {row + 1}, column {column}: {table[column][row]!r}", where=where, expected="a number")
    return values
