"""The published tables of "A Post-trainer's Guide" (arXiv 2504.16677) through the analysis, and its 152 manifests.

    python benchmarks/posttrainer.py [--out FILE]
    python benchmarks/posttrainer.py --table       print the kept result as docs/methods/post-training.md has it

``data/posttrainer.csv`` holds every number of tables 3–23 as printed. Each claim of the text is recomputed from them;
one that does not recompute is told with what it recomputes to.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from glotmix.posttraining.analysis.ablation import ablation, rows_of
from glotmix.posttraining.analysis.curve import Curve, curves_from
from glotmix.posttraining.analysis.noise import difference, floor, repeats, runs_needed, seen_against_unseen
from glotmix.posttraining.analysis.plan import least_data
from glotmix.posttraining.analysis.saturation import saturation
from glotmix.posttraining.grid import Cell, Selection, paper_cells
from glotmix.posttraining.sample import Sample

TABLES = Path(__file__).parent / "data" / "posttrainer.csv"
ALL, JOINT = "es fr ja zh", "IF+SM+MR"
XLSUM_JAPANESE = 7113
"""Training samples of XL-Sum in Japanese, the ceiling of the grid."""
CLOSE = 0.6
"""Points by which a printed gain may differ for the rounding of the tables' two decimals."""

CLAIMS: Sequence[tuple[str, float, str, str, str, str]] = (
    ("instruction following 7B, gain", 6.8, "gain", "IF", "aya7B", ALL),
    ("summarisation 7B, gain", 8.7, "gain", "SM", "aya7B", ALL),
    ("mathematics 7B, gain", 22.7, "gain", "MR", "aya7B", ALL),
    ("instruction following Llama, gain", 12.3, "gain", "IF", "llama8B", ALL),
    ("summarisation Llama, gain", 14.7, "gain", "SM", "llama8B", ALL),
    ("mathematics 7B, four languages", 38.4, "best", "MR", "aya7B", ALL),
    ("mathematics 7B, Latin scripts", 37.4, "best", "MR", "aya7B", "es fr"),
    ("mathematics 7B, other scripts", 36.6, "best", "MR", "aya7B", "ja zh"),
    ("mathematics 7B, loss by all tasks at once", 8, "joint", "MR", "aya7B", ALL),
    ("instruction following 7B, Spearman", 0.67, "rho", "IF", "aya7B", ALL),
    ("summarisation 7B, Spearman", 0.24, "rho", "SM", "aya7B", ALL),
    ("mathematics 7B, Spearman", 0.77, "rho", "MR", "aya7B", ALL),
    ("instruction following Llama, Spearman", 0.83, "rho", "IF", "llama8B", ALL),
    ("summarisation Llama, Spearman", 0.56, "rho", "SM", "llama8B", ALL),
    ("mathematics Llama, Spearman", 0.88, "rho", "MR", "llama8B", ALL),
    ("instruction following 35B, Spearman", 0.51, "rho", "IF", "aya35B", ALL),
    ("summarisation 35B, Spearman", 0.39, "rho", "SM", "aya35B", ALL),
    ("mathematics 35B, Spearman", 0.49, "rho", "MR", "aya35B", ALL),
)
"""Name, what is printed, what it is of, task, base, mix."""
PRINTED = {"gain": 0.1, "best": 0.1, "joint": 1.0, "rho": 0.01}
"""Last digit that is printed of each kind of figure."""


def published(path: Path = TABLES) -> pl.DataFrame:
    """The tables as rows of scores."""
    table = pl.read_csv(path).filter(pl.col("eval_lang") != "Avg.")
    joint = pl.col("setting") == "multi"
    return table.select(
        task=pl.col("task"),
        trained=pl.when(joint).then(pl.lit(JOINT)).otherwise(pl.col("task")),
        base=pl.col("model"),
        mix=pl.col("nonEN_train_langs"),
        n=pl.col("n_per_nonEN_lang"),
        seed=pl.lit(0),
        language=pl.col("eval_lang"),
        value=pl.col("value"),
    )


def curves(table: pl.DataFrame) -> list[Curve]:
    """One curve per printed table."""
    return curves_from(table, "en")


