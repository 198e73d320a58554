"""Long tails of real text, asked anew: how often may small languages be read, and is the answer better than a rule?

    python benchmarks/long_tails.py study NAME DIR   one of the tails below (man pages, `make corpora`) or all: its
                                                     design, its optimum and the closed loop; DIR keeps the runs
    python benchmarks/long_tails.py cuts SIZE DIR    German cut to 1/20 and 1/50 of its text beside whole French, read 2
                                                     to 80 times by proxies of a size; writes data/cuts-SIZE.csv
    python benchmarks/long_tails.py judge            the passes that pay by a law that has not seen where they turn
    python benchmarks/long_tails.py --show           the tables of docs/methods/repetition.md from what is kept

Every tail has the same settings: 20 passes over a language at most (what mixtures are reported to bear, arXiv
2605.12715), coalitions capped there, 12 mixtures drawn below it, and one run each that reads a scarce language twice as
often. Proxies of 0.03M parameters repeat their text as a run of 30 million tokens would.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from order import TEXT, closed_loop
from tables import head, line, percent, spread

from glotmix.artifact import write_json
from glotmix.fit import fit
from glotmix.measurements import read_runs, write_csv
from glotmix.mixture.design import PlannedRun
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.studies.mixture.config import check
from glotmix.study.config import TrainingConfig
from glotmix.study.narrator import Narrator
from glotmix.study.training import Training

RESULTS = Path(__file__).parent / "results" / "long_tails.json"
DATA = Path(__file__).parent / "data"
TAILS: Mapping[str, tuple[str, ...]] = {
    "german": ("deu_Latn", "ukr_Cyrl", "nld_Latn", "ces_Latn"),
    "french": ("fra_Latn", "spa_Latn", "ita_Latn", "hun_Latn"),
}
"""Name of a tail to its languages, the largest first."""
PASSES = 20.0


def study(name: str) -> dict[str, Any]:
    return TEXT | {
        "name": f"Long tail: {name}",
        "languages": list(TAILS[name]),
        "proxy": TEXT["proxy"] | {"tokens": 300_000},
        "target": {"tokens": 3e7},
        "design": {"coalitions": "all", "budget": "capped", "passes": PASSES, "beyond": 1, "swarm": 12,
                   "swarm_roles": "fit", "anchors": 1, "anchor_seeds": 2},
        "fit": {"laws": ["null", "own_ratio_floored", "shapley_law", "shapley_law_repeated"], "bootstrap": 60},
        "optimize": {"max_epochs": PASSES},
        "validation": {"seeds": 4, "baselines": ["natural", "temperature", "unimax"]},
    }  # fmt: skip


CUT, COMPANY = "deu_Latn", "fra_Latn"
PARTS: Mapping[int, tuple[int, ...]] = {20: (2, 5, 10, 20, 40), 50: (5, 10, 20, 40, 80)}
"""What the cut language is divided by, to the passes over what is left."""
KNOWN = 10
"""Passes up to which a law has seen the cut that it is asked about; of the other it has seen all."""
SHAPES = {
    "0.03M": {},
    "0.15M": {"width": 64, "layers": 3, "heads": 4, "learning_rate": 6e-3},
    "1M": {"width": 128, "layers": 5, "heads": 4, "learning_rate": 3e-3},
}
SEEDS, DRAWS = 2, 4000
LAW = "shapley_law_repeated"


def cut(size: str, directory: Path) -> None:
    """Runs of both cuts in one table, with the unique tokens that each had."""
    fields = TEXT | {"proxy": TEXT["proxy"] | {"tokens": 300_000} | SHAPES[size], "target": {"tokens": 1.5e7}}
    config = TrainingConfig(name="Cuts", languages=[CUT, COMPANY], **fields)
    (directory / size).mkdir(parents=True, exist_ok=True)
    training = Training(config, Path(), directory / size, Narrator())
    whole, D = training.sweep_spec(training.tokens(), SEEDS * max(map(len, PARTS.values()))), round(config.proxy.tokens)
    tables = []
    for part, passes in PARTS.items():
        spec = replace(whole, available={**whole.available, CUT: whole.available[CUT] // part})
        unique, runs = spec.available[CUT] * config.proxy.context, []
        for k in passes:
            schedule = Schedule.constant(Mixture({CUT: k * unique / D, COMPANY: 1 - k * unique / D}))
            runs += [PlannedRun(f"cut{part}-{k}-s{seed}", "swarm", schedule, D, seed) for seed in range(SEEDS)]
        failed = training.run(runs, spec, f"{CUT} cut to 1/{part}")
        tables.append(training.measure(runs, spec, failed).to_polars())
    write_csv(pl.concat(tables), DATA / f"cuts-{size}.csv")


def lowest(passes_R: np.ndarray, loss_R: np.ndarray, noise: float, draws: int) -> np.ndarray:
    """Passes of the least loss [draws + 1]: the first as measured, the others with the noise of means drawn.

    Where the least of the means has neighbours on both sides, the lowest point of the parabola through the three, over
    the logarithm of the passes; else that end of what was run.
    """
    k_K = np.unique(passes_R)
    mean_K = np.array([loss_R[passes_R == k].mean() for k in k_K])
    error_K = noise / np.sqrt([(passes_R == k).sum() for k in k_K])
    found, rng = [], np.random.default_rng(0)
    for row in np.vstack([mean_K, mean_K + error_K * rng.normal(size=(draws, len(k_K)))]):
        best = int(row.argmin())
        if not 0 < best < len(k_K) - 1:
            found.append(k_K[best])
            continue
        around = slice(best - 1, best + 2)
        curve = np.polyfit(np.log(k_K[around]), row[around], 2)
        found.append(float(np.exp(-curve[1] / (2 * curve[0]))))
    return np.array(found)


def judged() -> dict[str, Any]:
    """Where the loss of the cut language is least: as measured, and by a law that saw it up to ``KNOWN`` passes."""
    tables = {size: read_runs(path) for size in SHAPES if (path := DATA / f"cuts-{size}.csv").exists()}
    found: dict[str, Any] = {}
    for size, runs in tables.items():
        assert runs.unique_RL is not None
        at, part_R = runs.languages.index(CUT), np.array([int(name[3:5]) for name in runs.runs])
        passes_R = np.array([int(name.split("-")[1]) for name in runs.runs])
        loss_R = runs.loss(CUT)
        pairs = [loss_R[(part_R == part) & (passes_R == k)] for part, of in PARTS.items() for k in of]
        noise = float(np.sqrt(np.mean([pair.var(ddof=1) for pair in pairs])))
        for part, of in PARTS.items():
            here_R = part_R == part
            fitted = fit(LAW, runs.where(~here_R | (passes_R <= KNOWN)), starts=8)
            k_K = np.geomspace(1, of[-1], 400)
            unique_L = runs.unique_RL[here_R][0]
            share_K = k_K * unique_L[at] / runs.D_R[0]
            p_KL = np.column_stack([share_K if name == CUT else 1 - share_K for name in runs.languages])
            unique_KL = np.tile(unique_L, (len(k_K), 1))
            curve_K = fitted.predict(p_KL, unique=unique_KL).value_RT[:, fitted.targets.index(CUT)]
            ends = lowest(passes_R[here_R], loss_R[here_R], noise, DRAWS)
            found[f"{size} 1/{part}"] = {
                "passes": list(of),
                "loss": [float(loss_R[here_R & (passes_R == k)].mean()) for k in of],
                "predicted loss": np.interp(of, k_K, curve_K).tolist(),
                "noise": noise, "measured": float(ends[0]),
                "interval": np.quantile(ends[1:], [0.025, 0.975]).tolist(), "predicted": float(k_K[curve_K.argmin()]),
                "unique": float(unique_L[at]),
            }  # fmt: skip
            print(size, part, found[f"{size} 1/{part}"], flush=True)
    return found


def show(kept: Mapping[str, Any]) -> None:
    """Tables as they stand in the docs."""
    for name, of in kept.get("study", {}).items():
        inside, rival = TAILS[name], {row["baseline"]: row for row in of["differences"]}
        head(
            f"{name} tail",
            *inside,
            "mean loss, four seeds",
            "behind the optimum",
            "predicted",
            "verdict on the optimum",
        )
        for which, mixture in of["mixtures"].items():
            shares = [percent(mixture[one]) for one in inside]
            mean = f"{np.mean(of['objective'][which]):.3f}"
            if which not in rival:
                line(which, *shares, mean, "", "", "")
                continue
            measured, predicted = spread(rival[which], "+"), spread(of["predicted"][which], "+")
            line(which, *shares, mean, measured, predicted, rival[which]["verdict"])
        print()
        head(f"{name} tail, behind the optimum", *inside)
        for which, told in of["by_target"].items():
            line(which, *(spread(told[one], "+") for one in inside))
        print()
    if studies := kept.get("study"):
        laws = list(dict.fromkeys(law for of in studies.values() for law in of["errors"]))
        head("held-out error of the law", *(f"{name}: {one}" for name in studies for one in TAILS[name]))
        for law in laws:
            line(law, *(percent(of["errors"].get(law, {}).get(one)) for n, of in studies.items() for one in TAILS[n]))
        print()
    if cuts := kept.get("cuts"):
        head("German cut to", "unique tokens", "passes of least loss", "predicted", "loss at these passes (predicted)")
        for name, of in cuts.items():
            low, high = of["interval"]
            told = zip(of["passes"], of["loss"], of["predicted loss"], strict=True)
            losses = ", ".join(f"{k}: {loss:.2f} ({guess:.2f})" for k, loss, guess in told)
            measured = f"{of['measured']:.1f} [{low:.1f}, {high:.1f}]"
            line(name, f"{of['unique']:.0f}", measured, f"{of['predicted']:.1f}", losses)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("what", nargs="?", choices=("study", "cuts", "judge"))
    arguments.add_argument("name", nargs="?", choices=(*TAILS, *SHAPES, "all"))
    arguments.add_argument("directory", nargs="?", type=Path)
    arguments.add_argument("--show", action="store_true")
    asked = arguments.parse_args()
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if asked.what == "study":
        for name in TAILS if asked.name == "all" else (asked.name,):
            kept.setdefault("study", {})[name] = closed_loop(check(study(name)), asked.directory / name)
            write_json(RESULTS, kept)
    if asked.what == "cuts":
        for size in SHAPES if asked.name == "all" else (asked.name,):
            cut(size, asked.directory)
    if asked.what == "judge":
        kept["cuts"] = judged()
        write_json(RESULTS, kept)
    if asked.show:
        show(kept)


if __name__ == "__main__":
    main()
