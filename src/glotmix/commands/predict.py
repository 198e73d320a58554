"""`glotmix predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glotmix.commands.options import FitFile, read_fit


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
    """Predict losses, with 95 % intervals of a new run, for the mixtures of a table."""
    from glotmix.fit.predictions import predict_table

    predict_table(read_fit(fit_file), mixtures, out, jackknife)
    print(out)
