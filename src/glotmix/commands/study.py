"""Commands that work on a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glotmix.commands.options import Json, Out, Overrides, Scale, StudyDir, StudyFile
from glotmix.commands.output import show

if TYPE_CHECKING:
    from glotmix.studies.mixture.price import Cost
    from glotmix.study.kind import Price


def show_cost(as_json: bool, cost: Cost | Price, directory: Path) -> None:
    """Print what a study costs as a whole, and what of it an earlier call has done already."""
    from rich.markup import escape

    from glotmix.study.status import complete_in

    done, table = complete_in(directory), cost.table()
    if done:
        table.add_row("done already", escape(f"{done} runs in {directory}, which are not trained again"))
    show(as_json, cost.to_json() | {"complete": done}, table)


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
    """Run a whole study; interrupted and called again, it goes on where it stopped."""
    from glotmix.config import read_yaml
    from glotmix.studies.mixture.config import load_study
    from glotmix.studies.mixture.kind import run_study
    from glotmix.studies.mixture.price import dry_run as tell_cost
    from glotmix.study import Narrator, Study

    dials = {"sweep.executor": executor, "sweep.address": address}
    changes = [*(overrides or []), *(f"{name}={value}" for name, value in dials.items() if value)]
    directory = out or Path("out") / study.stem
    kind = str(read_yaml(study).get("kind", "mixture"))
    if kind != "mixture":
        run_experiment(kind, study, directory, changes, scale, dry_run, as_json)
        return
    config = load_study(study, scale=scale, overrides=changes)
    whole = Study(config, study.resolve().parent, directory, Narrator())
    if dry_run:
        show_cost(as_json, tell_cost(whole), directory)
        return
    report = run_study(whole)
    show(as_json, {"report": str(report), "directory": str(directory)}, str(report))


def run_experiment(
    kind: str,
    study: Path,
    directory: Path,
    overrides: list[str],
    scale: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run a study file of another kind than a mixture."""
    from glotmix.study import Narrator
    from glotmix.study.experiments import find_experiment

    experiment = find_experiment(kind, where=study)
    config = experiment.load(study, scale=scale, overrides=overrides)
    base = study.resolve().parent
    if dry_run:
        show_cost(as_json, experiment.price(config, base), directory)
        return
    report = experiment.run(config, base, directory, Narrator())
    show(as_json, {"report": str(report), "directory": str(directory)}, str(report))


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
    from glotmix.studies.mixture.config import load_study
    from glotmix.studies.mixture.kind import take_census_of
    from glotmix.study import Narrator, Study
    from glotmix.sweep.lock import held

    config = load_study(study, scale=scale, overrides=overrides or [])
    whole = Study(config, study.resolve().parent, out or Path("out") / study.stem, Narrator())
    if quick:
        from glotmix.corpus.sketch import sketch_table

        sketches = whole.sketches()
        show(as_json, {name: one.to_json() for name, one in sketches.items()}, sketch_table(sketches))
        return
    with held(whole.directory):
        counted = take_census_of(whole)
    show(as_json, counted.to_json(), counted.table())


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
