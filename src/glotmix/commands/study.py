"""Commands that work on a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glotmix.commands.options import Json, Out, Overrides, Scale, StudyDir, StudyFile
from glotmix.commands.output import show

if TYPE_CHECKING:
    from glotmix.studies.start import StudyToRun


def run(
    study: StudyFile,
    out: Out = None,
    overrides: Overrides = None,
    scale: Scale = None,
    executor: Annotated[str | None, typer.Option(help="local, ray or slurm.")] = None,
    address: Annotated[str | None, typer.Option(help="Ray: the cluster's address, or auto.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what it would cost and stop.")] = False,
    as_json: Json = False,
) -> None:
    """Run a whole study of any kind; interrupted and called again, it goes on where it stopped."""
    from glotmix.studies.start import open_study

    dials = {"sweep.executor": executor, "sweep.address": address}
    changes = [*(overrides or []), *(f"{name}={value}" for name, value in dials.items() if value)]
    run_or_tell_cost(open_study(study, out=out, scale=scale, overrides=changes), dry_run, as_json)


def run_or_tell_cost(study: StudyToRun, dry_run: bool, as_json: bool) -> None:
    """Run a study, or with ``dry_run`` print what it costs and what of it an earlier call has done already."""
    if dry_run:
        price = study.price()
        show(as_json, price.to_json(), price.table())
        return
    finished = study.run()
    found = {} if finished.found is None else finished.found.to_json()
    told = {**found, "report": str(finished.report), "directory": str(study.directory.path)}
    show(as_json, told, *finished.tables, str(finished.report))


def census(
    study: StudyFile,
    overrides: Overrides = None,
    scale: Scale = None,
    out: Out = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Documents, bytes and duplicates alone, by sketch; nothing is tokenised.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Documents, bytes, unique tokens, fertility and epochs at the target budget, per language."""
    from glotmix.studies.mixture.kind import MixtureKind
    from glotmix.studies.mixture.pipeline import take_census_of
    from glotmix.studies.mixture.stages import MixtureStudy
    from glotmix.study.directory import StudyDirectory
    from glotmix.sweep.lock import held

    config = MixtureKind().load(study, scale=scale, overrides=overrides or [])
    whole = MixtureStudy.of(config, StudyDirectory(out or Path("out") / study.stem, study.resolve().parent))
    if quick:
        from glotmix.corpus.sketch import sketch_table

        sketches = whole.sketches()
        show(as_json, {name: one.to_json() for name, one in sketches.items()}, sketch_table(sketches))
        return
    with held(whole.directory):
        counted = take_census_of(whole)
    show(as_json, counted.to_json(), *counted.tables())


def status(directory: StudyDir, as_json: Json = False) -> None:
    """How far a study is, from another terminal."""
    from glotmix.study.status import status_of

    found = status_of(directory)
    show(as_json, found.to_json(), found.table())


def sky(
    study: StudyFile,
    mirror: Annotated[str, typer.Option("--mirror", metavar="URL", help="Where finished results are kept.")],
    accelerators: Annotated[str | None, typer.Option(help="SkyPilot's name and number of GPUs (A100:1).")] = None,
    out: Annotated[Path, typer.Option("--out", help="Task file to write.")] = Path("sky.yaml"),
) -> None:
    """Write a SkyPilot task that runs a study on spot machines; start it with `sky jobs launch sky.yaml`."""
    from glotmix.artifact import write_text
    from glotmix.config import read_yaml
    from glotmix.sweep.skypilot import sky_task

    read_yaml(study)
    write_text(out, sky_task(study, mirror, accelerators=accelerators))
    print(out)
