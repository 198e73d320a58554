"""Cloned languages on man pages: raw results of every run, and the tables of docs/methods/clones.md.

    make corpora
    glotmix run recipes/cloned-languages.yaml --scale small --out out/small
    glotmix run recipes/cloned-languages.yaml --scale medium --out out/medium
    python benchmarks/clones.py out/small out/medium

Reads the directories and writes ``benchmarks/results/clones.json``; without a directory it prints the tables of
what is written there.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "clones.json"


def raw(arm: Path) -> list[dict]:
    """Every run of an arm: losses in nats per token at every evaluation, gradient cosine at every checkpoint."""
    runs = []
    for path in sorted((arm / "runs").glob("*/run.json")):
        told = json.loads(path.read_text())
        losses: dict[str, dict[str, float]] = {}
        tokens = {}
        for row in told["losses"]:
            tokens[row["step"]] = row["tokens"]
            if row["metric"] == "nats":
                losses.setdefault(str(row["tokens"]), {})[row["language"]] = round(row["value"], 5)
        probe = arm / "probes" / f"{told['run']}.json"
        steps = json.loads(probe.read_text())["steps"] if probe.exists() else {}
        cosines = {str(tokens[int(step)]): round(one["gradient"]["mean"], 5) for step, one in steps.items()}
        runs.append(
            {"run": told["run"], "N": told["N"], "D": told["D"], "status": told["status"], "losses": losses}
            | ({"gradient_cosine": cosines} if cosines else {})
        )
    return runs


def study(directory: Path) -> dict:
    """A study's configuration, findings and runs."""
    config = json.loads((directory / "study.json").read_text())
    corpus = {name: value for name, value in config["corpus"].items() if name != "path"}
    return {
        "name": directory.name,
        "config": config | {"corpus": corpus},
        "findings": json.loads((directory / "clones.json").read_text()),
        "runs": {arm.name: raw(arm) for arm in sorted((directory / "arms").iterdir())},
    }


def number(estimate: dict | None, digits: int = 3) -> str:
    """A number with its interval."""
    if estimate is None:
        return "–"
    if isinstance(estimate["value"], str):
        return {"inf": "beyond the curve", "nan": "not defined"}.get(estimate["value"], estimate["value"])
    if estimate["low"] is None:
        return f"{estimate['value']:.{digits}f}"
    return f"{estimate['value']:.{digits}f} [{estimate['low']:.{digits}f}, {estimate['high']:.{digits}f}]"


def show(one: dict) -> None:
    """The tables of a study."""
    found = one["findings"]
    print(f"\n## {one['name']}: {'; '.join(f'{k}: {v}' for k, v in found['facts'].items())}\n\n{found['curve']}\n")
    print("| mixture | arm | tokens | seeds | loss 1 | loss 2 | efficiency 1 | efficiency 2 | gradient cosine |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in found["mixtures"]:
        cells = [row["name"], row["arm"], f"{row['tokens'] / 1e6:g}M", str(row["seeds"])]
        cells += [number(x) for x in row["loss"]] + [number(x, 2) for x in row["efficiency"]]
        print(f"| {' | '.join([*cells, number(row['gradient'])])} |")
    columns = ["mixture", "arm", "gradients", "hidden, raw, by block", "centred", "retrieval, best block (chance)"]
    print("\n| " + " | ".join([*columns, "clone pairs (all)"]) + " |\n|---|---|---|---|---|---|---|")
    for row in (row for row in found["mixtures"] if row["gradient"]):
        cells = [row["name"], row["arm"], number(row["gradient"])]
        cells += [" ".join(f"{value:.2f}" for value in row[kind]) for kind in ("raw", "centred")]
        embedding = "{:.3f} ({:.3f})".format(*row["embedding"]) if row["embedding"] else "–"
        retrieval = f"{max(row['retrieval']):.2f} ({row['chance']:.2f})" if row["chance"] < 1 else "one sentence"
        print(f"| {' | '.join([*cells, retrieval, embedding])} |")
    print("\n| alone | tokens | loss |\n|---|---|---|")
    for row in found["alone"]:
        print(f"| {row['arm']} | {row['tokens'] / 1e6:g}M | {number(row['loss'])} |")
    if found["controls"]:
        print("\n| share | in the mixture | alone, in as many updates | batch | loss alone minus in the mixture |")
        print("|---|---|---|---|---|")
    for row in found["controls"]:
        cells = [f"{100 * row['share']:g} %", number(row["mixed"], 2), number(row["efficiency"], 2), str(row["batch"])]
        print(f"| {' | '.join([*cells, number(row['gain'])])} |")
    if found["dials"]:
        print("\n| dial | share | of the text | loss |\n|---|---|---|---|")
    for row in found["dials"]:
        print(f"| {row['dial']} | {row['share']:g} | {row['mass']:.3f} | {number(row['loss'])} |")
    print("\n| claim | paper | measured | verdict | would decide |\n|---|---|---|---|---|")
    for row in found["claims"]:
        measured = f"{row['measure']}: {number(row['measured'])}"
        print(f"| {row['claim']} | {row['paper']} | {measured} | {row['verdict']} | {row['decides']} |")
    if found["lenses"]:
        print("\n| lens | split | 2nd to 1st | 1st to 2nd | asymmetry (log2) | bias, 2nd to 1st | bias, 1st to 2nd |")
        print("|---|---|---|---|---|---|---|")
    for row in found["lenses"]:
        split = f"{100 * (1 - row['second']):g}/{100 * row['second']:g}"
        values = [number(row[key], 2) for key in ("to_first", "to_second", "asymmetry")]
        values += [number(bias, 2) for bias in row["bias"] or (None, None)]
        print(f"| {' | '.join([row['lens'], split, *values])} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=Path, nargs="*")
    studies = [study(directory) for directory in parser.parse_args().studies]
    if studies:
        RESULT.write_text(json.dumps(studies, indent=1) + "\n")
    for one in json.loads(RESULT.read_text()):
        show(one)


if __name__ == "__main__":
    main()
