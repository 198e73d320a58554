"""Options and arguments that several commands share, and how their texts are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glotmix.commands.output import remark
from glotmix.errors import BadInput

if TYPE_CHECKING:
    from glotmix.fit.fit import Fit
    from glotmix.measurements import DeclaredScores, Measurements


StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="Study file (see `glotmix recipes`).")]


StudyDir = Annotated[Path, typer.Argument(metavar="DIR", help="Directory of a study.")]


FitFile = Annotated[Path, typer.Argument(metavar="fit.json", help="What `glotmix fit` or a study wrote.")]


Runs = Annotated[
    Path | None,
    typer.Argument(
        metavar="RUNS",
        help="Study directory, or a table (CSV, TSV, Parquet): wide, long, or a tracker's export; with --mixtures "
        "alone, the losses.",
    ),
]


MixturesTable = Annotated[
    Path | None,
    typer.Option("--mixtures", help="Two tables: shares, one row per run (RegMix, Olmix), beside --losses or RUNS."),
]


LossesTable = Annotated[
    Path | None, typer.Option("--losses", help="Two tables: losses, wide or long, joined by the first column.")
]


HigherIsBetter = Annotated[
    list[str] | None,
    typer.Option(
        "--higher-is-better",
        metavar="TARGET",
        help="A target that is a score from 0 to 1 (or in percent) and no loss; several. Columns acc/…, score/… are.",
    ),
]


ErrorRate = Annotated[
    list[str] | None, typer.Option("--error-rate", metavar="TARGET", help="A target that is one minus such a score.")
]


Chance = Annotated[
    list[str] | None,
    typer.Option("--chance", metavar="TARGET=x", help="Score of guessing; one number for all scores, or per target."),
]


Questions = Annotated[
    list[str] | None,
    typer.Option(
        "--questions", metavar="TARGET=n", help="Questions that a score is the mean of; likewise. They tell its noise."
    ),
]


Out = Annotated[Path | None, typer.Option("--out", help="Where the result goes.")]


Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="a.b=value", help="Change a field of the study.")]


Scale = Annotated[str | None, typer.Option("--scale", help="One of the file's scales: tiny, small, paper.")]


ObjectiveName = Annotated[str, typer.Option(help="mean, weighted, normalised, worst, regret or quantile.")]


Weights = Annotated[
    list[str] | None,
    typer.Option("--weight", "--weights", metavar="TARGET=x", help="Weight of a target; their sum does not matter."),
]


Floors = Annotated[list[str] | None, typer.Option("--floor", metavar="GROUP=x", help="Least share.")]


Ceilings = Annotated[list[str] | None, typer.Option("--ceiling", metavar="GROUP=x", help="Greatest share.")]


MaxEpochs = Annotated[float | None, typer.Option(help="Most passes over a group's unique tokens.")]


Unique = Annotated[
    list[str] | None,
    typer.Option("--unique", metavar="GROUP=tokens", help="Unique tokens of a group; default those of the table."),
]


Tokens = Annotated[float | None, typer.Option(help="Training tokens D of the target run.")]


Parameters = Annotated[float | None, typer.Option(help="Parameters N of the target model.")]


Current = Annotated[
    list[str] | None,
    typer.Option("--current", metavar="GROUP=x", help="The mixture in use today, in shares or percent."),
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


def numbers(option: str, pairs: list[str] | None) -> dict[str, float]:
    """``["swh_Latn=0.01"]`` as ``{"swh_Latn": 0.01}``; several may stand in one text, parted by commas."""
    result: dict[str, float] = {}
    for pair in [one for some in pairs or [] for one in (some.split(",") if some.count("=") > 1 else [some])]:
        name, equals, value = pair.rpartition("=")
        try:
            result[name] = float(value)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise BadInput(f"{pair!r}", where=option, expected="NAME=number")
    return result


def parts(option: str, text: str, form: str, count: int) -> list[float]:
    """``"1e9:2e10"`` as ``[1e9, 2e10]``."""
    try:
        found = [float(part) for part in text.split(":")]
    except ValueError:
        found = []
    if len(found) != count or not all(0 < x < float("inf") for x in found):
        raise BadInput(f"{text!r}", where=option, expected=f"{form}, numbers above 0")
    return found


def scores_declared(
    higher: list[str] | None, error_rate: list[str] | None, chance: list[str] | None, questions: list[str] | None
) -> DeclaredScores:
    """What the four options say of scores; ``0.25`` is ``TARGET=0.25`` of every score."""
    from glotmix.measurements import DeclaredScores

    def named(option: str, given: list[str] | None) -> dict[str, float]:
        return numbers(option, [text if "=" in text else f"*={text}" for text in given or []])

    told = {
        option: {"" if name == "*" else name: x for name, x in named(option, given).items()}
        for option, given in (("--chance", chance), ("--questions", questions))
    }
    return DeclaredScores(tuple(higher or ()), tuple(error_rate or ()), told["--chance"], told["--questions"])


def runs_given(
    runs: Path | None,
    mixtures: Path | None = None,
    losses: Path | None = None,
    scores: DeclaredScores | None = None,
) -> Measurements:
    """The runs that a command was given, in any form; what is to be said of how they were read is said here."""
    from glotmix.measurements import read_runs

    measured = read_runs(runs, mixtures=mixtures, losses=losses, scores=scores)
    remark(*measured.remarks)
    return measured


def read_back(path: Path) -> Any:
    """JSON that a stage has just written."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_fit(path: Path) -> Fit:
    """The chosen law in a fit file."""
    from glotmix.fit.choice import open_fit

    return open_fit(path)
