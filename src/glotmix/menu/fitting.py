"""The menu, from runs to a law: read, fit, judge, predict."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from glotmix.errors import BadInput
from glotmix.fit.choice import Fitted, fit_measurements, processes_for
from glotmix.fit.extrapolation import rows_beyond
from glotmix.fit.fit import Fit, Prediction
from glotmix.fit.holdout import Holdout
from glotmix.fit.holdout import cross_validate as cross_validate_laws
from glotmix.fit.predictions import intervals_from
from glotmix.laws.listing import law_rows
from glotmix.measurements import DeclaredScores, Measurements, read_mixtures, same_names
from glotmix.measurements import read_runs as read_tables
from glotmix.menu.sources import (
    LawLike,
    MixtureLike,
    PathLike,
    RunsLike,
    Tabular,
    frame_of,
    law_of,
    mixture_of,
    runs_of,
)
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.phases import Phases
from glotmix.notebook import Listing


def read_runs(
    source: RunsLike | None = None,
    *,
    mixtures: PathLike | None = None,
    losses: PathLike | None = None,
    scores: DeclaredScores | None = None,
) -> Measurements:
    """Runs as arrays: mixtures, losses and sizes, one row per run.

    Args:
        source: directory of a study; a wide table as CSV, TSV or Parquet, with columns ``run``, ``p/<group>`` (shares
            of training tokens) and ``loss/<group>``, and where known ``N`` (parameters without embeddings), ``D``
            (training tokens), ``seed`` and ``unique/<group>`` (unique tokens); a long one or a tracker's export; or
            such a data frame of polars, pandas or Arrow. What is odd about it stands in ``remarks`` of the result.
        mixtures: with ``losses`` and in place of ``source``: a table of shares, one row per run, the first column its
            name, as RegMix and Olmix publish them.
        losses: table of losses, joined by its first column.
        scores: targets that are scores and no losses (``DeclaredScores(higher=("mmlu_fra",), chance={"": 0.25})`` of
            :mod:`glotmix.measurements`); columns ``acc/<name>`` and ``score/<name>`` need not be named.

    Raises:
        BadInput: naming file, column, row and value: missing columns, no number where one belongs, shares that do not
            sum to one, a run that is listed twice.
    """
    if mixtures is None and losses is None:
        if source is None:
            raise BadInput("no runs", where="read_runs", expected="source, or mixtures with losses")
        return runs_of(source, scores)
    if source is not None:
        raise BadInput("one table and two tables at once", expected="source, or mixtures with losses")
    return read_tables(None, mixtures=_path(mixtures), losses=_path(losses), scores=scores)


def laws() -> Listing:
    """Every law: name, formula, parameters, what it needs, whether a share may be zero, source."""
    return Listing("Laws", tuple(law_rows()))


def fit(
    runs: RunsLike,
    *,
    laws: str | Sequence[str] = "auto",
    folds: int = 10,
    bootstrap: int = 100,
    seed: int = 0,
    weigh_repeats: bool = False,
    held_out: RunsLike | None = None,
    workers: int | None = 1,
) -> Fitted:
    """Fit laws to runs, judge them on mixtures that they have not seen, and keep the best.

    Args:
        runs: as :func:`read_runs` takes them, or what it returned.
        laws: names of laws (see ``gm.laws()``), or ``"auto"`` for the usual ones.
        folds: parts of the cross-validation; all runs of a mixture are in one of them.
        bootstrap: resampled fits, for the intervals of what follows; 0 for none.
        seed: of starts, folds and resamples; the same seed gives the same numbers.
        weigh_repeats: weigh runs by how much repeats of their mixtures differ.
        held_out: runs kept apart, which judge and take no part in the choice.
        workers: processes; None for one per core where there are many runs. Scripts that ask for several need their
            ``if __name__ == "__main__"``.

    Returns:
        The chosen law, fitted to all runs (``.fit``), its name (``.chosen``) and the errors of all laws (``.holdout``).

    Raises:
        BadInput: whatever is wrong with the table, an unknown law, or fewer runs than parameters.
    """
    measured = runs_of(runs)
    return fit_measurements(
        measured,
        laws=[laws] if isinstance(laws, str) else laws,
        folds=folds,
        bootstrap=bootstrap,
        seed=seed,
        weights="repeats" if weigh_repeats else None,
        held_out=None if held_out is None else same_names(runs_of(held_out), measured, where="held_out"),
        workers=processes_for(measured) if workers is None else workers,
    )


def cross_validate(
    runs: RunsLike, laws: str | Sequence[str], *, folds: int = 10, seed: int = 0, weigh_repeats: bool = False
) -> Holdout:
    """Errors of laws on mixtures that they have not seen, target by target: what a choice between them is made by.

    Args:
        runs: as :func:`read_runs` takes them, or what it returned.
        laws: names of laws; put ``"null"`` beside them, which knows nothing of the mixture.
        folds: parts of the mixtures.
        seed: of starts and folds.
        weigh_repeats: weigh runs by how much repeats of their mixtures differ.

    Returns:
        Mean relative and absolute error and rank correlation of every law and target, beside the noise between runs.

    Raises:
        BadInput: whatever is wrong with the table, or an unknown law.
    """
    names = [laws] if isinstance(laws, str) else laws
    return cross_validate_laws(names, runs_of(runs), folds, seed, weights="repeats" if weigh_repeats else None)


def predict(
    law: LawLike,
    mixtures: MixtureLike | Iterable[MixtureLike] | Tabular,
    *,
    parameters: float | None = None,
    tokens: float | None = None,
    unique: Mapping[str, float] | None = None,
    jackknife: RunsLike | None = None,
) -> Prediction:
    """Losses of mixtures, with 95 % intervals for what a new run would measure.

    Args:
        law: what :func:`fit` returned, a ``fit.json``, or a finished study.
        mixtures: one mixture as a dict of shares, or an optimum; a list of them; or a table with columns ``p/<group>``
            (and ``N``, ``D`` where they differ from row to row, and phases as in docs/tables.md), as a path or a data
            frame.
        parameters: size N of the model, without embeddings; default the largest that was fitted to.
        tokens: training tokens D; default the most that was fitted to.
        unique: unique tokens of each group; default those of the runs that were fitted to.
        jackknife: runs by which to take the intervals, by jackknife+ in place of resamples; it assumes nothing of the
            noise.

    Returns:
        One row per mixture, a value with an interval per target; NaN where the law says nothing of a target.

    Raises:
        BadInput: shares that are negative or do not sum to one, or of a group that the law does not know.
    """
    fitted = law_of(law)
    asked, sizes, phases = _asked(fitted, mixtures)
    N = sizes["N"] if parameters is None else parameters
    D = sizes["D"] if tokens is None else tokens
    if jackknife is not None:
        if unique is not None:
            raise BadInput("unique tokens with jackknife", expected="one of them")
        by = intervals_from(fitted, same_names(runs_of(jackknife), fitted, where="jackknife"))
        found = by.predict(asked, N, D, phases=phases)
    else:
        known = None if unique is None else np.array([_known(unique, name) for name in fitted.languages])
        found = fitted.predict(asked, N, D, known, phases)
    p_RL = np.stack([mixture.vector(fitted.languages) for mixture in asked])
    N_R, D_R = (None if x is None else np.broadcast_to(x, len(asked)) for x in (N, D))
    return replace(found, mixtures=tuple(asked), beyond=tuple(rows_beyond(fitted, p_RL, N_R, D_R)))


def _asked(
    fitted: Fit, mixtures: MixtureLike | Iterable[MixtureLike] | Tabular
) -> tuple[list[Mixture], dict[str, np.ndarray | None], Phases | None]:
    """Mixtures over the law's languages, and the sizes and phases that a table gives them."""
    nothing: dict[str, np.ndarray | None] = {"N": None, "D": None}
    if isinstance(mixtures, str | os.PathLike) and not str(mixtures).endswith(".json"):
        read = read_mixtures(Path(mixtures), fitted.languages)
    elif isinstance(mixtures, Tabular):
        read = read_mixtures(frame_of(mixtures), fitted.languages)
    else:
        one = isinstance(mixtures, Mapping | str) or not isinstance(mixtures, Iterable)
        several = cast(Iterable[MixtureLike], [mixtures] if one else mixtures)
        given = [mixture_of(mixture) for mixture in several]
        return [one.over(fitted.languages) for one in given], nothing, None
    sizes = {"N": read.N_R, "D": read.D_R}
    return [Mixture.from_vector(fitted.languages, p_L) for p_L in read.p_RL], sizes, read.phases


def _known(unique: Mapping[str, float], name: str) -> float:
    if name not in unique:
        raise BadInput(f"no unique tokens of {name}", where="unique", expected="a number for every group")
    return float(unique[name])


def _path(path: PathLike | None) -> Path | None:
    return None if path is None else Path(path)
