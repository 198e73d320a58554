"""Laws on real tables that no fit has seen: RegMix's runs at larger sizes, and a multilingual translation table.

    python benchmarks/real_tables.py regmix DIR     fitted to the 512 runs of 1M, judged on runs of 60M and 1B
    python benchmarks/real_tables.py pareto FILE    shares of French, German and Chinese; leave one mixture out

DIR holds ``train_mixture_1m.csv``, ``train_pile_loss_1m.csv``, ``test_*_60m.csv`` and ``test_*_1B.csv`` of
sail-sg/regmix (MIT). The priors of ShapleyLaw are read off other tables. FILE holds the losses that the authors of
arXiv 2304.03216 print; the shares were aligned with them by the grid of their script, so the pairing is inferred for
some of the mixtures. Neither table is part of the repository. Rows go to ``benchmarks/results/real_tables.json``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import spearmanr

from glotmix.artifact import write_json
from glotmix.fit import cross_validate, fit
from glotmix.measurements import Measurements, read_runs

RESULTS = Path(__file__).parent / "results" / "real_tables.json"
REGMIX_LAWS = (
    "null",
    "own_ratio_floored",
    "log_linear",
    "shapley_law",
    "shapley_law_data",
    "lightgbm",
    "shapley_law+gaussian_process",
)
PARETO_LAWS = ("null", "own_ratio", "own_ratio_floored", "log_linear", "shapley_law", "shapley_law_data")
RESAMPLES = 200


def regmix(folder: Path) -> dict[str, Any]:
    """Spearman of predicted and measured losses over 13 domains, with intervals over the judged mixtures, and the rank
    of the law's first choice by the mean loss."""
    runs = read_runs(None, mixtures=folder / "train_mixture_1m.csv", losses=folder / "train_pile_loss_1m.csv")
    found: dict[str, Any] = {}
    for name in REGMIX_LAWS:
        fitted = fit(name, runs, starts=2)
        for size in ("60m", "1B"):
            p_RL, loss_RT = judged(folder, size, runs)
            value_RT = fitted.predict(p_RL).value_RT
            row = ranked(value_RT, loss_RT)
            found.setdefault(size, {})[name] = row
            print(size, name, row, flush=True)
    return found


def judged(folder: Path, size: str, runs: Measurements) -> tuple[np.ndarray, np.ndarray]:
    """Mixtures and losses of a size, in the order of the table fitted to, joined by position."""
    mixture, loss = (pl.read_csv(next(folder.glob(f"test*{what}*{size}.csv"))) for what in ("mixture", "loss"))

    def core(name: str) -> str:
        plain = name.lower().replace("-", "_").removeprefix("metric/").removesuffix("_val_loss").removesuffix("_loss")
        return plain.removeprefix("train_").removeprefix("the_pile_")

    def column(table: pl.DataFrame, name: str) -> np.ndarray:
        like = {core(c): c for c in table.columns}
        return table[like[core(name)]].cast(pl.Float64).to_numpy()

    p_RL = np.column_stack([column(mixture, name) for name in runs.languages])
    loss_RT = np.column_stack([column(loss, name) for name in runs.targets])
    return p_RL / p_RL.sum(axis=1, keepdims=True), loss_RT


def ranked(value_RT: np.ndarray, loss_RT: np.ndarray) -> dict[str, Any]:
    """Mean Spearman over targets with its percentile interval over resampled mixtures."""
    rng = np.random.default_rng(0)

    def mean(rows: np.ndarray) -> float:
        pairs = [(value_RT[rows, t], loss_RT[rows, t]) for t in range(loss_RT.shape[1])]
        every = [spearmanr(a, b).statistic if np.ptp(a) > 0 and np.ptp(b) > 0 else np.nan for a, b in pairs]
        return float(np.mean(every))

    R = len(loss_RT)
    drawn = [mean(rng.integers(0, R, R)) for _ in range(RESAMPLES)]
    first = int(np.argmin(value_RT.mean(axis=1)))
    place = int((loss_RT.mean(axis=1) < loss_RT.mean(axis=1)[first]).sum()) + 1
    low, high = (None, None) if np.isnan(drawn).any() else np.percentile(drawn, [2.5, 97.5]).tolist()
    spearman = mean(np.arange(R))
    return {"spearman": None if np.isnan(spearman) else spearman, "low": low, "high": high, "choice": place, "of": R}


def pareto(path: Path) -> dict[str, Any]:
    """Mean relative error in percent, leave one mixture out, with the standard error over mixtures."""
    runs = read_runs(path)
    held_out = cross_validate(PARETO_LAWS, runs, folds=len(runs))
    told = held_out.predictions
    assert told is not None
    found = {}
    for law, value_RT in told.predicted.items():
        error_R = 100 * np.abs(value_RT / told.measured_RT - 1).mean(axis=1)
        found[law] = {
            "error": float(error_R.mean()),
            "standard error": float(error_R.std(ddof=1) / len(error_R) ** 0.5),
        }
        print(law, found[law], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("regmix", "pareto"))
    parser.add_argument("where", type=Path)
    asked = parser.parse_args()
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    kept[asked.part] = regmix(asked.where) if asked.part == "regmix" else pareto(asked.where)
    write_json(RESULTS, kept)


if __name__ == "__main__":
    main()
