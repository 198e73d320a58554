"""The command line: one sub-command per stage; stages are imported when they are needed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from glotmix.errors import BadInput, GlotmixError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from glotmix.fit.fit import Fit
    from glotmix.optimize.config import OptimizeConfig
    from glotmix.studies.mixture.price import Cost
    from glotmix.study.kind import Price

app = typer.Typer(
    name="glotmix",
    help="Choose the language mixture of a multilingual language model from evidence.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="Study file (see `glotmix recipes`).")]
StudyDir = Annotated[Path, typer.Argument(metavar="DIR", help="Directory of a study.")]
FitFile = Annotated[Path, typer.Argument(metavar="fit.json", help="What `glotmix fit` or a study wrote.")]
Runs = Annotated[
    Path | None, typer.Argument(metavar="RUNS", help="Study directory, or one wide table (CSV, TSV, Parquet).")
]
Out = Annotated[Path | None, typer.Option("--out", help="Where the result goes.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="a.b=value", help="Change a field of the study.")]
Scale = Annotated[str | None, typer.Option("--scale", help="One of the file's scales: tiny, small, paper.")]
ObjectiveName = Annotated[str, typer.Option(help="mean, weighted, normalised, worst, regret or quantile.")]
Weights = Annotated[list[str] | None, typer.Option("--weight", metavar="TARGET=x", help="Weight of a target.")]
Floors = Annotated[list[str] | None, typer.Option("--floor", metavar="GROUP=x", help="Least share.")]
Ceilings = Annotated[list[str] | None, typer.Option("--ceiling", metavar="GROUP=x", help="Greatest share.")]
MaxEpochs = Annotated[float | None, typer.Option(help="Most passes over a group's unique tokens.")]
Unique = Annotated[
    list[str] | None,
    typer.Option("--unique", metavar="GROUP=tokens", help="Unique tokens of a group; default those of the table."),
]
Further = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="field=value",
        help="Any other field of a study's section `optimize`: kl=0.05, quantile=0.9, groups.west.ceiling=0.5, …",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def main() -> None:
    """Entry point: errors become one line and an exit code (1 failed, 2 bad input)."""
    # Before torch is loaded. By default threads that wait for each other spin, also for one whose core another
    # process has (a sweep's worker, a browser): a pass then takes many times as long (benchmarks/threads.py).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        app()
    except GlotmixError as error:
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        fail("interrupted; the same command goes on where it stopped", 130)
    except OSError as error:
        fail(f"{error.filename or 'input or output'}: {error.strerror or error}", 1)


def fail(message: str, code: int) -> NoReturn:
    """Print an error on one line of standard error and leave."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


def show(as_json: bool, data: Any, *tables: RenderableType) -> None:
    """Print a result: JSON for machines, or tables for people."""
    if as_json:
        print(json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False))
        return
    from rich.console import Console

    console = Console(highlight=False)
    for table in tables:
        console.print(table, markup=False) if isinstance(table, str) else console.print(table)


def show_cost(as_json: bool, cost: Cost | Price, directory: Path) -> None:
    """Print what a study costs as a whole, and what of it an earlier call has done already."""
    from rich.markup import escape

    from glotmix.study.status import complete_in

    done, table = complete_in(directory), cost.table()
    if done:
        table.add_row("done already", escape(f"{done} runs in {directory}, which are not trained again"))
    show(as_json, cost.to_json() | {"complete": done}, table)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from glotmix import __version__

        print(f"glotmix {__version__}")
        raise typer.Exit


@app.command()
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


