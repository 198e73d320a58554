"""`glotmix predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glotmix.commands.options import FitFile, Json, read_fit
from glotmix.commands.output import remark, show
from glotmix.errors import BadInput


def predict(
    fit_file: FitFile,
    mixtures: Annotated[
        Path | None,
        typer.Argument(
            metavar="MIXTURES.csv",
            help="Columns p/<group>…, and N, D, unique/<group>… if the law needs them; or shares alone, as in Olmix's "
            "ratios.csv.",
        ),
    ] = None,
    table: Annotated[Path | None, typer.Option("--mixtures", help="The same as an option.")] = None,
    out: Annotated[Path, typer.Option("--out", help="CSV to write.")] = Path("predicted.csv"),
    jackknife: Annotated[
        Path | None,
        typer.Option(
            metavar="RUNS", help="Intervals by jackknife+ over these runs, which assume nothing of the noise."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Predict losses, with 95 % intervals of a new run, for the mixtures of a table."""
    from glotmix.fit.predictions import predict_table

    if mixtures is None and table is None:
        raise BadInput("no table of mixtures", expected="MIXTURES.csv")
    if mixtures is not None and table is not None:
        raise BadInput("two tables of mixtures", where="--mixtures", expected="one")
    given = mixtures or table
    assert given is not None
    done = predict_table(read_fit(fit_file), given, out, jackknife)
    remark(*done.remarks)
    if done.beyond:
        remark(f"{done.beyond} of {done.rows} mixtures lie beyond the runs: the column beyond says in what")
    told = {"path": str(out), "rows": done.rows, "beyond": done.beyond, "remarks": list(done.remarks)}
    show(as_json, told, str(out))
