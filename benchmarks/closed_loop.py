"""Man pages: what the optimum gains over each baseline, as the law predicted it and as proxies measured it.

    make corpora
    W='optimize.weights={spa_Latn: 485, fra_Latn: 80, ita_Latn: 65, rus_Cyrl: 150}'
    for s in 0 1 2; do
      glotmix run recipes/shapley-law.yaml --scale small --set seed=$s --out out/shapley-law-s$s
      cp -r out/shapley-law-s$s out/shapley-law-s$s-speakers
      glotmix run recipes/shapley-law.yaml --scale small --set seed=$s --set optimize.objective=weighted --set "$W" \
        --out out/shapley-law-s$s-speakers
    done
    python benchmarks/closed_loop.py out/shapley-law-s*

The weights are native speakers, roughly, in millions. A copy keeps the trained proxies, so only the closed loop is
trained again. Writes ``benchmarks/results/closed_loop.json``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

RESULT = Path(__file__).parent / "results" / "closed_loop.json"


def row(study: Path) -> dict:
    """One study's optimum, and predicted and measured differences."""
    optimum = json.loads((study / "optimum.json").read_text())
    loop = json.loads((study / "closed_loop.json").read_text())
    predicted = {baseline["name"]: baseline["gain"]["value"] for baseline in optimum["baselines"]}
    seeds = {name: len(next(iter(losses.values()))) for name, losses in loop["measured"].items()}
    weights = set(optimum["objective"]["weights"].values())
    return {
        "study": study.name,
        "objective": "weighted by speakers" if len(weights) > 1 else optimum["objective"]["name"],
        "weights": optimum["objective"]["weights"],
        "mixture": optimum["mixture"],
        "seeds": seeds["optimum"],
        "differences": [d | {"predicted": predicted.get(d["baseline"])} for d in loop["differences"]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=Path, nargs="+")
    rows = [row(study) for study in parser.parse_args().studies]
    print("| study | objective | seeds | baseline | predicted gain | measured gain, bits per byte | verdict |")
    print("|---|---|---|---|---|---|---|")
    for one in rows:
        for d in one["differences"]:
            print(
                f"| {one['study']} | {one['objective']} | {one['seeds']} | {d['baseline']} | {d['predicted']:.3f} "
                f"| {d['value']:.3f} [{d['low']:.3f}, {d['high']:.3f}] | {d['verdict']} |"
            )
    pooled: dict[str, list[float]] = {}
    for one in rows:
        for d in one["differences"]:
            pooled.setdefault(f"{one['objective']}: {d['baseline']}", []).append(d["value"])
    summary = {name: {"mean": float(np.mean(values)), "studies": len(values)} for name, values in pooled.items()}
    RESULT.write_text(json.dumps({"summary": summary, "studies": rows}, indent=1) + "\n")
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