def of(found: Sequence[Curve], task: str, base: str, mix: str, trained: str | None = None) -> Curve:
    """The curve of one table."""
    key = (task, base, mix, trained or task)
    return next(curve for curve in found if (curve.task, curve.base, " ".join(curve.mix), curve.trained) == key)


def recomputed(found: Sequence[Curve], kind: str, curve: Curve) -> float:
    """What a claim comes to, in its own unit."""
    if kind == "gain":
        return round(100 * curve.gain(curve.relative()), 1)
    if kind == "best":
        return round(100 * curve.best(curve.mean())[1], 1)
    if kind == "joint":
        joint = of(found, curve.task, curve.base, ALL, JOINT)
        return round(100 * (curve.best(curve.mean())[1] - joint.best(joint.mean())[1]), 1)
    return round(seen_against_unseen(curve).rho, 2)


def verdict(kind: str, printed: float, found: float) -> str:
    """Whether a printed figure recomputes, to its last printed digit."""
    if abs(found - printed) < PRINTED[kind] / 2:
        return "exact"
    return "close" if kind != "rho" and abs(found - printed) < CLOSE else "does not recompute"


def verdicts(found: Sequence[Curve], resamples: int = 200) -> dict[str, Any]:
    """Every claim, the noise floor, Latin against other scripts, saturation, plans, and what explains the scores."""
    claims = []
    for name, printed, kind, task, base, mix in CLAIMS:
        value = recomputed(found, kind, of(found, task, base, mix))
        told = verdict(kind, printed, value)
        claims.append({"claim": name, "printed": printed, "recomputed": value, "verdict": told})
    floors: dict[str, dict[str, float]] = {}
    for task in ("IF", "SM", "MR"):
        mine = [curve for curve in found if (curve.task, curve.base, curve.trained) == (task, "aya7B", task)]
        measures = {
            "mean of 8": lambda curve: curve.mean(curve.languages),
            "mean of 7": lambda curve: curve.mean(),
            "relative": lambda curve: curve.relative(),
        }
        floors[task] = {name: floor(repeats(mine, measure)).deviation for name, measure in measures.items()}
    return {
        "claims": claims,
        "floors": floors,
        "in words": in_words(found),
        "latin_against_others": latin_against_others(found),
        "runs_needed": {str(rho): runs_needed(rho) for rho in (0.39, 0.49, 0.51, 0.56, 0.67)},
        "saturation": [
            {"task": c.task, "base": c.base, "trained": c.trained, "mix": " ".join(c.mix), **fitted(c)} for c in found
        ],
        "plans": plans(found),
        "ablation": ablation(rows_of(found), np.random.default_rng(0), resamples).to_json(),
    }


def in_words(found: Sequence[Curve]) -> dict[str, Any]:
    """What the text says without a figure: ">40 %" (Llama), "13 times more samples", a gap that stays "constant"."""
    llama, seven = of(found, "MR", "llama8B", ALL), of(found, "MR", "aya7B", ALL)
    relative_N = 100 * seven.relative().mean(1)
    gaps = {
        f"{c.task} {c.base}": [round(float(gap), 3) for gap in c.gap().mean(1)[[0, -1]]]
        for c in found
        if c.trained == c.task and len(c.mix) == 4
    }
    return {
        "mathematics Llama, gain": round(100 * llama.gain(llama.relative()), 1),
        "at samples": llama.best(llama.relative())[0],
        "mathematics 7B, gain at 400": round(float(relative_N[seven.sizes.index(400)] - relative_N[0]), 1),
        "gap of seen and unseen at 0 and 5000": gaps,
    }


def latin_against_others(found: Sequence[Curve]) -> dict[str, Any]:
    """Mathematics from Latin scripts (37.4) against others (36.6), beside three repeats of one configuration."""
    mine = [curve for curve in found if (curve.task, curve.base, curve.trained) == ("MR", "aya7B", "MR")]
    groups = repeats(mine, lambda curve: curve.mean())
    noise = floor(groups)
    latin, other = (
        of(found, "MR", "aya7B", mix).best(of(found, "MR", "aya7B", mix).mean())[1] for mix in ("es fr", "ja zh")
    )
    told = difference([latin], [other], noise)
    return {"difference": told.to_json(), "floor": noise.deviation, "repeats": max(map(len, groups))}


