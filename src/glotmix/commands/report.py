"""`glotmix report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glotmix.commands.optimize import limits
from glotmix.commands.options import (
    Ceilings,
    Chance,
    Current,
    ErrorRate,
    Floors,
    Further,
    HigherIsBetter,
    Json,
    LossesTable,
    MaxEpochs,
    MixturesTable,
    ObjectiveName,
    Out,
    Parameters,
    Questions,
    Tokens,
    Unique,
    Weights,
    numbers,
    scores_declared,
)
from glotmix.commands.output import remark, show
from glotmix.errors import BadInput


def report(
    study: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR|RUNS", help="Directory of a study, a table of runs in any form, a fit.json or a mixture.json."
        ),
    ] = None,
    mixtures: MixturesTable = None,
    losses: LossesTable = None,
    law: Annotated[
        list[str] | None, typer.Option("--law", help="For a table: laws to compare; default `auto`.")
    ] = None,
    fit: Annotated[
        Path | None, typer.Option(metavar="fit.json", help="For a table: what `glotmix fit` wrote of it.")
    ] = None,
    higher_is_better: HigherIsBetter = None,
    error_rate: ErrorRate = None,
    chance: Chance = None,
    questions: Questions = None,
    objective: ObjectiveName = "mean",
    weight: Weights = None,
    floor: Floors = None,
    ceiling: Ceilings = None,
    max_epochs: MaxEpochs = None,
    unique: Unique = None,
    tokens: Tokens = None,
    parameters: Parameters = None,
    current: Current = None,
    further: Further = None,
    compare: Annotated[
        Path | None,
        typer.Option("--compare", metavar="OTHER", help="Show what changed since this other study (table)."),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option(metavar="card.svg", help="Also write the decision card as one picture, to be sent on."),
    ] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Write the report of a study again, or of your own runs, a fit or an optimum; or lay one beside another."""
    if card is not None and (card.suffix != ".svg" or compare is not None):
        expected = "a page of one study (table)" if compare is not None else "a file that ends in .svg"
        raise BadInput(f"--card {card}", where="glotmix report", expected=expected)
    if study is not None and study.is_dir():
        from glotmix.studies.mixture.kind import compare_studies, report_again

        written = report_again(study, out, card) if compare is None else compare_studies(compare, study, out)
    else:
        from glotmix.report.runs import Question, compare_runs, report_on_runs
        from glotmix.study.narrator import Narrator

        config = limits(objective, weight, floor, ceiling, max_epochs, further, current=numbers("--current", current))
        question = Question(config, numbers("--unique", unique) or None, tokens, parameters)
        laws, page = law or ["auto"], out or Path("report.html")
        if compare is not None and (study is None or compare.is_dir()):
            raise BadInput("--compare of a table with a study", where=study, expected="two studies, or two tables")
        with Narrator().bar("Fitting") as tell:
            scores = scores_declared(higher_is_better, error_rate, chance, questions)
            how = {"laws": laws, "question": question, "scores": scores, "told": remark, "tell": tell}
            if compare is None or study is None:
                how |= {"mixtures": mixtures, "losses": losses, "fit_file": fit}
                written = report_on_runs(study, out=page, card=card, **how)
            else:
                written = compare_runs(compare, study, page, **how)
    show(as_json, {"report": str(written)}, str(written))
