"""How long `glotmix fit` and `glotmix report` take, from the command line to the file, as a user would call them.

    python benchmarks/fit_speed.py [TABLE …] [--regmix DIR]    planted tables, and RegMix's 512 runs of DIR
    python benchmarks/fit_speed.py --write FOLDER              only write the planted tables
    python benchmarks/fit_speed.py --show                      the table of the kept results

Kept by table in ``benchmarks/results/fit_speed.json``: seconds of the processor (of the command and its processes), of
the wall, which law was chosen, and its held-out error. Other work on the machine lengthens the wall and not the
processor's seconds; on two free cores the wall lies between the whole of them and the half.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from decisions import write_runs
from planted import FAMILIES, Runs, Table, measured, mixtures, sized, transfer_truth

from glotmix.artifact import write_json

RESULTS = Path(__file__).parent / "results" / "fit_speed.json"


def varied(R: int, L: int) -> Callable[[np.random.Generator], Table]:
    """R runs of as many mixtures of L domains, at six model sizes and tokens of their own."""

    def make(rng: np.random.Generator) -> Table:
        truth = sized(transfer_truth(rng, L), rng, L)
        N_R = rng.choice(np.array([2e7, 5e7, 1.2e8, 3e8, 6e8, 1e9]), R)
        runs = Runs(mixtures(rng, R, L), N_R, 20 * N_R * rng.uniform(0.5, 2.0, R))
        return measured(rng, truth, runs, runs.where(np.arange(10)), 0.005, names(L), at={"N": 1e9, "D": 2e10})

    return make


def plain(R: int, L: int) -> Callable[[np.random.Generator], Table]:
    """R mixtures of L groups at one size."""

    def make(rng: np.random.Generator) -> Table:
        truth = transfer_truth(rng, L)
        runs = Runs(mixtures(rng, R, L))
        return measured(rng, truth, runs, runs.where(np.arange(10)), 0.01, names(L))

    return make


def names(L: int) -> tuple[str, ...]:
    """Names of L groups."""
    return tuple(f"l{i:03}" for i in range(L))


TABLES: dict[str, tuple[str, float, Callable[[np.random.Generator], Table]]] = {
    "ten": ("64 runs of 10 groups", 15, plain(64, 10)),
    "checkpoints": ("20 runs of 4 groups, 10 checkpoints each", 15, FAMILIES["checkpoints"].make),
    "hundred": ("300 runs of 100 languages", 60, FAMILIES["hundred"].make),
    "seven": ("2,222 runs of 7 domains, N and D varied", 90, varied(2222, 7)),
    "five": ("5,000 runs of 5 domains, N and D varied", 120, varied(5000, 5)),
}
"""Name to what it is, the seconds of two free cores that it may take, and its maker."""
REGMIX = {"regmix": "RegMix, 512 runs of 17 domains, 13 targets"}


def timed(arguments: list[str]) -> dict[str, float]:
    """Run the command; seconds of the processor and of the wall."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "glotmix", *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"processor": spent, "wall": time.perf_counter() - began}


def measure(runs: list[str], folder: Path) -> dict[str, Any]:
    """Fit, then report from the fit."""
    out = folder / "fit.json"
    row: dict[str, Any] = {"fit": timed(["fit", *runs, "--out", str(out)])}
    told = json.loads(out.read_text())
    scores = told["holdout"]["scores"][told["chosen"]]
    row |= {"chosen": told["chosen"], "error": float(np.mean([score["error"] for score in scores.values()]))}
    row["report from fit"] = timed(["report", *runs, "--fit", str(out), "--out", str(folder / "report.html")])
    return row


def shown(kept: dict[str, Any]) -> str:
    """Seconds by table."""
    head = "table | fit, processor | wall then | at most, on two cores | report of a fit | chosen | held-out error, %"
    lines = [f"| {head} |", "|" + "---|" * 7]
    for row in kept.values():
        cells = [row["what"], f"{row['fit']['processor']:.0f} s", f"{row['fit']['wall']:.0f} s"]
        cells += ["" if row["target"] is None else f"{row['target']:.0f} s"]
        cells += [f"{row['report from fit']['processor']:.1f} s", row["chosen"], f"{100 * row['error']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", default=[], metavar="TABLE", help=" | ".join([*TABLES, *REGMIX]))
    parser.add_argument("--regmix", type=Path, help="folder of RegMix's tables (see laws.py)")
    parser.add_argument("--write", type=Path, metavar="FOLDER")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    kept = json.loads(asked.out.read_text()) if asked.out.exists() else {}
    if asked.show:
        print(shown(kept))
        return
    # One thread in each process: threads of linear algebra that wait for one another would count as the fit's own time.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for name in asked.tables or [*TABLES, *(REGMIX if asked.regmix else ())]:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) if asked.write is None else asked.write
            runs, what, target = [str(folder / f"{name}.csv")], REGMIX.get(name, ""), 30.0
            if name in TABLES:
                what, target, make = TABLES[name]
                table = make(np.random.default_rng(0))
                write_runs(Path(runs[0]), table.runs, table.languages, table.loss_RT)
            else:
                mix, loss = (str(asked.regmix / f"train_{kind}_1m.csv") for kind in ("mixture", "pile_loss"))
                runs = ["--mixtures", mix, "--losses", loss]
            if asked.write is None:
                kept[name] = {"what": what, "target": target, **measure(runs, folder)}
                write_json(asked.out, kept)
                print(name, kept[name], flush=True)


if __name__ == "__main__":
    main()
