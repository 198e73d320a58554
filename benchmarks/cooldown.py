"""After how many final updates does Cooldown come out ahead? Made-up text, the smallest model, runs of growing length.

    python benchmarks/cooldown.py [--minutes 8] [--directory DIR]    goes on where it stopped
    python benchmarks/cooldown.py --show                             the table of the results kept

Every length is a comparison of its own (recipes/upsample-or-upweight.yaml at scale tiny, a smaller model, three seeds):
Cooldown samples at temperature 5 for the first half and in proportion to size for the second. Kept is, for the
smallest language and for the mean, the held-out loss of Cooldown minus that of temperature 5 and of proportional
sampling, by seed. The paper has 50,000 final updates of larger batches.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from glotmix.artifact import read_json, write_json
from glotmix.estimate import over_repeats
from glotmix.studies.compare.kind import CompareKind
from glotmix.study.directory import StudyDirectory
from glotmix.study.kind import run_study

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "upsample-or-upweight.yaml"
KEPT = Path(__file__).parent / "results" / "cooldown.json"
FINAL = (125, 250, 500, 1000, 2000, 4000)
"""Updates of the second half."""
RIVALS = ("temperature:5", "proportional")
SEEDS, BATCH, CONTEXT = 3, 4, 64
MODEL = ("proxy.width=32", "proxy.layers=2", "proxy.heads=2", f"proxy.batch={BATCH}", f"proxy.context={CONTEXT}")


def lengthened(updates: int, directory: Path) -> dict[str, object]:
    """Differences of one length, and how often the smallest language was read."""
    kind = CompareKind()
    changes = [
        *MODEL,
        f"proxy.tokens={2 * updates * BATCH * CONTEXT}",
        f"methods={['proportional', 'temperature:5', 'cooldown']}",
        f"seeds={SEEDS}",
        "probe.sequences=0",
        "sweep.workers=1",
        f"sweep.stack={SEEDS}",
    ]
    config = kind.load(RECIPE, scale="tiny", overrides=changes)
    found = run_study(kind, config, StudyDirectory(directory / f"{updates}", RECIPE.parent)).found
    smallest = found.smallest
    told: dict[str, object] = {"final_updates": updates, "smallest": smallest, "epochs": {}, "minus": {}}
    losses: dict[str, dict[str, np.ndarray]] = {}
    for method in ("cooldown", *RIVALS):
        rows = [
            read_json(directory / f"{updates}" / "runs" / f"{method.replace(':', '-')}-s{seed}" / "run.json")["losses"]
            for seed in range(SEEDS)
        ]
        final = [
            {r["language"]: r["value"] for r in seed if r["metric"] == "bpb" and r["step"] == 2 * updates}
            for seed in rows
        ]
        losses[method] = {
            smallest: np.array([one[smallest] for one in final]),
            "mean": np.array([np.mean(list(one.values())) for one in final]),
        }
    told["epochs"] = {row.method: round(row.epochs[smallest], 3) for row in found.rows}
    told["minus"] = {
        rival: {
            what: [round(x, 5) for x in (losses["cooldown"][what] - losses[rival][what]).tolist()]
            for what in (smallest, "mean")
        }
        for rival in RIVALS
    }
    return told


def show() -> str:
    """Cooldown minus its rivals in bits per byte, with 95 % intervals over seeds."""
    lines = [
        "| final updates | passes over the smallest, Cooldown / temperature 5 | smallest: minus temperature 5 | "
        "smallest: minus proportional | mean: minus temperature 5 | mean: minus proportional |",
        "|---|---|---|---|---|---|",
    ]
    for row in read_json(KEPT):
        cells = []
        for what in (row["smallest"], "mean"):
            for rival in RIVALS:
                one = over_repeats(row["minus"][rival][what])
                cells.append(f"{one.value:+.3f} ± {one.high - one.value:.3f}")
        epochs = f"{row['epochs']['cooldown']:.1f} / {row['epochs']['temperature:5']:.1f}"
        lines.append(f"| {row['final_updates']:,} | {epochs} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--directory", type=Path, default=ROOT / "out" / "cooldown")
    parser.add_argument("--show", action="store_true")
    asked = parser.parse_args()
    if asked.show:
        print(show())
        return
    kept = read_json(KEPT) if KEPT.is_file() else []
    began, done = time.monotonic(), {row["final_updates"] for row in kept}
    for updates in FINAL:
        if updates in done:
            continue
        if time.monotonic() - began > 60 * asked.minutes:
            print("stopped; call again to go on")
            break
        kept.append(lengthened(updates, asked.directory))
        write_json(KEPT, kept)
        print(f"{time.monotonic() - began:5.0f} s", kept[-1], flush=True)


if __name__ == "__main__":
    main()
