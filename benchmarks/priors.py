"""Where the priors of ShapleyLaw's exponents come from: tables other than RegMix's, on which the law is judged.

    python benchmarks/priors.py [PARETO_FILE]    man pages (three seeds), and translation (see real_tables.py)

The law is fitted with priors so wide that they hardly speak. Of every target in a mixture the estimate and its
standard error, and over all of them the mean and the spread between targets (DerSimonian & Laird 1986), of γ, ln κ and
ln ν; kept in ``benchmarks/results/priors.json``. Targets outside the mixture hardly tell them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import ClassVar

import numpy as np

from glotmix.artifact import write_json
from glotmix.fit import fit
from glotmix.fit.solve import equations, inner
from glotmix.fit.target import inputs_of
from glotmix.laws.law import Problem
from glotmix.laws.priors import Told, log_normal, normal
from glotmix.laws.shapley_law import ShapleyLaw
from glotmix.measurements import Measurements, read_runs

RESULTS = Path(__file__).parent / "results"
WIDE = {"γ": (0.1, 0.5), "κ": (0.7, 1.0), "ν": (0.7, 1.0)}


class Wide(ShapleyLaw):
    """ShapleyLaw with wide priors."""

    name: ClassVar[str] = "shapley_law, wide priors"

    def known(self, problem: Problem) -> list[Told]:
        names = self.parameters(problem)
        told = [one for one in super().known(problem) if names[one[0]] not in WIDE]
        return told + [
            (normal if name == "γ" else log_normal)(names.index(name), prior)
            for name, prior in WIDE.items()
            if name in names
        ]


def estimates(runs: Measurements) -> dict[str, dict[str, tuple[float, float]]]:
    """Target to exponent to estimate (of κ and ν the log) and standard error."""
    inside = [target for target in runs.targets if target in runs.languages]
    found, told = fit(Wide(), runs, targets=inside, starts=6, together=False), {}
    for target, at in found.fits.items():
        loss_R = runs.loss(target)
        wanted = equations(found.law, at.problem, inputs_of(runs), loss_R, np.ones(len(loss_R)), at.scale)
        x_P = inner(at.theta_P, wanted.log_P)
        rows_MP = wanted(x_P)[1]
        error_P = np.sqrt(np.diag(np.linalg.inv(rows_MP.T @ rows_MP)))
        place = {name: at.names.index(name) for name in WIDE}
        told[target] = {name: (float(x_P[k]), float(error_P[k])) for name, k in place.items()}
    return told


def pooled(value_T: np.ndarray, error_T: np.ndarray) -> tuple[float, float]:
    """Mean over targets and standard deviation between them."""
    weight_T = error_T**-2
    mean = float(np.average(value_T, weights=weight_T))
    excess = float(weight_T @ (value_T - mean) ** 2) - (len(value_T) - 1)
    between = max(excess / (weight_T.sum() - (weight_T**2).sum() / weight_T.sum()), 0.0)
    return float(np.average(value_T, weights=1 / (error_T**2 + between))), float(np.sqrt(between))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pareto", type=Path, nargs="?")
    asked = parser.parse_args()
    tables = [RESULTS / "shapley_law" / f"shapley-law-s{seed}.csv" for seed in range(3)]
    told = {path.stem: estimates(read_runs(path)) for path in [*tables, *([asked.pareto] if asked.pareto else [])]}
    result: dict[str, object] = {"targets": told}
    for name in WIDE:
        both = np.array([one[name] for of in told.values() for one in of.values()])
        mean, spread = pooled(*both.T)
        shown = mean if name == "γ" else float(np.exp(mean))
        result[name] = {"middle": shown, "spread": spread}
        print(f"{name}: {'mean' if name == 'γ' else 'median'} {shown:.3f}, standard deviation {spread:.3f}")
    write_json(RESULTS / "priors.json", result)


if __name__ == "__main__":
    main()
