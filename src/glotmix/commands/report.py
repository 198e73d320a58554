"""`glotmix report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glotmix.commands.options import Out
from glotmix.errors import BadInput


def report(
    study: Annotated[
        Path | None, typer.Argument(metavar="DIR|RUNS", help="Directory of a study, or one wide table of runs.")
    ] = None,
    mixtures: Annotated[Path | None, typer.Option(help="Two-table form: shares, one row per run.")] = None,
    losses: Annotated[Path | None, typer.Option(help="Two-table form: losses, joined by the first column.")] = None,
    law: Annotated[
        list[str] | None, typer.Option("--law", help="For a table: laws to compare; default `auto`.")
    ] = None,
    compare: Annotated[
        Path | None, typer.Option("--compare", metavar="OTHER", help="Show what changed since this other study.")
    ] = None,
    out: Out = None,
) -> None:
    """Write the report of a study again, or of your own runs; or lay a study beside another one."""
    if study is None or not study.is_dir():
        from glotmix.report.runs import report_on_runs

        if compare is not None:
            raise BadInput("--compare with a table", where=study, expected="directories of two studies")
        print(
            report_on_runs(
                study, mixtures=mixtures, losses=losses, laws=law or ["auto"], out=out or Path("report.html")
            )
        )
        return
    from glotmix.studies.mixture.kind import compare_studies, report_again

    print(report_again(study, out) if compare is None else compare_studies(compare, study, out))
