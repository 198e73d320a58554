"""Commands that work on a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glotmix.commands.options import Json, Out, Overrides, Scale, StudyDir, StudyFile
from glotmix.commands.output import show
from glotmix.errors import BadInput

if TYPE_CHECKING:
    from glotmix.studies.start import StudyToRun


def run(
    study: StudyFile,
    out: Out = None,
    overrides: Overrides = None,
    scale: Scale = None,
    executor: Annotated[str | None, typer.Option(help="local, ray, slurm or external.")] = None,
    address: Annotated[str | None, typer.Option(help="Ray: the cluster's address, or auto.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what it would cost and stop.")] = False,
    rehearse: Annotated[
        bool,
        typer.Option("--rehearse", help="Tell what every stage would hold on a device, and stop."),
    ] = False,
    memory: Annotated[float, typer.Option(help="--rehearse: GB of memory of a device.")] = 80.0,
    throughput: Annotated[float, typer.Option(help="--rehearse: FLOP/s that a device keeps up.")] = 2e14,
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep OUT/live.html up to date, a page that reloads itself as runs end.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a whole study of any kind; called again after an interruption, it resumes where it stopped."""
    from glotmix.studies.start import open_study

    dials = {"sweep.executor": executor, "sweep.address": address}
    changes = [*(overrides or []), *(f"{name}={value}" for name, value in dials.items() if value)]
    opened = open_study(study, out=out, scale=scale, overrides=changes)
    if rehearse:
        tell_rehearsal(opened, memory, throughput, as_json)
        return
    run_or_tell_cost(opened, dry_run, as_json, watch=watch)


def run_or_tell_cost(study: StudyToRun, dry_run: bool, as_json: bool, *, watch: bool = False) -> None:
    """Run a study, or with ``dry_run`` print what it costs and what of it an earlier call has done already."""
    if dry_run:
        tell_cost(study, as_json)
        return
    if watch:
        from glotmix.studies.live_page import LIVE, live

        study.directory.narrator.say(f"Open {study.directory.path / LIVE} in a browser; it appears with the first runs")
        with live(study.directory.path):
            finished = study.run()
    else:
        finished = study.run()
    found = {} if finished.found is None else finished.found.to_json()
    told = {**found, "report": str(finished.report), "directory": str(study.directory.path)}
    show(as_json, told, *finished.tables, str(finished.report))


def tell_cost(study: StudyToRun, as_json: bool) -> None:
    """Print what a study costs; then everything that is wrong with it, if anything is."""
    from glotmix.errors import refuse

    problems = study.problems()
    try:
        price = study.price()
    except BadInput as error:
        refuse(problems or [error])
        raise
    show(as_json, price.to_json(), price.table())
    refuse(problems)


def tell_rehearsal(study: StudyToRun, memory: float, throughput: float, as_json: bool) -> None:
    """Print what every stage would hold and how long it would take; then every stage that cannot be."""
    from glotmix.errors import refuse

    for option, value in (("--memory", memory), ("--throughput", throughput)):
        if not 0 < value < float("inf"):
            raise BadInput(f"{value:g}", where=option, expected="a number above 0")
    found = study.rehearse(memory, throughput)
    show(as_json, found.to_json(), found.table())
    refuse(found.problems())


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
    from glotmix.errors import refuse
    from glotmix.studies.mixture.config import StudyConfig
    from glotmix.studies.mixture.kind import MixtureKind
    from glotmix.studies.mixture.pipeline import take_census_of
    from glotmix.studies.mixture.problems import problems_with
    from glotmix.studies.mixture.stages import MixtureStudy
    from glotmix.studies.start import open_study
    from glotmix.study.preflight import corpus_problems, in_the_users_words, respelt
    from glotmix.sweep.lock import held

    asked = open_study(study, kind=MixtureKind(), out=out, scale=scale, overrides=overrides or [])
    with in_the_users_words(asked.spelt):
        assert isinstance(asked.config, StudyConfig)
        whole = MixtureStudy.of(asked.config, asked.directory)
        if quick:
            quickly = whole.quick_census()
            show(as_json, quickly.to_json(), *quickly.tables())
            return
        fresh = not (whole.directory / "tokens").is_dir()
        unsound = fresh and corpus_problems(whole.config, whole.base, whole.directory)[1]
        if not unsound:
            with held(whole.directory):
                counted = take_census_of(whole)
    if unsound:
        refuse(asked.problems())
    refused = [respelt(one, asked.spelt) for one in problems_with(whole.config, counted, whole.base)]
    show(as_json, counted.to_json(), *counted.tables(), *(f"`glotmix run` would refuse: {one}" for one in refused))


def status(
    directory: StudyDir,
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep DIR/live.html up to date until nobody works on the study.")
    ] = False,
    as_json: Json = False,
) -> None:
    """How far a study is, from another terminal."""
    from glotmix.study.status import status_of

    if watch:
        from glotmix.studies.live_page import follow

        follow(directory)
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
