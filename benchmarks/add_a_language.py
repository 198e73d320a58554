"""Two languages join a model that knows three: what the closed loop of recipes/add-a-language.yaml measured, under two objectives.

    python benchmarks/add_a_language.py [--out DIR]      runs the study, and once more where old text counts as one source of three
    python benchmarks/add_a_language.py --table          prints the tables of docs/starting-from-a-model.md from what was kept

The second objective changes nothing that is trained but the optimum's own runs: the directory is the same.
"""  # noqa: E501

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import glotmix as gm
from glotmix.artifact import read_json, write_json
from glotmix.wording import signed

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "add_a_language.json"
OBJECTIVES: dict[str, dict[str, Any]] = {
    "languages": {},
    "sources": {
        "optimize.objective": "mean",
        "optimize.weights": dict.fromkeys(("eng_Latn", "spa_Latn", "deu_Latn"), 0),
    },
}
"""Five languages alike, as the recipe says; Portuguese, Turkish and replay alike."""


def main() -> None:
    """Run or print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("out/add-a-language"))
    asked = parser.parse_args()
    if not asked.table:
        found = {}
        for name, change in OBJECTIVES.items():
            gm.run_study(HERE.parent / "recipes" / "add-a-language.yaml", out=asked.out, change=change)
            found[name] = {key: read_json(asked.out / f"{key}.json") for key in ("closed_loop", "base")}
            found[name]["law"] = read_json(asked.out / "fits" / "holdout.json")["chosen"]
        write_json(RESULTS, found)
    print(tables(json.loads(RESULTS.read_text())))


def tables(found: dict[str, Any]) -> str:
    """Shares and gains of the optimum under both objectives; what every mixture gained and forgot, under the first."""
    lines = ["| objective | Portuguese | Turkish | replay | against natural | against uniform | against no replay |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name, words in (("languages", "five languages alike"), ("sources", "two languages and replay alike")):
        loop = found[name]["closed_loop"]
        shares = [f"{100 * loop['mixtures']['optimum'][one]:.0f} %" for one in ("por_Latn", "tur_Latn", "replay")]
        by = {one["baseline"]: one for one in loop["differences"]}
        gains = [_with_interval(by[one]) for one in ("natural", "uniform", "new_only")]
        lines.append(f"| {words} | {' | '.join([*shares, *gains])} |")
    first = found["languages"]
    before, loop = first["base"]["losses"], first["closed_loop"]["measured"]
    mixtures = ("optimum", "natural", "uniform", "new_only")
    lines += ["", f"| language | before | {' | '.join(mixtures)} |", "|---|---|---|---|---|---|"]
    for target in ("por_Latn", "tur_Latn", "eng_Latn", "spa_Latn", "deu_Latn"):
        means = [sum(loop[one][target]) / len(loop[one][target]) for one in mixtures]
        changes = [signed(before[target] - mean, 2) for mean in means]
        lines.append(f"| {target} | {before[target]:.2f} | {' | '.join(changes)} |")
    return "\n".join(lines)


def _with_interval(gain: dict[str, Any]) -> str:
    return f"{signed(gain['value'])} ({signed(gain['low'])} to {signed(gain['high'])})"


if __name__ == "__main__":
    main()