def fitted(curve: Curve) -> dict[str, Any]:
    """Saturation of the seen and the unseen mean."""
    return {
        name: saturation(curve.sizes, curve.mean(members)).to_json()
        for name, members in (("seen", curve.seen), ("unseen", curve.unseen))
    }


def plans(found: Sequence[Curve]) -> list[dict[str, Any]]:
    """The least data that reaches 95 % of the best, single tasks, all four languages."""
    rows = []
    for curve in found:
        if curve.trained == curve.task and len(curve.mix) == 4:
            rows.append(least_data([curve]).to_json())
    return rows


def pool(cells: Sequence[Cell], japanese: int = XLSUM_JAPANESE) -> dict[str, dict[str, list[Sample]]]:
    """Samples by row number, as many as the cells want; of Japanese summaries as many as there are."""
    made: dict[str, dict[str, list[Sample]]] = {}
    for cell in cells:
        for task in cell.tasks:
            for language, count in cell.counts("eng_Latn").items():
                there = made.setdefault(task, {}).setdefault(language, [])
                there += [Sample(f"{language}/{i}", task, language, ()) for i in range(len(there), count)]
    rows = [Sample(f"jpn_Jpan/{i}", "summarisation", "jpn_Jpan", ()) for i in range(japanese)]
    made["summarisation"]["jpn_Jpan"] = rows
    return made


def manifests() -> dict[str, Any]:
    """All 152 manifests, built without training: counts, and whether smaller cells lie inside larger ones."""
    cells = paper_cells()
    selection = Selection(pool(cells), "eng_Latn")
    made = {cell.name: selection.manifest(cell) for cell in cells}
    nested = all(
        set(small) <= set(large)
        for one, other in pairwise(cells)
        if (one.tasks, one.base, one.mix) == (other.tasks, other.base, other.mix) and one.size < other.size
        for task in one.tasks
        for language, small in made[one.name]["ids"][task].items()
        for large in [made[other.name]["ids"][task][language]]
    )
    return {
        "manifests": len(made),
        "samples": sum(manifest["total"] for manifest in made.values()),
        "largest": max(manifest["total"] for manifest in made.values()),
        "nested": nested,
        "totals": sorted({manifest["total"] for manifest in made.values()}),
    }


def markdown(result: dict[str, Any]) -> list[str]:
    """The table of docs/methods/post-training.md."""
    rows = [
        f"| {claim['claim']} | {claim['printed']:g} | {claim['recomputed']:g} | {claim['verdict']} |"
        for claim in result["claims"]
    ]
    return ["| claim | printed | recomputed | |", "|---|---|---|---|", *rows]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "posttrainer.json")
    arguments.add_argument("--table", action="store_true", help="print the kept result as Markdown and stop")
    asked = arguments.parse_args()
    if asked.table:
        print("\n".join(markdown(json.loads(asked.out.read_text(encoding="utf-8")))))
        return
    result = verdicts(curves(published())) | {"manifests": manifests()}
    for claim in result["claims"]:
        figures = f"printed {claim['printed']:6.2f}  recomputed {claim['recomputed']:6.2f}"
        print(f"{claim['claim']:42s} {figures}  {claim['verdict']}")
    told = result["latin_against_others"]
    gap = told["difference"]
    print(
        f"Latin against other scripts, mathematics: {100 * gap['value']:.1f} points "
        f"[{100 * gap['low']:.1f}, {100 * gap['high']:.1f}], noise floor {100 * told['floor']:.1f}: "
        f"{'resolved' if gap['resolved'] else 'inside the noise'}"
    )
    for plan in result["plans"]:
        least = f"{plan['size']} samples per language"
        print(f"{plan['task']} {plan['base']}: {least} reach {plan['reached']:.1%} of the best")
    parts = result["ablation"]
    print(
        f"explained: best single ({parts['best_single']}) {parts['alone'][parts['best_single']]['value']:.2f}, "
        f"all {parts['main']['value']:.2f}, beyond the best single {parts['beyond_single']['value']:.2f} "
        f"[{parts['beyond_single']['low']:.2f}, {parts['beyond_single']['high']:.2f}], "
        f"pairs add {parts['interactions']['value']:.3f}"
    )
    print(f"manifests: {result['manifests']['manifests']}, nested: {result['manifests']['nested']}")
    asked.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
