"""Laws on RegMix's 512 public runs: held-out error against the number of runs, and the exponents that the priors state.

    python benchmarks/laws.py DIR_WITH_REGMIX_TABLES [--repeats 3] [--laws NAME…] [--process]
    python benchmarks/laws.py DIR_WITH_REGMIX_TABLES --where    where the error at 512 runs comes from
    python benchmarks/laws.py --show    the tables of the results kept

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
JUDGED, PARTS = "shapley_law+gaussian_process", 5
"""What ``--where`` looks at, and in how many folds."""
OWN = (("none", 0.0, 1e-9), ("up to 1 %", 1e-9, 0.01), ("1 to 10 %", 0.01, 0.1), ("more", 0.1, 2.0))
LARGEST = (("up to 30 %", 0.0, 0.3), ("30 to 50 %", 0.3, 0.5), ("50 to 70 %", 0.5, 0.7), ("more", 0.7, 2.0))
WITH_PROCESS = ("shapley_law+gaussian_process", "shapley_law+committee")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("directory", type=Path, nargs="?")
    arguments.add_argument("--show", action="store_true")
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--sizes", type=int, nargs="*", default=[32, 64, 128, 256, 512])
    arguments.add_argument("--laws", nargs="*", default=list(LAWS))
    arguments.add_argument("--process", action="store_true", help="also law + Gaussian process (slow)")
    arguments.add_argument("--where", action="store_true", help="only where the error comes from")
    arguments.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "regmix.json")
    asked = arguments.parse_args()
    if asked.show or asked.directory is None:
        kept = json.loads(asked.out.read_text())
        print(shown(kept["curves"]))
        print("\n" + shown_where(kept["where"]) if "where" in kept else "")
        return
    tables = asked.directory / "train_mixture_1m.csv", asked.directory / "train_pile_loss_1m.csv"
    runs = read_runs(asked.directory, mixtures=tables[0], losses=tables[1])
    result = json.loads(asked.out.read_text()) if asked.out.exists() else {"curves": {}}
    if asked.where:
        result["where"] = where(runs)
        asked.out.write_text(json.dumps(result, indent=1) + "\n")
        print(shown_where(result["where"]))
        return
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


def where(runs: Measurements) -> dict:
    """Mean absolute error on runs not fitted to by the target's own share, by the largest share of the mixture, and by
    target; and how alike the errors of one run's targets are."""
    fold_R, value_RT = fold_of(runs, PARTS, 0), np.full(runs.loss_RT.shape, np.nan)
    for k in range(PARTS):
        value_RT[fold_R == k] = fit(JUDGED, runs.where(fold_R != k), starts=2).predict(runs.p_RL[fold_R == k]).value_RT
    away_RT = np.abs(value_RT - runs.loss_RT)
    own_RT = runs.p_RL[:, [runs.languages.index(target) for target in runs.targets]]
    largest_RT = np.broadcast_to(runs.p_RL.max(axis=1)[:, None], own_RT.shape)

    def by(x_RT: np.ndarray, kinds: tuple) -> dict:
        rows = {}
        for name, low, high in kinds:
            at = (low <= x_RT) & (x_RT < high)
            of_error = float(away_RT[at].sum() / away_RT.sum())
            rows[name] = {"of cells": float(at.mean()), "mae": float(away_RT[at].mean()), "of the error": of_error}
        return rows

    between_TT = np.corrcoef(np.log(value_RT / runs.loss_RT).T)
    return {
        "mae": float(away_RT.mean()),
        "own share": by(own_RT, OWN),
        "largest share": by(largest_RT, LARGEST),
        "target": {t: float(x / away_RT.sum()) for t, x in zip(runs.targets, away_RT.sum(axis=0), strict=True)},
        "correlation of two targets' errors": float(between_TT[np.triu_indices(len(between_TT), 1)].mean()),
    }


def shown_where(found: dict) -> str:
    """The error by own and by largest share."""
    lines = ["| share | of the cells, % | mean absolute error | of all error, % |", "|---|---|---|---|"]
    for kind in ("own share", "largest share"):
        for name, row in found[kind].items():
            cells = [f"{kind}: {name}", f"{100 * row['of cells']:.0f}", f"{row['mae']:.3f}"]
            lines.append(f"| {' | '.join(cells)} | {100 * row['of the error']:.0f} |")
    worst = sorted(found["target"].items(), key=lambda item: -item[1])[:5]
    lines.append(f"All: {found['mae']:.4f}. Most by " + ", ".join(f"{name} {100 * x:.0f} %" for name, x in worst) + ".")
    alike = found["correlation of two targets' errors"]
    return "\n".join([*lines, f"Errors of two targets of one run correlate by {alike:.2f}."])


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
