"""`glotmix predict`: losses of the mixtures of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from glotmix.errors import BadInput
from glotmix.fit.choice import processes_for
from glotmix.fit.extrapolation import rows_beyond
from glotmix.fit.fit import Fit
from glotmix.fit.jackknife import Jackknife, jackknife
from glotmix.fit.splits import mixtures_of
from glotmix.measurements import SHARE_TOLERANCE, Measurements, read_runs, read_table, write_csv

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
    p_RL, sizes = shares_in(table, fitted.languages, where=mixtures)
    by: Fit | Jackknife = fitted if jackknifed is None else intervals_from(fitted, read_runs(jackknifed))
    prediction = by.predict(p_RL, sizes["N"], sizes["D"])
    prediction = replace(prediction, beyond=tuple(rows_beyond(fitted, p_RL, sizes["N"], sizes["D"])))
    write_csv(table.with_columns(prediction.to_polars()).fill_nan(None), out)


def shares_in(
    table: pl.DataFrame, languages: Sequence[str], *, where: object
) -> tuple[np.ndarray, dict[str, np.ndarray | None]]:
    """Mixtures [R, L] of a table's columns ``p/<group>``, and its columns ``N`` and ``D``, None where it lacks them.

    Args:
        table: one row per mixture.
        languages: order of the shares.
        where: the file or object that it came from, for messages.

    Raises:
        BadInput: a column is missing, a share is no number, negative, or a row does not sum to one.
    """
    columns = [f"p/{language}" for language in languages]
    if missing := [column for column in columns if column not in table.columns]:
        raise BadInput(f"no column {', '.join(missing)}", where=where, expected=", ".join(columns))
    p_RL = np.column_stack([_numbers(table, column, where) for column in columns])
    if (p_RL < 0).any() or (np.abs(p_RL.sum(1) - 1) > SHARE_TOLERANCE).any():
        row = int(np.argmax((p_RL < 0).any(1) | (np.abs(p_RL.sum(1) - 1) > SHARE_TOLERANCE)))
        raise BadInput(
            f"row {row + 1}: shares sum to {p_RL[row].sum():.4f}, the least is {p_RL[row].min():.4g}",
            where=where,
            expected="shares of at least 0 that sum to 1",
        )
    sizes = {name: _numbers(table, name, where) if name in table.columns else None for name in ("N", "D")}
    return p_RL / p_RL.sum(1, keepdims=True), sizes


def intervals_from(fitted: Fit, runs: Measurements) -> Jackknife:
    """The same law fitted to runs again for intervals by jackknife+; by CV+ in ``PARTS`` parts of many mixtures."""
    parts = PARTS if mixtures_of(runs).max() >= PARTS else None
    many = processes_for(runs)
    return jackknife(fitted.law, runs, parts=parts, targets=fitted.targets, transfer=fitted.transfer, workers=many)


def _numbers(table: pl.DataFrame, column: str, where: object) -> np.ndarray:
    values = table[column].cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise BadInput(f"row {row + 1}, column {column}: {table[column][row]!r}", where=where, expected="a number")
    return values
