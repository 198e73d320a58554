"""Laws on RegMix's 512 public runs: held-out error against the number of runs, and the exponents that the priors state.

    python benchmarks/laws.py DIR_WITH_REGMIX_TABLES [--repeats 3] [--laws NAME…] [--process]
    python benchmarks/laws.py --show    the table of the results kept

DIR holds train_mixture_1m.csv and train_pile_loss_1m.csv of sail-sg/regmix (MIT). Every law sees the same random runs
and is judged on all the others; at 512 it is 10-fold cross-validation. LightGBM runs with RegMix's settings, all 1,000
rounds (no early stopping, so nothing held out is looked at), and once more with leaves of at least 3 runs instead of
20, which suits small tables better.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from glotmix.fit import fit
from glotmix.fit.score import score
from glotmix.fit.splits import fold_of
from glotmix.laws import find_law
from glotmix.laws.gaussian_process import GaussianProcess
from glotmix.laws.law import Law
from glotmix.laws.lightgbm import LightGBM
from glotmix.laws.null import Null
from glotmix.laws.residual import Corrected
from glotmix.laws.shapley_law import ShapleyLaw
from glotmix.measurements import Measurements, read_runs

LAWS = (
    "null",
    "log_linear",
    "own_ratio_floored",
    "shapley_law_data",
    "shapley_law",
    "lightgbm",
    "lightgbm, leaves of 3",
)
WITH_PROCESS = ("shapley_law+gaussian_process", "shapley_law+committee")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("directory", type=Path, nargs="?")
    arguments.add_argument("--show", action="store_true")
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--sizes", type=int, nargs="*", default=[32, 64, 128, 256, 512])
    arguments.add_argument("--laws", nargs="*", default=list(LAWS))
    arguments.add_argument("--process", action="store_true", help="also law + Gaussian process (slow)")
    arguments.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "regmix.json")
    asked = arguments.parse_args()
    if asked.show or asked.directory is None:
        print(shown(json.loads(asked.out.read_text())["curves"]))
        return
    tables = asked.directory / "train_mixture_1m.csv", asked.directory / "train_pile_loss_1m.csv"
    runs = read_runs(asked.directory, mixtures=tables[0], losses=tables[1])
    result = json.loads(asked.out.read_text()) if asked.out.exists() else {"curves": {}}
    for size in asked.sizes:
        for name in [*asked.laws, *(WITH_PROCESS if asked.process else ())]:
            row = learning_curve(law_of(name), runs, size, asked.repeats)
            result["curves"].setdefault(str(size), {})[name] = row
            print(
                f"{size:4d} {name:32s} Spearman {row['spearman']:.4f}  MAE {row['mae']:.4f}  {row['seconds']:.1f} s",
                flush=True,
            )
            asked.out.write_text(json.dumps(result, indent=1) + "\n")
    found = fit("shapley_law", runs, starts=2)
    result["exponents"] = {
        t: dict(zip(at.names[:5], map(float, at.theta_P[:5]), strict=True)) for t, at in found.fits.items()
    }
    for name in ("γ", "κ", "ν"):
        values = np.array([row[name] for row in result["exponents"].values()])
        print(f"{name}: median {np.median(values):.3f}, from {values.min():.3f} to {values.max():.3f}")
    asked.out.write_text(json.dumps(result, indent=1) + "\n")


def shown(curves: dict) -> str:
    """Mean absolute error / Spearman, and the error of the last law over that of LightGBM."""
    columns = ("null", "log_linear", "lightgbm", "lightgbm, leaves of 3", "shapley_law", *WITH_PROCESS)
    lines = [f"| runs | {' | '.join(columns)} | ratio |", "|" + "---|" * (len(columns) + 2)]
    for size, of in sorted(curves.items(), key=lambda item: int(item[0])):
        cells = []
        for name in columns:
            row = of.get(name)
            ranked = "" if row is None else "–" if np.isnan(row["spearman"]) else f"{row['spearman']:.3f}"
            cells.append("" if row is None else f"{row['mae']:.3f} / {ranked}")
        best = next(of[name] for name in reversed(columns) if name in of)
        ratio = f"{best['mae'] / min(of[name]['mae'] for name in of if name.startswith('lightgbm')):.2f}"
        lines.append(f"| {size}{', by 10 folds' if size == '512' else ''} | {' | '.join(cells)} | {ratio} |")
    return "\n".join(lines)


def law_of(name: str) -> Law:
    variants = {
        "lightgbm, leaves of 3": Corrected(Null(), LightGBM(leaf=3)),
        "shapley_law+gaussian_process, lengths from 256 runs": Corrected(ShapleyLaw(), GaussianProcess(most=256)),
    }
    return variants[name] if name in variants else find_law(name)


def learning_curve(law: Law, runs: Measurements, size: int, repeats: int) -> dict[str, float]:
    """Mean over splits and targets of rank correlation and absolute error on the runs not fitted to."""
    began = time.perf_counter()
    scores = []
    for train_R in splits(runs, size, repeats):
        train, test = runs.where(train_R), runs.where(~train_R)
        value_RT = fit(law, train, starts=2).predict(test.p_RL).value_RT
        pairs = [score(value_RT[:, t], test.loss_RT[:, t]) for t in range(len(runs.targets))]
        scores.append([[one.spearman, one.mae, one.error] for one in pairs if one is not None])
    spearman, mae, error = np.mean(scores, axis=(0, 1))
    seconds = time.perf_counter() - began
    return {
        "spearman": float(spearman),
        "mae": float(mae),
        "error": float(error),
        "splits": len(scores),
        "seconds": seconds,
    }


def splits(runs: Measurements, size: int, repeats: int) -> list[np.ndarray]:
    if size >= len(runs):
        fold_R = fold_of(runs, 10, 0)
        return [fold_R != k for k in range(10)]
    chosen = []
    for seed in range(repeats):
        train_R = np.zeros(len(runs), dtype=bool)
        train_R[np.random.default_rng(seed).permutation(len(runs))[:size]] = True
        chosen.append(train_R)
    return chosen


if __name__ == "__main__":
    main()
