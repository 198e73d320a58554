"""What a dry run predicts beside what the study takes, stage by stage, in processor seconds.

Wall-clock time depends on what else a machine does; processor seconds do so far less. A study runs here with a narrator
that reads this process's and its ended children's processor time whenever a stage begins or ends.

    python benchmarks/price.py run recipes/tracin.yaml --scale tiny     # writes benchmarks/results/price/tracin.json
    python benchmarks/price.py predict [recipes/tracin.yaml]            # predicts anew beside what was measured
    python benchmarks/price.py --show                                   # the table of docs/scaling.md
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glotmix.artifact import write_json
from glotmix.progress import Advance
from glotmix.studies.start import open_study
from glotmix.study.narrator import Narrator

RESULTS, RECIPES = Path(__file__).parent / "results" / "price", Path(__file__).parents[1] / "recipes"


def processor_seconds() -> float:
    """Of this process and of its children that have ended."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both)


class TimedNarrator(Narrator):
    """Reads the clock at the edges of every bar; what lies between two bars is told by the one before."""

    def began(self) -> None:
        """Start to count."""
        object.__setattr__(self, "spent", {})
        object.__setattr__(self, "label", "before")
        object.__setattr__(self, "last", processor_seconds())

    def note(self, label: str) -> None:
        """Everything since the last note was spent on the stage before; ``label`` begins."""
        now = processor_seconds()
        self.spent[self.label] = self.spent.get(self.label, 0.0) + now - self.last
        object.__setattr__(self, "last", now)
        object.__setattr__(self, "label", label)

    @contextmanager
    def bar(self, label: str) -> Iterator[Advance]:
        self.note(label)
        with super().bar(label) as advance:
            yield advance
        self.note(f"after {label}")


def run(recipe: Path, scale: str | None, changes: list[str], out: Path | None) -> None:
    """Predict, run, and keep both; the study's own files stay in ``out`` where it is given."""
    with tempfile.TemporaryDirectory() as folder:
        study = open_study(recipe, scale=scale, out=out or Path(folder) / "out", overrides=changes)
        price = study.price().to_json()
        narrator = TimedNarrator()
        narrator.began()
        dataclasses.replace(study, directory=dataclasses.replace(study.directory, narrator=narrator)).run()
        narrator.note("end")
    found = {
        "recipe": recipe.name, "scale": scale, "changes": changes, "predicted": price["stages"],
        "measured": narrator.spent, "cores": len(os.sched_getaffinity(0)),
    }  # fmt: skip
    write_json(RESULTS / f"{recipe.stem}.json", found)
    print(json.dumps(found["measured"], indent=1), sum(narrator.spent.values()))


def predict(recipe: Path | None) -> None:
    """The prices of today beside what was measured, of one recipe or all."""
    for path in sorted(RESULTS.glob(f"{recipe.stem if recipe else '*'}.json")):
        kept = json.loads(path.read_text())
        study = open_study(RECIPES / kept["recipe"], scale=kept["scale"], overrides=kept["changes"])
        write_json(path, kept | {"predicted": study.price().to_json()["stages"]})


def show() -> None:
    """A row per recipe: what was predicted and spent, in all and by stage, in processor seconds."""
    print("| recipe | predicted | spent | ratio | by stage: predicted, spent |")
    print("|---|---|---|---|---|")
    for path in sorted(RESULTS.glob("*.json")):
        kept = json.loads(path.read_text())
        predicted = {stage["name"]: stage["processor_seconds"] for stage in kept["predicted"]}
        spent = dict.fromkeys(predicted, 0.0)
        for label, seconds in kept["measured"].items():
            name = next(
                (stage for stage, begins in STAGES.items() if stage in spent and label.startswith(begins)), None
            )
            spent[name or list(spent)[-1]] += seconds
        stages = "; ".join(f"{name} {predicted[name]:.0f}, {spent[name]:.0f}" for name in predicted)
        told, all_told = sum(predicted.values()), sum(spent.values())
        print(f"| `{path.stem}` | {told:.0f} | {all_told:.0f} | {told / all_told:.2f} | {stages} |")


STAGES = {
    "reading the corpus": ("before", "Reading", "after Reading"),
    "laws, optimum and page": ("after Training proxies", "Judging laws", "after Judging laws", "after Closing"),
    "training the first phase": ("Training the first phase", "after Training the first phase"),
    "training the base": ("Training the base", "after Training the base"),
    "training proxies": ("Training proxies", "Training batch"),
    "closing the loop": ("Closing the loop",),
    "training the methods": ("Training",),
    "gradients and page": ("after Training", "after Translating"),
    "translating": ("Translating",),
    "training the arms": ("Training",),
    "the base model": ("before", "Training the base model", "after Training the base model"),
    "tuning and scoring": ("Tuning and scoring",),
    "training again": ("Training",),
    "the base models": ("before", "Reading", "after Reading", "Pretraining", "after Pretraining"),
    "fine-tuning and answers": ("Fine-tuning",),
}
"""Stage of a price to how the labels of its bars begin; what belongs to no stage is counted with the last one."""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["run", "predict"])
    parser.add_argument("recipe", type=Path, nargs="?")
    parser.add_argument("--scale")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--out", type=Path, help="where the study itself is kept")
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    if given.what == "run":
        run(given.recipe, given.scale, given.set, given.out)
    elif given.what == "predict":
        predict(given.recipe)
    if given.show:
        show()


if __name__ == "__main__":
    main()
