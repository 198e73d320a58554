"""Commands that work on a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glotmix.commands.options import Json, Out, Overrides, Scale, StudyDir, StudyFile
from glotmix.commands.output import show

if TYPE_CHECKING:
    from glotmix.config import Section
    from glotmix.study.kind import StudyKind


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
    from glotmix.studies import KINDS
    from glotmix.study.kind import kind_in

    dials = {"sweep.executor": executor, "sweep.address": address}
    changes = [*(overrides or []), *(f"{name}={value}" for name, value in dials.items() if value)]
    kind = KINDS.find(kind_in(study), where=study)()
    config = kind.load(study, scale=scale, overrides=changes)
    run_or_tell_cost(kind, config, study, out, dry_run, as_json)


def run_or_tell_cost(
    kind: StudyKind[Any], config: Section, study: Path, out: Path | None, dry_run: bool, as_json: bool
) -> None:
    """Run a study, or with ``dry_run`` print what it costs and what of it an earlier call has done already."""
    from glotmix.study.directory import StudyDirectory
    from glotmix.study.kind import run_study
    from glotmix.study.status import complete_in

    directory = StudyDirectory(out or Path("out") / study.stem, study.resolve().parent)
    if dry_run:
        price, done = kind.price(config, directory.base), complete_in(directory.path)
        if done:
            price.lines["done already"] = f"{done} runs in {directory.path}, which are not trained again"
        show(as_json, {**price.to_json(), "complete": done}, price.table())
        return
    finished = run_study(kind, config, directory)
    found = {} if finished.found is None else finished.found.to_json()
    told = {**found, "report": str(finished.report), "directory": str(directory.path)}
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
