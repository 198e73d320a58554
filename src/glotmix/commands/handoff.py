"""`glotmix design` and `glotmix collect`: the two halves of a study that somebody else's trainer trains."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glotmix.commands.options import (
    Chance,
    ErrorRate,
    HigherIsBetter,
    Json,
    Overrides,
    Questions,
    Scale,
    StudyFile,
    scores_declared,
)
from glotmix.commands.output import remark, show


def design(
    study: StudyFile,
    out: Annotated[Path, typer.Option("--out", help="Table to write.")] = Path("design.csv"),
    overrides: Overrides = None,
    scale: Scale = None,
    as_json: Json = False,
) -> None:
    """Write the runs that a study would train, one per row, for those who train them in their own way."""
    from glotmix.handoff.from_design import design_table
    from glotmix.measurements import write_csv
    from glotmix.studies.mixture.design import designed
    from glotmix.studies.mixture.kind import MixtureKind
    from glotmix.studies.start import open_study

    planned = designed(open_study(study, kind=MixtureKind(), scale=scale, overrides=overrides or []))
    table = design_table(planned)
    write_csv(table, out)
    show(as_json, {"runs": table.to_dicts(), "out": str(out)}, f"{len(planned)} runs", str(out))


def collect(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A study, its folder `handoff`, or with --design a folder of results.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Table to write.")] = Path("runs.csv"),
    results: Annotated[
        list[Path] | None, typer.Option("--results", help="File or folder of results; default results/ of the handoff.")
    ] = None,
    design: Annotated[
        Path | None, typer.Option("--design", help="Table that `glotmix design` wrote, where nothing was handed off.")
    ] = None,
    targets: Annotated[
        list[str] | None, typer.Option("--target", help="With --design: what losses are wanted of; default the groups.")
    ] = None,
    higher_is_better: HigherIsBetter = None,
    error_rate: ErrorRate = None,
    chance: Chance = None,
    questions: Questions = None,
    as_json: Json = False,
) -> None:
    """Collect what a foreign trainer measured into one table of runs: by name and checksum, or refused by name.

    Exit code 3 where runs are missing.
    """
    from glotmix.errors import Waiting
    from glotmix.handoff.asked import ABOUT, AskedScore
    from glotmix.handoff.collect import collect as collect_folder
    from glotmix.handoff.collect import collect_of
    from glotmix.handoff.from_design import runs_of
    from glotmix.measurements import write_csv

    if design is not None:
        declared = scores_declared(higher_is_better, error_rate, chance, questions)
        names = [*declared.higher, *declared.lower]
        scores = {name: AskedScore(one) for name, one in declared.among(names, {}).items()}
        found = collect_of(*runs_of(design, targets or [], scores), results or [directory])
    else:
        inside = directory / "handoff"
        found = collect_folder(inside if (inside / ABOUT).is_file() else directory, results or [])
    remark(*(f"refused: {one}" for one in found.refused), *found.remarks)
    measured = found.measurements()
    write_csv(measured.to_polars(), out)
    told = {
        "out": str(out),
        "complete": list(measured.runs),
        "ended": {one.asked.run: one.reason for one in found.runs.values() if one.status != "complete"},
        "missing": list(found.missing),
        "refused": list(found.refused),
        "remarks": list(found.remarks),
    }
    show(as_json, told, f"{len(measured)} of {len(measured) + len(found.missing)} runs", str(out))
    if found.missing:
        raise Waiting(found.missing, design or directory)
