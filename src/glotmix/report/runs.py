"""A report on runs that others made: one table in, the page out. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from glotmix.artifact import fingerprint
from glotmix.errors import BadInput
from glotmix.fit.choice import fit_measurements
from glotmix.language import Language
from glotmix.measurements import Measurements, read_runs
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.constraint import constraints_from
from glotmix.optimize.request import optimum_of
from glotmix.report.evidence import About, Cost, Evidence
from glotmix.report.fitted import law_fit
from glotmix.report.from_law import advice, front_of, held_out_of, versions
from glotmix.report.page import write_report
from glotmix.transfer.matrix import TransferMatrix
from glotmix.transfer.measured import values_of_runs


def report_on_runs(
    runs: Path | Measurements | None,
    *,
    mixtures: Path | None = None,
    losses: Path | None = None,
    title: str = "Runs",
    laws: Sequence[str] = ("auto",),
    folds: int = 10,
    bootstrap: int = 100,
    seed: int = 0,
    out: Path = Path("report.html"),
) -> Path:
    """Fit, optimise the mean loss of the groups in the mixture, and write the report of a table of runs.

    Held-out predictions are those of cross-validation over mixtures. What only a study knows (corpus, closed loop,
    time) is left out; the page's explorer answers other objectives and limits. ``title`` heads the page of measurements
    that are at hand; that of a table is headed by its name.

    Raises:
        BadInput: whatever is wrong with the table, or fewer runs than parameters.
    """
    if runs is None and mixtures is None:
        raise BadInput("no table of runs", expected="RUNS, or --mixtures with --losses")
    if isinstance(runs, Measurements):
        measured = runs
    else:
        measured = read_runs(runs or Path(), mixtures=mixtures, losses=losses)
        title = (runs or mixtures or Path(title)).stem
    fitted = fit_measurements(measured, laws=laws, folds=folds, bootstrap=bootstrap, seed=seed)
    law = fitted.fit
    D = law.D if math.isfinite(law.D) else None
    N = law.N if math.isfinite(law.N) else None
    limits = OptimizeConfig(max_epochs=None)
    unique = {} if law.unique_L is None else dict(zip(law.languages, law.unique_L.tolist(), strict=True))
    optimum = optimum_of(law, limits, unique=unique, D=D, N=N)
    names = _about(measured)
    evidence = Evidence(
        title=title,
        description=f"What {len(set(measured.runs))} runs say about the mixture of {len(measured.languages)} groups.",
        about=names,
        measurements=measured,
        transfer=_transfer(measured),
        front=front_of(
            law,
            optimum,
            constraints_from(limits, law.languages, unique=unique, D=D),
            lambda name: names[name].name if name in names else name,
            N,
            D,
        ),
        held_out=held_out_of(fitted.holdout),
        held_out_by="cross-validation over mixtures",
        law=law_fit(law),
        advice=advice(fitted.chosen, optimum, limits, D=D, unique=unique),
        noise={t: x * float(np.nanmean(measured.loss(t))) for t, x in fitted.holdout.noise.items() if math.isfinite(x)},
        cost=_cost(measured),
        warnings=tuple(f"Law {name} could not be fitted: {why}" for name, why in fitted.holdout.problems.items()),
        provenance=versions() | {"runs": fingerprint([title, measured.loss_RT.tolist()])},
        unit="loss",
    )
    return write_report(evidence, out)


def _about(measured: Measurements) -> dict[str, About]:
    """Names of groups that are language tags; other groups are called what the table calls them."""
    about = {}
    for name in dict.fromkeys([*measured.languages, *measured.targets]):
        try:
            language = Language.resolve(name)
        except BadInput:
            continue
        if language.tag == name:
            about[name] = About(language.name, language.family, language.script)
    return about


def _transfer(measured: Measurements) -> dict[str, TransferMatrix]:
    """Shapley values where the table holds every coalition."""
    try:
        return {"Shapley values": values_of_runs(measured, dict.fromkeys(measured.targets))}
    except BadInput:
        return {}


def _cost(measured: Measurements) -> Cost:
    """Runs, tokens and FLOPs; of a run with several checkpoints the last one counts."""
    last: dict[str, int] = {}
    for r, run in enumerate(measured.runs):
        if run not in last or measured.D_R[r] > measured.D_R[last[run]]:
            last[run] = r
    rows = list(last.values())
    D, N = measured.D_R[rows], measured.N_R[rows]
    known = bool(np.isfinite(D).all())
    return Cost(
        runs={"complete": len(rows)},
        tokens=float(D.sum()) if known else None,
        flops=float((6 * N * D).sum()) if known and np.isfinite(N).all() else None,
    )
