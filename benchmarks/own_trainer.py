"""One study by transformers' Trainer and by glotmix's own engine: do values and optimum agree within their intervals?

    python benchmarks/own_trainer.py run --out DIR     goes on where it stopped; about 4 processor minutes in all
    python benchmarks/own_trainer.py --show            tables, from kept results

`recipes/own-trainer.yaml` is run as it stands, with `recipes/own_trainer.py` as the foreign trainer: other code, other
initial weights, other order of the data. Text, tokenizer, held-out text, mixtures, shape and rates are the same.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

from scipy.stats import spearmanr

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "own_trainer.json"
RECIPE = ROOT / "recipes"
LANGUAGES = ("spa_Latn", "fra_Latn", "rus_Cyrl", "ukr_Cyrl")


def call(words, folder, allowed=(0,)):
    env = os.environ | {"PYTHONPATH": str(ROOT / "src"), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    env |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    code = subprocess.run(words, cwd=folder, env=env, check=False).returncode
    if code not in allowed:
        sys.exit(f"{' '.join(map(str, words))}: exit code {code}")
    return code


def glotmix(folder, out, *more):
    return call([sys.executable, "-m", "glotmix", "run", "own-trainer.yaml", "--out", out, *more], folder, (0, 3))


def run(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("own-trainer.yaml", "own_trainer.py"):
        shutil.copy(RECIPE / name, folder)
    spent = folder / "spent.json"
    if not (folder / "data").is_dir():
        call([sys.executable, "own_trainer.py", "data", "300000", *LANGUAGES], folder)
    while glotmix(folder, "out/own") == 3:
        call([sys.executable, str(Path(__file__).resolve()), "train", "--out", "."], folder)
        note(spent)
    glotmix(folder, "out/engine", "--executor", "local", "--set", "sweep.workers=1")
    note(spent)
    seconds = json.loads(spent.read_text())["seconds"]
    RESULT.write_text(json.dumps(compare(folder) | {"processor_seconds": seconds}, indent=1) + "\n")


def train(folder):
    """Every run that waits, in one process: as the loop of the handoff does, but transformers is loaded once."""
    os.chdir(folder)
    sys.path.insert(0, str(folder.resolve()))
    import own_trainer

    handoff = folder / "out" / "own" / "handoff"
    os.environ["GLOTMIX_RESULTS"] = str(handoff / "results")
    for name in (handoff / "waiting.txt").read_text().split():
        if not (handoff / "ended" / name).exists():
            os.environ["GLOTMIX_RUN"] = name
            run = handoff / "runs" / name
            own_trainer.train(run, json.loads((run / "asked.json").read_text())["arguments"])
            (handoff / "ended").mkdir(exist_ok=True)
            (handoff / "ended" / name).touch()


def note(spent):
    """Add the processor seconds of this call to those of earlier ones."""
    before = json.loads(spent.read_text()) if spent.is_file() else {"seconds": 0.0}
    used = sum(resource.getrusage(who).ru_utime for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    total = before["seconds"] - before.get(str(os.getpid()), 0.0) + used
    spent.write_text(json.dumps({"seconds": total, str(os.getpid()): used}))


def compare(folder):
    """What both studies found, raw."""
    found = {}
    for name in ("own", "engine"):
        out = folder / "out" / name
        optimum = json.loads((out / "optimum.json").read_text())
        found[name] = {
            "transfer": json.loads((out / "transfer.json").read_text()),
            "optimum": {key: optimum[key] for key in ("mixture", "spread", "objective", "predicted", "baselines")},
            "law": json.loads((out / "fits" / "holdout.json").read_text())["chosen"],
            "closed_loop": json.loads((out / "closed_loop.json").read_text()),
        }
    return found


def cells_of(own, engine):
    """Two estimates with their intervals, and whether these overlap; neither says so where there is no interval."""
    both = (own, engine)
    if any(one["low"] is None for one in both):
        return f"{own['value']:.3f} | {engine['value']:.3f} | no interval |"
    told = [f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]" for one in both]
    meet = max(own["low"], engine["low"]) <= min(own["high"], engine["high"])
    return f"{told[0]} | {told[1]} | {'yes' if meet else 'no'} |"


def meeting(own, engine):
    """How many values' intervals meet, and what share of those do that stand in other places: how much that says."""
    cells = [(t, s) for t, row in own["transfer"]["values"].items() for s in row]
    mine, theirs = ([part["transfer"]["values"][t][s] for t, s in cells] for part in (own, engine))
    meet = [[max(a["low"], b["low"]) <= min(a["high"], b["high"]) for b in theirs] for a in mine]
    elsewhere = [meet[i][j] for i in range(len(cells)) for j in range(len(cells)) if i != j]
    ranks = spearmanr([one["value"] for one in mine], [one["value"] for one in theirs]).statistic
    return sum(meet[i][i] for i in range(len(cells))), len(cells), sum(elsewhere) / len(elsewhere), float(ranks)


def table(result):
    """Values, shares and gains side by side."""
    own, engine = result["own"], result["engine"]
    print(
        "| Shapley value, bits per byte | transformers' Trainer | own engine | intervals overlap |\n|---|---|---|---|"
    )
    for target, sources in own["transfer"]["values"].items():
        for source, value in sources.items():
            print(f"| {source} to {target} | {cells_of(value, engine['transfer']['values'][target][source])}")
    print("\n| share in the optimum | transformers' Trainer | own engine | intervals overlap |\n|---|---|---|---|")
    for language, share in own["optimum"]["mixture"].items():
        both = []
        for one in (own, engine):
            low, high = one["optimum"]["spread"][language]
            both.append({"value": one["optimum"]["mixture"][language], "low": low, "high": high})
        assert both[0]["value"] == share
        print(f"| {language} | {cells_of(*both)}")
    print(
        "\n| measured gain of the optimum | transformers' Trainer | own engine | intervals overlap |\n|---|---|---|---|"
    )
    gains = [{one["baseline"]: one for one in part["closed_loop"]["differences"]} for part in (own, engine)]
    for name in gains[0]:
        if name in gains[1]:
            print(f"| over {name} | {cells_of(gains[0][name], gains[1][name])}")
    met, values, elsewhere, ranks = meeting(own, engine)
    print(f"\n{met} of {values} values overlap, and {elsewhere:.0%} of those that stand in different cells;", end=" ")
    print(f"Spearman's coefficient of the two is {ranks:.2f}.")
    print(f"\n{result['processor_seconds'] / 60:.1f} processor minutes; laws {own['law']} and {engine['law']}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="?", choices=["run", "train"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    if given.what == "run":
        run(given.out)
    elif given.what == "train":
        train(given.out)
    elif not RESULT.is_file():
        sys.exit(f"{RESULT.relative_to(ROOT)}: not there; `run --out DIR` makes it")
    else:
        table(json.loads(RESULT.read_text()))


if __name__ == "__main__":
    main()
