"""`glotmix compare` and `glotmix methods`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from glotmix.commands.options import Json, Out, Overrides, Scale, StudyFile
from glotmix.commands.output import show
from glotmix.commands.study import run_or_tell_cost


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
    from glotmix.studies.compare.kind import CompareKind
    from glotmix.studies.start import open_study

    changes = list(overrides or [])
    if methods:
        changes.append(f"methods={json.dumps([name for some in methods for name in some.split(',')])}")
    changes += [f"seeds={seeds}"] if seeds is not None else []
    run_or_tell_cost(open_study(study, kind=CompareKind(), out=out, scale=scale, overrides=changes), dry_run, as_json)


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
