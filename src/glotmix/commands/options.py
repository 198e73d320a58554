"""Options and arguments that several commands share, and how their texts are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glotmix.errors import BadInput

if TYPE_CHECKING:
    from glotmix.fit.fit import Fit


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


def parts(option: str, text: str, form: str, count: int) -> list[float]:
    """``"1e9:2e10"`` as ``[1e9, 2e10]``."""
    try:
        found = [float(part) for part in text.split(":")]
    except ValueError:
        found = []
    if len(found) != count or not all(0 < x < float("inf") for x in found):
        raise BadInput(f"{text!r}", where=option, expected=f"{form}, numbers above 0")
    return found


def read_back(path: Path) -> Any:
    """JSON that a stage has just written."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_fit(path: Path) -> Fit:
    """The chosen law in a fit file."""
    from glotmix.fit.choice import open_fit

    return open_fit(path)
