"""Ten ways of balancing languages on man pages: the comparison of recipes/upsample-or-upweight.yaml, recorded.

    make corpora && python benchmarks/compare.py           # writes benchmarks/results/compare.json

Trains what is missing in the directory (interrupted and called again, it goes on), then records every final loss with
its seed, the course of every method and language, every pair with its significance, and the answer to the question:
does Cooldown reach the best low-resource loss of the static methods without their overfitting, and at what cost?
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

from rich.console import Console
from rounding import rounded

from glotmix.artifact import read_json
from glotmix.studies.compare.findings import SURE, about_cooldown, about_the_side, about_the_smallest, headline
from glotmix.studies.compare.kind import CompareKind
from glotmix.study.directory import StudyDirectory
from glotmix.study.kind import run_study

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "upsample-or-upweight.yaml"


def finals(directory: Path) -> dict[str, dict[str, float]]:
    """Run to language to its final held-out loss, bits per byte."""
    found = {}
    for path in sorted(directory.glob("runs/*/run.json")):
        losses = [row for row in read_json(path)["losses"] if row["metric"] == "bpb"]
        last = max(row["step"] for row in losses)
        found[path.parent.name] = {row["language"]: row["value"] for row in losses if row["step"] == last}
    return found


def markdown(result: dict[str, Any]) -> list[str]:
    """The tables of docs/methods/upsample-or-upweight.md."""
    found = result["comparison"]
    languages = sorted(found["sizes"], key=lambda name: -found["sizes"][name])
    columns = [*languages, "mean", "worst"]
    verdicts = {(p["one"], p["other"], p["language"]): p["p"] for p in found["pairs"]}
    lines = ["| method | " + " | ".join(name.partition("_")[0] for name in columns) + " | epochs | rise | FLOPs |"]
    lines.append("|" + "---|" * (len(columns) + 4))
    for row in found["rows"]:
        cells = []
        for name in columns:
            p = verdicts.get((found["baseline"], row["method"], name))
            cells.append(f"{row['loss'][name]['value']:.3f}" + ("*" if p is not None and p < SURE else ""))
        watch = next(w for w in found["watches"] if (w["method"], w["language"]) == (row["method"], languages[-1]))
        rise = watch["rise"]
        told = f"{rise['value']:.2f}" + ("" if rise["low"] is None else f" ({rise['low']:.2f} to {rise['high']:.2f})")
        cells += [f"{row['epochs'][languages[-1]]:.1f}", told, f"{row['flops']:.2g}"]
        lines.append(f"| {row['method']} | " + " | ".join(cells) + " |")
    halves = [found["rows"][0]["loss"][name] for name in columns]
    shown = ["–" if e["high"] is None else f"{e['high'] - e['value']:.3f}" for e in halves]
    return [*lines, "| ± (95 %) | " + " | ".join([*shown, "", "", ""]) + " |"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true", help="print the kept result as Markdown and stop")
    parser.add_argument("--scale", default="small")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="a.b=value", help="change a field of the recipe")
    parser.add_argument("--directory", type=Path, default=ROOT / "out" / "upsample-or-upweight")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "compare.json")
    arguments = parser.parse_args()
    if arguments.table:
        print("\n".join(markdown(json.loads(arguments.out.read_text(encoding="utf-8")))))
        return
    kind = CompareKind()
    config = kind.load(RECIPE, scale=arguments.scale, overrides=[f"seeds={arguments.seeds}", *arguments.set])
    finished = run_study(kind, config, StudyDirectory(arguments.directory, RECIPE.parent))
    found = finished.found
    names = {language: language for language in found.languages}
    answer = [headline(found), *about_the_smallest(found, found.smallest), *about_cooldown(found, names)]
    answer += [about_the_side(found.side)] if found.side else []
    doremi = {path.parent.name: read_json(path) for path in arguments.directory.glob("runs/doremi*-proxy/run.json")}
    result = {
        "answer": answer,
        "final_bits_per_byte": finals(arguments.directory),
        "doremi_mixtures": {name: record["guided"]["result"] for name, record in doremi.items()},
        "comparison": found.to_json(),
        "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
    }
    arguments.out.write_text(json.dumps(rounded(result), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    Console(width=120, highlight=False).print(*finished.tables)
    print("\n".join(answer), finished.report, sep="\n")


if __name__ == "__main__":
    main()
