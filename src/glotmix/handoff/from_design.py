"""A design without a handoff: the runs of ``design.csv``, whose trainer got its mixtures in another way."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from glotmix.errors import BadInput
from glotmix.handoff.asked import CHECKSUM, About, AskedRun, AskedScore, checksum_of
from glotmix.measurements import open_table
from glotmix.mixture.planning import Design


def design_table(design: Design) -> pl.DataFrame:
    """One row per run: ``run`` (its full name, by which results are known), ``name``, ``checksum``, then as
    :meth:`glotmix.mixture.planning.Design.to_polars`."""
    table = design.to_polars().rename({"run": "name"})
    checksums = [checksum_of(run.to_json()) for run in design.runs]
    full = [f"{run.run}.{checksum}" for run, checksum in zip(design.runs, checksums, strict=True)]
    told = [pl.Series("run", full), table["name"], pl.Series("checksum", checksums)]
    return pl.DataFrame(told).hstack(table.drop("name"))


def runs_of(
    path: Path, targets: Sequence[str] = (), scores: Mapping[str, AskedScore] | None = None
) -> tuple[About, dict[str, AskedRun]]:
    """What the runs of a table that :func:`design_table` wrote were asked for.

    Args:
        path: the table; columns that were added to it are left alone.
        targets: what losses are wanted of; default the sources.
        scores: what scores are wanted of.

    Raises:
        BadInput: it is no such table.
    """
    table = open_table(path)
    sources = [column.removeprefix("p/") for column in table.columns if column.startswith("p/")]
    missing = [name for name in ("run", "D", "seed") if name not in table.columns]
    if missing or not sources:
        named = ", ".join([*missing, *([] if sources else ["p/<source>"])])
        raise BadInput(f"no column {named}", where=path, expected="a table that `glotmix design` wrote")
    numbers = {name: table.numbers(name).value_R for name in ("D", "seed", *(f"p/{name}" for name in sources))}
    asked = {}
    for r, name in enumerate(table.texts("run")):
        full = CHECKSUM.match(name or "")
        wrong = [column for column, x_R in numbers.items() if not np.isfinite(x_R[r])]
        if full is None or wrong:
            what = f"{wrong[0]} is no number" if wrong else f"run is {name!r}"
            raise BadInput(what, where=f"{path}, row {r + 1}", expected="a table that `glotmix design` wrote")
        if name in asked:
            raise BadInput(f"run {name} is listed twice", where=path)
        shares = {source: float(numbers[f"p/{source}"][r]) for source in sources}
        role = re.sub(r"-.*", "", full["name"]) if "role" not in table.columns else str(table.cell(r, "role") or "")
        D = float(numbers["D"][r])
        asked[full[0]] = AskedRun(
            run=full["name"],
            checksum=full["checksum"],
            role=role,
            seed=int(numbers["seed"][r]),
            N=0,
            D=D,
            C=0.0,
            steps=0,
            batch=0,
            sequence_length=0,
            learning_rate=0.0,
            wished=shares,
            realised=shares,
            unique={},
        )
    return About("", tuple(sources), tuple(targets) or tuple(sources), {}, {}, None, scores or {}), asked
