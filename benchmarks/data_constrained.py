"""The data-constrained law on its authors' 182 runs: are the published constants recovered within their uncertainty?

    python benchmarks/data_constrained.py [TABLE.csv]      columns N, D, U, loss; default data/datablations_fit182.csv

First the paper's own second stage: R_D and R_N with the rest at the published values, by the sum of Huber losses of the
log residuals with δ = 1e-3 (published minimum: 0.0158259). Then the same with glotmix's fit (soft-L1, scale 0.02), and
all seven parameters at once.
Intervals are 95 % percentiles over resampled runs (drawn with replacement: unlike glotmix's own bootstrap this assumes
nothing of the residuals, which here are far from independent of N, D and U).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import polars as pl

from glotmix.fit import fit
from glotmix.fit.fit import inputs_of
from glotmix.fit.solve import HUBER, levenberg_marquardt
from glotmix.laws.data_constrained import PUBLISHED, DataConstrained
from glotmix.laws.law import Problem
from glotmix.measurements import Measurements

HERE = Path(__file__).parent
DELTA = 1e-3


def table(path: Path) -> Measurements:
    rows = pl.read_csv(path)
    N_R, D_R, U_R = (rows[name].to_numpy() for name in ("N", "D", "U"))
    R = rows.height
    names = tuple(f"{name}-{r}" for r, name in enumerate(rows["name"]))
    ones = np.ones((R, 1))
    return Measurements(
        names,
        ("c4",),
        ("c4",),
        ones,
        rows["loss"].to_numpy()[:, None],
        N_R,
        D_R,
        np.zeros(R, int),
        ("",) * R,
        U_R[:, None],
    )


def recovered(runs: Measurements, frozen: bool, resamples: int, seed: int = 0) -> dict:
    law = DataConstrained(frozen=frozen)
    found = fit(law, runs, starts=8).fits["c4"]
    rng = np.random.default_rng(seed)
    again_BP = np.array(
        [
            fit(law, runs.where(rng.integers(len(runs), size=len(runs))), starts=2, seed=b).fits["c4"].theta_P
            for b in range(resamples)
        ]
    )
    low_P, high_P = np.quantile(again_BP, [0.025, 0.975], axis=0)
    rows = {
        name: {"published": PUBLISHED[name], "found": float(x), "low": float(lo), "high": float(hi)}
        for name, x, lo, hi in zip(found.names, found.theta_P, low_P, high_P, strict=True)
    }
    for name, row in rows.items():
        row["within"] = bool(row["low"] <= row["published"] <= row["high"])
        print(
            f"{name:4s} published {row['published']:10.4g}  "
            f"found {row['found']:10.4g} [{row['low']:.4g}, {row['high']:.4g}]"
        )
    return {
        "parameters": rows,
        "relative_error_of_a_run": found.scale,
        "status": found.status,
        "unclear": found.unclear,
    }


def as_authors(runs: Measurements) -> dict:
    """The authors' objective at their constants, and where its minimum is."""
    law, problem = DataConstrained(frozen=True), Problem("c4", ("c4",), None, frozenset({"N", "D", "unique"}))
    inputs, log_R = inputs_of(runs), np.log(runs.loss("c4"))

    def residuals(x_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at = law.evaluate(problem, np.exp(x_P), inputs)
        return (np.log(at.loss_R) - log_R) / DELTA, at.gradient_theta_RP * np.exp(x_P) / at.loss_R[:, None] / DELTA

    low_P, high_P = np.log([0.1, 0.1]), np.log([1e3, 1e3])
    starts = [np.log([a, b]) for a in (2.0, 7.0, 20.0) for b in (2.0, 7.0, 20.0)]
    ends = [levenberg_marquardt(residuals, x_P, low_P, high_P, len(log_R), 200, rho=HUBER) for x_P in starts]
    theta_P, cost, _ = min(ends, key=lambda end: end[1])
    there = np.log([PUBLISHED["R_D"], PUBLISHED["R_N"]])
    published = float(HUBER.cost(residuals(there)[0]).sum()) * DELTA**2
    row = {
        "objective_at_published": published,
        "objective_printed_by_the_authors": 0.0158259,
        "least_objective": cost * DELTA**2,
        "at": dict(zip(("R_D", "R_N"), np.exp(theta_P).tolist(), strict=True)),
    }
    print(row)
    return row


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("table", type=Path, nargs="?", default=HERE / "data" / "datablations_fit182.csv")
    arguments.add_argument("--resamples", type=int, default=200)
    arguments.add_argument("--out", type=Path, default=HERE / "results" / "data_constrained.json")
    asked = arguments.parse_args()
    runs = table(asked.table)
    result = {"runs": len(runs), "as the authors": as_authors(runs)}
    for name, frozen in (("second stage", True), ("all at once", False)):
        print(name)
        result[name] = recovered(runs, frozen, asked.resamples)
    asked.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
