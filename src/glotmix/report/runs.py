"""A report on runs that others made: one table in, the page out. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from glotmix.artifact import fingerprint, read_json
from glotmix.errors import BadInput
from glotmix.fit.choice import fit_measurements, open_fit, processes_for
from glotmix.fit.fit import Fit
from glotmix.language import Language
from glotmix.measurements import DeclaredScores, Measurements, read_runs, same_names
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.constraint import constraints_from
from glotmix.optimize.objective import OBJECTIVES
from glotmix.optimize.optimum import Optimum
from glotmix.optimize.request import named, optimum_of
from glotmix.optimize.turning import turning_of
from glotmix.progress import Advance
from glotmix.report.evidence import About, Evidence, Spending
from glotmix.report.fitted import law_fit
from glotmix.report.from_law import advice, front_of, held_out_of, order_of, versions
from glotmix.report.page import write_comparison, write_report
from glotmix.transfer.game import empty_of_scores
from glotmix.transfer.matrix import TransferMatrix
from glotmix.transfer.measured import values_of_runs


@dataclass(frozen=True)
class Question:
    """What the page recommends a mixture for."""

    config: OptimizeConfig = field(default_factory=lambda: OptimizeConfig(max_epochs=None))
    """Objective and limits."""
    unique: Mapping[str, float] | None = None
    """Unique tokens of each group; default those of the table."""
    D: float | None = None
    """Training tokens of the target run; default the largest of the table."""
    N: float | None = None
    """Its parameters; default the largest of the table."""


def report_on_runs(
    runs: Path | Measurements | None, *, out: Path = Path("report.html"), card: Path | None = None, **how: Any
) -> Path:
    """Write the report of a table of runs, a fit or an optimum, and its decision card as a picture (``card``) if asked;
    further arguments are those of :func:`evidence_of_runs`."""
    return write_report(evidence_of_runs(runs, **how), out, card)


def compare_runs(before: Path, after: Path, out: Path, **how: Any) -> Path:
    """Write what changed from one table of runs (fit, optimum) to another."""
    evidence = [evidence_of_runs(path, **how) for path in (before, after)]
    return write_comparison(evidence[0], evidence[1], out, (before.stem, after.stem))


def evidence_of_runs(
    runs: Path | Measurements | None,
    *,
    mixtures: Path | None = None,
    losses: Path | None = None,
    title: str = "Runs",
    fit_file: Path | None = None,
    laws: Sequence[str] = ("auto",),
    folds: int = 10,
    bootstrap: int = 100,
    seed: int = 0,
    question: Question | None = None,
    scores: DeclaredScores | None = None,
    told: Callable[..., None] = lambda *_: None,
    tell: Advance | None = None,
) -> Evidence:
    """Fit, optimise, and gather what a page shows of a table of runs.

    Held-out predictions are those of cross-validation over mixtures. What only a study knows (corpus, closed loop,
    time) is left out; the page's explorer answers other objectives and limits.

    Args:
        runs: table of runs in any form, a ``fit.json`` or a ``mixture.json``.
        mixtures: of two tables, the shares.
        losses: of two tables, the losses.
        title: heads the page of measurements that are at hand; that of a table is headed by its name.
        fit_file: what ``glotmix fit`` wrote of these runs; nothing is fitted again then.
        laws: laws to compare.
        folds: of cross-validation.
        bootstrap: resamples for intervals.
        seed: of starts, folds and resamples.
        question: objective, limits and size of the run.
        scores: what is said of targets that are scores.
        told: hears how the table was read.
        tell: hears how far the fit is.

    Raises:
        BadInput: whatever is wrong with the table, or fewer runs than parameters.
    """
    question = question or Question()
    if isinstance(runs, Path) and runs.suffix == ".json" and mixtures is None and losses is None:
        data = read_json(runs)
        if isinstance(data, dict) and "baselines" in data:
            return _of_optimum(runs, data)
        return _of_law(runs.stem, open_fit(runs), question, warnings=_remarks_in(data))
    if isinstance(runs, Measurements):
        measured = runs
    else:
        measured = read_runs(runs, mixtures=mixtures, losses=losses, scores=scores)
        title = (runs or mixtures or Path(title)).stem
    told(*measured.remarks)
    holdout, staged = None, list[str]()
    if fit_file is not None:
        law = open_fit(fit_file)
        measured = same_names(measured, law, where=fit_file)
    else:
        how: dict[str, Any] = {"folds": folds, "bootstrap": bootstrap, "seed": seed}
        fitted = fit_measurements(measured, laws=laws, workers=processes_for(measured), tell=tell, **how)
        law, holdout, staged = fitted.fit, fitted.holdout, fitted.staging.words(fitted.fit.fits)
    problems = {} if holdout is None else holdout.problems
    warnings = (
        *measured.remarks,
        *(f"Law {name} could not be fitted: {why}" for name, why in problems.items()),
        *staged,
    )
    noise = {} if holdout is None else holdout.noise
    return replace(
        _of_law(title, law, question, warnings),
        description=f"What {len(set(measured.runs))} runs say about the mixture of {len(measured.languages)} groups.",
        about=about_groups([*measured.languages, *measured.targets]),
        measurements=measured,
        transfer=_transfer(measured),
        held_out=held_out_of(holdout),
        held_out_by="cross-validation over mixtures",
        noise={t: x * float(np.nanmean(measured.loss(t))) for t, x in noise.items() if math.isfinite(x)},
        cost=_cost(measured),
        provenance=versions() | {"runs": fingerprint([title, np.nan_to_num(measured.loss_RT).tolist()])},
        unit=measured.unit,
        scored=measured.scored,
    )


def _of_law(title: str, law: Fit, question: Question, warnings: Sequence[str]) -> Evidence:
    """What a fitted law says by itself: the optimum, its baselines, the explorer."""
    D = question.D or (law.D if math.isfinite(law.D) else None)
    N = question.N or (law.N if math.isfinite(law.N) else None)
    optimum = optimum_of(law, question.config, unique=question.unique, D=D, N=N)
    unique, names = dict(optimum.unique), about_groups([*law.languages, *law.targets])
    config = named(question.config, law)
    return Evidence(
        title=title,
        description=f"What a fitted law says about the mixture of {len(law.languages)} groups.",
        about=names,
        front=front_of(
            law,
            optimum,
            constraints_from(config, law.languages, unique=unique, D=D),
            lambda name: names[name].name if name in names else name,
            N,
            D,
        ),
        law=law_fit(law),
        order=order_of(optimum, law),
        turning=turning_of(law, optimum.mixture.vector(law.languages)),
        advice=advice(law.law.name, optimum, config, D=D, unique=unique),
        warnings=(*warnings, *optimum.warnings),
        provenance=versions(),
        unit="loss",
        scored=law.scored,
    )


def _of_optimum(path: Path, data: Mapping[str, Any]) -> Evidence:
    """What an optimum says by itself."""
    optimum = Optimum.from_json(data, where=path)
    config = OptimizeConfig(max_epochs=None)
    if optimum.aim.name in OBJECTIVES:
        config = config.model_copy(update={"objective": optimum.aim.name})
    return Evidence(
        title=path.stem,
        description=f"A mixture of {len(optimum.mixture)} groups, as it was recommended.",
        about=about_groups([*optimum.mixture, *optimum.predicted]),
        advice=advice(str(data.get("law", "fitted")), optimum, config, D=optimum.D, unique=dict(optimum.unique)),
        order=order_of(optimum),
        warnings=optimum.warnings,
        provenance=versions(),
        unit="loss",
        scored=optimum.aim.scored,
    )


def _remarks_in(data: Any) -> tuple[str, ...]:
    """What ``glotmix fit`` remarked on the table."""
    remarks = data.get("remarks", ()) if isinstance(data, dict) else ()
    return tuple(str(remark) for remark in remarks) if isinstance(remarks, list) else ()


def about_groups(groups: Sequence[str]) -> dict[str, About]:
    """Names of groups that are language tags; other groups are called what the table calls them."""
    about = {}
    for name in dict.fromkeys(groups):
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
        return {"Shapley values": values_of_runs(measured, empty_of_scores(measured.targets, measured.scored))}
    except BadInput:
        return {}


def _cost(measured: Measurements) -> Spending:
    """Runs, tokens and FLOPs; of a run with several checkpoints the last one counts."""
    last: dict[str, int] = {}
    for r, run in enumerate(measured.runs):
        if run not in last or measured.D_R[r] > measured.D_R[last[run]]:
            last[run] = r
    rows = list(last.values())
    D, N = measured.D_R[rows], measured.N_R[rows]
    known = bool(np.isfinite(D).all())
    return Spending(
        runs={"complete": len(rows)},
        tokens=float(D.sum()) if known else None,
        flops=float((6 * N * D).sum()) if known and np.isfinite(N).all() else None,
    )
