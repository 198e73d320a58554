"""`glotmix optimize` and `glotmix reuse`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glotmix.commands.options import (
    Ceilings,
    Current,
    FitFile,
    Floors,
    Further,
    Json,
    MaxEpochs,
    ObjectiveName,
    Parameters,
    Tokens,
    Unique,
    Weights,
    numbers,
    read_fit,
)
from glotmix.commands.output import show

if TYPE_CHECKING:
    from glotmix.optimize.config import OptimizeConfig


def optimize(
    fit_file: FitFile,
    objective: ObjectiveName = "mean",
    weight: Weights = None,
    floor: Floors = None,
    ceiling: Ceilings = None,
    max_epochs: MaxEpochs = None,
    unique: Unique = None,
    tokens: Tokens = None,
    parameters: Parameters = None,
    current: Current = None,
    phases: Annotated[
        int | None, typer.Option(min=1, help="Mixtures that the run has one after the other, sought together.")
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
    from glotmix.optimize.request import kept_of, optimum_of

    fitted = read_fit(fit_file)
    several = {} if phases is None else {"phases": phases}
    current_shares = numbers("--current", current)
    config = limits(objective, weight, floor, ceiling, max_epochs, further, current=current_shares, **several)
    kept = None if keep is None else kept_of(keep, fitted.languages, affected or [])
    optimum = optimum_of(fitted, config, unique=numbers("--unique", unique), D=tokens, N=parameters, keep=kept)
    told = optimum.to_json() | {"law": fitted.law.name}
    write_json(out, told)
    show(as_json, told, optimum.table())
    if not as_json:
        print(out)


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
    from glotmix.optimize.request import reuse_design

    reuse_design(mixture, new, affected or [], runs, seed, out)
    print(out)


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
    from glotmix.optimize.request import asked

    given = {
        "objective": objective,
        "weights": numbers("--weight", weight),
        "floors": numbers("--floor", floor),
        "ceilings": numbers("--ceiling", ceiling),
        "max_epochs": max_epochs,
    }
    return asked(given | more, further or [])
