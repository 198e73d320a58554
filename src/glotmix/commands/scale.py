"""`glotmix scale`."""

from __future__ import annotations

from typing import Annotated

import typer

from glotmix.commands.optimize import limits
from glotmix.commands.options import (
    Ceilings,
    FitFile,
    Floors,
    Further,
    Json,
    MaxEpochs,
    ObjectiveName,
    Out,
    Unique,
    Weights,
    numbers,
    parts,
    read_fit,
)
from glotmix.commands.output import show


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
    from glotmix.optimize.scale import scaling_of, scaling_table

    sizes = [(pair[0], pair[1]) for pair in (parts("--at", text, "N:D", 2) for text in at or [])]
    config = limits(objective, weight, floor, ceiling, max_epochs, further)
    climb = scaling_of(read_fit(fit_file), config, unique=numbers("--unique", unique), sizes=sizes, C=compute)
    if out is not None:
        write_json(out, climb.to_json())
    show(as_json, climb.to_json(), scaling_table(climb))
