"""Man pages: held-out error of every law, over several seeds of the whole study.

    make corpora
    for s in 0 1 2; do glotmix run recipes/shapley-law.yaml --scale small --set seed=$s --out out/shapley-law-s$s; done
    python benchmarks/shapley_law.py out/shapley-law-s0 out/shapley-law-s1 out/shapley-law-s2

Laws are fitted to the coalitions and anchors and judged on the swarm, which they never see. A study seed changes the
swarm's mixtures, the initial weights and the order of the data. Writes the table to
``benchmarks/results/shapley_law.json`` and each study's runs, as one wide table that ``glotmix fit`` reads, beside it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from glotmix.fit.holdout import judge
from glotmix.measurements import Measurements, read_runs
from glotmix.transfer.game import game_from
from glotmix.transfer.shapley import exact

VARIANTS = ("shapley_law", "shapley_law_prior", "shapley_law_fixed", "shapley_law_data")
LAWS = ("null", "own_ratio", "own_ratio_floored", "log_linear", *VARIANTS)
RESULTS = Path(__file__).parent / "results"


def wide(runs: Measurements) -> pl.DataFrame:
    """One row per run: shares and final losses."""
    columns: dict[str, Any] = {"run": runs.runs, "role": runs.role_R, "N": runs.N_R, "D": runs.D_R, "seed": runs.seed_R}
    columns |= {f"p/{language}": runs.p_RL[:, i] for i, language in enumerate(runs.languages)}
    columns |= {f"loss/{target}": runs.loss_RT[:, t] for t, target in enumerate(runs.targets)}
    return pl.DataFrame(columns)


def worst(runs: Measurements) -> dict[str, float]:
    """A loss for the empty coalition: it shifts all values of a target alike, and laws use their differences only."""
    return dict(zip(runs.targets, runs.loss_RT.max(axis=0).tolist(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=Path, nargs="+")
    studies = parser.parse_args().studies
    rows, folder = [], RESULTS / "shapley_law"
    folder.mkdir(parents=True, exist_ok=True)
    for study in studies:
        runs = read_runs(study)
        # Shapley values come from the coalitions alone: nothing of the swarm enters a law that uses them.
        played = runs.with_role("coalition", "anchor")
        values = exact(game_from(played, worst(played)))
        held = judge(LAWS, played, runs.with_role("swarm"), transfer=values)
        error = {law: {t: 100 * score.error for t, score in of.items()} for law, of in held.scores.items()}
        mean = {law: 100 * held.mean(law) for law in held.scores}
        outside = [target for target in runs.targets if target not in runs.languages]
        row = {
            "study": study.name,
            "error_percent": error,
            "runs_scored": {law: {t: score.runs for t, score in of.items()} for law, of in held.scores.items()},
            "mean_in_mixture": mean,
            "mean_outside": {law: 100 * held.mean(law, outside) for law in ("null", "log_linear", *VARIANTS)},
            "ratio_to_own_ratio": mean["shapley_law"] / mean["own_ratio"],
            "ratio_to_own_ratio_floored": mean["shapley_law"] / mean["own_ratio_floored"],
            "noise_percent": {t: 100 * x for t, x in held.noise.items()},
        }
        if (loop := study / "closed_loop.json").is_file():
            row["closed_loop"] = json.loads(loop.read_text())
        rows.append(row)
        wide(runs).write_csv(folder / f"{study.name}.csv", float_precision=6)
        print(
            study.name, {law: round(value, 2) for law, value in mean.items()}, f"ratio {row['ratio_to_own_ratio']:.2f}"
        )
    keys = ("ratio_to_own_ratio", "ratio_to_own_ratio_floored")
    summary = {key: {"mean": float(np.mean([r[key] for r in rows])), "each": [r[key] for r in rows]} for key in keys}
    (RESULTS / "shapley_law.json").write_text(json.dumps({"summary": summary, "studies": rows}, indent=1) + "\n")
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