@app.command()
def compare(
    study: StudyFile,
    methods: Annotated[
        list[str] | None,
        typer.Option("--methods", help="Methods with their numbers (temperature:5), several or by commas."),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Proxies of each method.")] = None,
    out: Out = None,
    overrides: Overrides = None,
    scale: Scale = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what it would cost and stop.")] = False,
    as_json: Json = False,
) -> None:
    """Train balancing methods and schedules at equal tokens and lay them side by side, with significance."""
    from glotmix.studies.compare.kind import EXPERIMENT, tables
    from glotmix.study import Narrator

    changes = list(overrides or [])
    if methods:
        changes.append(f"methods={json.dumps([name for some in methods for name in some.split(',')])}")
    changes += [f"seeds={seeds}"] if seeds is not None else []
    config = EXPERIMENT.load(study, scale=scale, overrides=changes)
    base, directory = study.resolve().parent, out or Path("out") / study.stem
    if dry_run:
        show_cost(as_json, EXPERIMENT.price(config, base), directory)
        return
    found, report = EXPERIMENT.compare(config, base, directory, Narrator())
    show(as_json, found.to_json(), *tables(found), str(report))


@app.command()
def methods(as_json: Json = False) -> None:
    """Every way of balancing languages that `compare` trains."""
    from glotmix.commands.listings import listing
    from glotmix.mixture.methods import METHODS

    rows = [
        {
            "method": ":".join([name, *(f"{p}={value:g}" for p, value in method.parameters.items())]),
            "what it does": method.formula,
            "source": method.source,
        }
        for name, method in METHODS.items()
    ]
    show(as_json, rows, listing("Methods", rows))


@app.command()
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


@app.command()
def fit(
    runs: Runs = None,
    law: Annotated[
        list[str] | None, typer.Option("--law", help="Law to fit; several, or `auto` for the usual ones.")
    ] = None,
    mixtures: Annotated[Path | None, typer.Option(help="Two-table form: shares, one row per run.")] = None,
    losses: Annotated[Path | None, typer.Option(help="Two-table form: losses, joined by the first column.")] = None,
    out: Out = None,
    folds: Annotated[int, typer.Option(min=2, help="Folds of cross-validation, by mixture.")] = 10,
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamples for intervals.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of starts, folds and resamples.")] = 0,
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

    with Narrator().bar("Fitting") as tell:
        result = fit_table(
            runs,
            mixtures=mixtures,
            losses=losses,
            laws=law or ["auto"],
            folds=folds,
            bootstrap=bootstrap,
            seed=seed,
            weights="repeats" if weigh_repeats else None,
            held_out=held_out,
            workers=workers,
            tell=tell,
        )
    if out is not None:
        write_json(out, result.to_json())
    show(as_json, result.to_json(), *result.tables())


@app.command()
def predict(
    fit_file: FitFile,
    mixtures: Annotated[
        Path, typer.Argument(metavar="MIXTURES.csv", help="Columns p/<group>…, and N, D if the law needs them.")
    ],
    out: Annotated[Path, typer.Option("--out", help="CSV to write.")] = Path("predicted.csv"),
    jackknife: Annotated[
        Path | None,
        typer.Option(
            metavar="RUNS", help="Intervals by jackknife+ over these runs, which assume nothing of the noise."
        ),
    ] = None,
) -> None:
    """Predict losses, with 95 % intervals, for the mixtures of a table."""
    from glotmix.commands.predict import predict_table

    predict_table(read_fit(fit_file), mixtures, out, jackknife)
    print(out)


@app.command()
def shapley(
    runs: Runs = None,
    mixtures: Annotated[Path | None, typer.Option(help="Two-table form: shares.")] = None,
    losses: Annotated[Path | None, typer.Option(help="Two-table form: losses.")] = None,
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
    as_json: Json = False,
) -> None:
    """Shapley values of every source for every target: from coalitions, all or some, from a law, or from both."""
    from glotmix.commands.shapley import Asked, families, shapley_of
    from glotmix.fit.choice import measurements_in
    from glotmix.transfer.matrix import transfer_table

    measured = None if law and runs is None and mixtures is None else measurements_in(runs, mixtures, losses)
    targets = measured.targets if measured else ()
    fitted = None if law is None else read_fit(law)
    known = {} if empty is None else losses_of_nobody(empty, targets or (fitted.targets if fitted else ()))
    asked = Asked(known, estimate, families(group or []), interactions)
    matrix = shapley_of(measured, asked, fitted)
    show(as_json, matrix.to_json()["values"], transfer_table(matrix))


@app.command()
def optimize(
    fit_file: FitFile,
    objective: ObjectiveName = "mean",
    weight: Weights = None,
    floor: Floors = None,
    ceiling: Ceilings = None,
    max_epochs: MaxEpochs = None,
    unique: Unique = None,
    tokens: Annotated[float | None, typer.Option(help="Training tokens D of the target run.")] = None,
    parameters: Annotated[float | None, typer.Option(help="Parameters N of the target model.")] = None,
    current: Annotated[
        list[str] | None, typer.Option("--current", metavar="GROUP=x", help="The mixture in use today.")
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="MIXTURE.json", help="Languages of this mixture keep their ratios; new ones join."),
    ] = None,
    affected: Annotated[
        list[str] | None, typer.Option("--affected", help="With --keep: languages of it whose share is sought again.")
    ] = None,
    further: Further = None,
    out: Annotated[Path, typer.Option("--out", help="Mixture file to write.")] = Path("mixture.json"),
    as_json: Json = False,
) -> None:
    """The best mixture under your limits, its interval, the active limits, and every baseline on the same law."""
    from glotmix.artifact import write_json
    from glotmix.commands.optimize import kept_of, optimum_of

    fitted = read_fit(fit_file)
    config = limits(objective, weight, floor, ceiling, max_epochs, further, current=numbers("--current", current))
    kept = None if keep is None else kept_of(keep, fitted.languages, affected or [])
    optimum = optimum_of(fitted, config, unique=numbers("--unique", unique), D=tokens, N=parameters, keep=kept)
    write_json(out, optimum.to_json())
    show(as_json, optimum.to_json(), optimum.table())
    if not as_json:
        print(out)


@app.command()
def scale(
    fit_file: FitFile,
    at: Annotated[
        list[str] | None, typer.Option("--at", metavar="N:D", help="A size (1e9:2e10): parameters and tokens; several.")
    ] = None,
    compute: Annotated[
        float | None, typer.Option(metavar="C", help="Budget in FLOPs: the best N, D and mixture with C = 6 N D.")
    ] = None,
    objective: ObjectiveName = "mean",
    weight: Weights = None,
    floor: Floors = None,
    ceiling: Ceilings = None,
    max_epochs: MaxEpochs = None,
    unique: Unique = None,
    further: Further = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """The optimum as a function of model size and tokens, with intervals, and the best way to spend a budget."""
    from glotmix.artifact import write_json
    from glotmix.commands.scale import climb_of, climb_table

    sizes = [(pair[0], pair[1]) for pair in (parts("--at", text, "N:D", 2) for text in at or [])]
    config = limits(objective, weight, floor, ceiling, max_epochs, further)
    climb = climb_of(read_fit(fit_file), config, unique=numbers("--unique", unique), sizes=sizes, C=compute)
    if out is not None:
        write_json(out, climb.to_json())
    show(as_json, climb.to_json(), climb_table(climb))


@app.command()
def reuse(
    mixture: Annotated[Path, typer.Argument(metavar="mixture.json", help="The mixture found before.")],
    new: Annotated[list[str], typer.Option("--new", help="Language that joins; several.")],
    affected: Annotated[
        list[str] | None, typer.Option("--affected", help="Old language whose share is to be found again; several.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Mixtures to train.")] = 12,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    out: Annotated[Path, typer.Option("--out", help="Table to write.")] = Path("design.csv"),
) -> None:
    """Which mixtures to train when languages join: the unaffected ones keep their ratios (Olmix's mixture reuse)."""
    from glotmix.commands.optimize import reuse_design

    reuse_design(mixture, new, affected or [], runs, seed, out)
    print(out)


@app.command()
def export(
    mixture: Annotated[Path, typer.Argument(metavar="mixture.json", help="An optimum, a mixture or a schedule.")],
    to: Annotated[str, typer.Option("--to", help="Exporter (see `glotmix exporters`).")],
    out: Annotated[Path, typer.Option("--out", help="Directory to write.")] = Path("export"),
    tokens: Annotated[float, typer.Option(help="Training tokens D of the run.")] = 1e9,
    sequence_length: Annotated[int, typer.Option(min=8, help="Tokens per sequence.")] = 2048,
    batch: Annotated[int, typer.Option(min=1, help="Sequences per step.")] = 512,
    path: Annotated[
        str, typer.Option(help="Where your data lies, {language} standing for the language.")
    ] = "data/{language}",
    unique: Annotated[
        list[str] | None, typer.Option("--unique", metavar="LANGUAGE=tokens", help="Unique tokens.")
    ] = None,
    tokens_per_document: Annotated[
        list[str] | None, typer.Option("--tokens-per-document", metavar="LANGUAGE=x", help="Mean tokens of a document.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a trainer's own files and realised.json, the shares that the trainer will really give."""
    from glotmix.commands.export import export_file
    from glotmix.exporters.exporter import realised_table

    realised = export_file(
        mixture,
        to,
        out,
        tokens=tokens,
        sequence_length=sequence_length,
        batch=batch,
        path=path,
        unique=numbers("--unique", unique),
        tokens_per_document=numbers("--tokens-per-document", tokens_per_document),
    )
    show(as_json, realised.to_json(), realised_table(realised), *realised.remarks)
    if not as_json:
        print(out)


@app.command()
def influence(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Finished runs that differ in their seed: of a study (with checkpoints), a transformers model, a LoRA "
            "adapter.",
        ),
    ],
    train: Annotated[
        Path | None, typer.Option(help="Table of training texts: text, language, maybe id, label.")
    ] = None,
    test: Annotated[Path | None, typer.Option(help="Table of test texts.")] = None,
    train_samples: Annotated[int, typer.Option(min=1, help="Most training samples of each language.")] = 100,
    test_samples: Annotated[int, typer.Option(min=1, help="Most test samples of each language.")] = 10,
    top: Annotated[int | None, typer.Option(min=1, help="Samples that count as the top; default a tenth.")] = None,
    similarity: Annotated[str, typer.Option(help="cosine or dot.")] = "cosine",
    weighting: Annotated[str, typer.Option(help="Of checkpoints: uniform, learning_rate or last.")] = "uniform",
    parameters: Annotated[
        list[str] | None, typer.Option("--parameters", metavar="NAME", help="all, linear, embeddings, or patterns.")
    ] = None,
    checkpoint: Annotated[list[str] | None, typer.Option("--checkpoint", help="Checkpoint to use; several.")] = None,
    length: Annotated[int, typer.Option(min=4, help="Most tokens of a text.")] = 128,
    processes: Annotated[int, typer.Option(min=1, help="Processes side by side over the training samples.")] = 1,
    index: Annotated[
        Path | None, typer.Option(help="Score with a projected index kept here; its error is told.")
    ] = None,
    dimensions: Annotated[int, typer.Option(min=1, help="Sides of a projected matrix.")] = 16,
    lenses: Annotated[
        bool, typer.Option("--lenses", help="Beside a study's game and law, and in-run Shapley of the same runs.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of samples, nulls and projections.")] = 0,
    out: Annotated[Path, typer.Option("--out", help="Directory of scores and report.")] = Path("influence"),
    as_json: Json = False,
) -> None:
    """Which languages' training samples predictions rest on: shares beside their nulls, with intervals."""
    from glotmix.studies.influence.finished_runs import Asking, influence_of
    from glotmix.study.narrator import Narrator

    chosen = parameters or ["all"]
    named = chosen[0] if len(chosen) == 1 and chosen[0] in ("all", "linear", "embeddings") else chosen
    asking = Asking(
        train=train,
        test=test,
        train_samples=train_samples,
        test_samples=test_samples,
        similarity=similarity,
        weighting=weighting,
        parameters=named,
        checkpoints=checkpoint or None,
        top=top,
        length=length,
        processes=processes,
        index=index,
        dimensions=dimensions,
        lenses=lenses,
        seed=seed,
    )
    answer = influence_of(runs, asking, out, Narrator())
    show(as_json, read_back(out / "influence.json"), *answer.tables())


@app.command()
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
        from glotmix.commands.report import report_on_runs

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


@app.command()
def status(directory: StudyDir, as_json: Json = False) -> None:
    """How far a study is, from another terminal."""
    from glotmix.study.status import status_of

    found = status_of(directory)
    show(as_json, found.to_json(), found.table())


@app.command()
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


@app.command()
def laws(as_json: Json = False) -> None:
    """Every law: formula, parameters, what it needs, whether a share may be zero, source."""
    from glotmix.commands.listings import law_rows, listing

    rows = law_rows()
    show(as_json, rows, listing("Laws", rows))


@app.command()
def exporters(as_json: Json = False) -> None:
    """Every trainer that a mixture can be exported to."""
    from glotmix.commands.listings import listing
    from glotmix.exporters import all_exporters

    rows = [
        {
            "exporter": name,
            "trainer": e.title,
            "version": e.target_version,
            "unit": e.unit,
            "schedules": e.schedule_support,
        }
        for name, e in all_exporters().items()
    ]
    show(as_json, rows, listing("Exporters", rows))


@app.command()
def recipes(as_json: Json = False) -> None:
    """Study files to start from."""
    from glotmix.commands.listings import listing
    from glotmix.commands.recipes import all_recipes

    rows = all_recipes()
    show(as_json, rows, listing("Recipes", rows))


def numbers(option: str, pairs: list[str] | None) -> dict[str, float]:
    """``["swh_Latn=0.01"]`` as ``{"swh_Latn": 0.01}``."""
    result: dict[str, float] = {}
    for pair in pairs or []:
        name, equals, value = pair.rpartition("=")
        try:
            result[name] = float(value)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise BadInput(f"{pair!r}", where=option, expected="NAME=number")
    return result


def losses_of_nobody(given: list[str], targets: tuple[str, ...]) -> dict[str, float]:
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


def parts(option: str, text: str, form: str, count: int) -> list[float]:
    """``"1e9:2e10"`` as ``[1e9, 2e10]``."""
    try:
        found = [float(part) for part in text.split(":")]
    except ValueError:
        found = []
    if len(found) != count or not all(0 < x < float("inf") for x in found):
        raise BadInput(f"{text!r}", where=option, expected=f"{form}, numbers above 0")
    return found


def limits(
    objective: str,
    weight: list[str] | None,
    floor: list[str] | None,
    ceiling: list[str] | None,
    max_epochs: float | None,
    further: list[str] | None,
    **more: Any,
) -> OptimizeConfig:
    """Objective and limits from the options that the commands share."""
    from glotmix.commands.optimize import asked

    given = {
        "objective": objective,
        "weights": numbers("--weight", weight),
        "floors": numbers("--floor", floor),
        "ceilings": numbers("--ceiling", ceiling),
        "max_epochs": max_epochs,
    }
    return asked(given | more, further or [])


def read_back(path: Path) -> Any:
    """JSON that a stage has just written."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_fit(path: Path) -> Fit:
    """The chosen law in a fit file."""
    from glotmix.fit.choice import open_fit

    return open_fit(path)
