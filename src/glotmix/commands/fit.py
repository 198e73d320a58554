"""`glotmix fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glotmix.commands.options import (
    Chance,
    ErrorRate,
    HigherIsBetter,
    Json,
    LossesTable,
    MixturesTable,
    Out,
    Questions,
    Runs,
    runs_given,
    scores_declared,
)
from glotmix.commands.output import show


def fit(
    runs: Runs = None,
    law: Annotated[
        list[str] | None, typer.Option("--law", help="Law to fit; several, or `auto` for the usual ones.")
    ] = None,
    mixtures: MixturesTable = None,
    losses: LossesTable = None,
    out: Out = None,
    folds: Annotated[int, typer.Option(min=2, help="Folds of cross-validation, by mixture.")] = 10,
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamples for intervals.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of starts, folds and resamples.")] = 0,
    higher_is_better: HigherIsBetter = None,
    error_rate: ErrorRate = None,
    chance: Chance = None,
    questions: Questions = None,
    held_out: Annotated[
        Path | None, typer.Option(metavar="TABLE", help="Runs kept apart: they judge, and take no part in the choice.")
    ] = None,
    weigh_repeats: Annotated[
        bool, typer.Option("--weigh-repeats", help="Weigh runs by how much repeats of their mixtures differ.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; default one per core for larger tables.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fit laws to runs and judge them on mixtures they have not seen, beside the mixture-blind null."""
    from glotmix.artifact import write_json
    from glotmix.fit.choice import fit_table
    from glotmix.study.narrator import Narrator

    scores = scores_declared(higher_is_better, error_rate, chance, questions)
    measured = runs_given(runs, mixtures, losses, scores)
    with Narrator().bar("Fitting") as tell:
        result = fit_table(
            measured,
            mixtures=None,
            losses=None,
            laws=law or ["auto"],
            folds=folds,
            bootstrap=bootstrap,
            seed=seed,
            weights="repeats" if weigh_repeats else None,
            held_out=held_out,
            workers=workers,
            tell=tell,
        )
    told = result.to_json() | {"remarks": list(measured.remarks)}
    if out is not None:
        write_json(out, told)
    show(as_json, told, *result.tables())
