"""`glotmix shapley`."""

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
    Questions,
    Runs,
    numbers,
    read_fit,
    runs_given,
    scores_declared,
)
from glotmix.commands.output import show
from glotmix.errors import BadInput


def shapley(
    runs: Runs = None,
    mixtures: MixturesTable = None,
    losses: LossesTable = None,
    empty: Annotated[
        list[str] | None,
        typer.Option(
            "--empty", metavar="TARGET=LOSS", help="Loss of the empty coalition; one number for all, or per target."
        ),
    ] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Estimate them from the coalitions there are; not all are needed.")
    ] = False,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="NAME=A,B", help="A family that bargains as a whole: Owen values inside it."),
    ] = None,
    law: Annotated[
        Path | None,
        typer.Option(
            metavar="fit.json",
            help="Values of a fitted law; with RUNS, values that the law tells and the runs correct.",
        ),
    ] = None,
    interactions: Annotated[
        str | None, typer.Option(metavar="TARGET", help="Pairwise interactions for one target in place of the values.")
    ] = None,
    higher_is_better: HigherIsBetter = None,
    error_rate: ErrorRate = None,
    chance: Chance = None,
    questions: Questions = None,
    as_json: Json = False,
) -> None:
    """Shapley values of every source for every target: from coalitions, all or some, from a law, or from both."""
    from glotmix.fit.games import ShapleyRequest, families, shapley_of
    from glotmix.transfer.matrix import transfer_table

    scores = scores_declared(higher_is_better, error_rate, chance, questions)
    measured = None if law and runs is None and mixtures is None else runs_given(runs, mixtures, losses, scores)
    targets = measured.targets if measured else ()
    fitted = None if law is None else read_fit(law)
    known = {} if empty is None else empty_coalition_losses(empty, targets or (fitted.targets if fitted else ()))
    asked = ShapleyRequest(known, estimate, families(group or []), interactions)
    matrix = shapley_of(measured, asked, fitted)
    told = matrix.to_json()
    # Targets stand at the top as well, where scripts have always found them.
    show(as_json, told["values"] | told, transfer_table(matrix), *matrix.explained())


def empty_coalition_losses(given: list[str], targets: tuple[str, ...]) -> dict[str, float]:
    """``["3.5"]`` is the loss of every target, ``["spa=3.5"]`` that of one."""
    found: dict[str, float] = {}
    for item in given:
        if "=" in item:
            found |= numbers("--empty", [item])
            continue
        try:
            found |= dict.fromkeys(targets, float(item))
        except ValueError:
            raise BadInput(f"{item!r}", where="--empty", expected="TARGET=loss, or one number for all") from None
    return found
