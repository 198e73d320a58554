"""Tunings, and trainings without some samples, through the sweep's executors; also the program that does some of them.

A job is a list of trainings of one task, done one after the other in one process, since opening the libraries and the
texts takes longer than a small training. Every result appears complete, so that what is done stays whatever becomes of
its job. ``python -m glotmix.studies.influence.trainings ORDER.json``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glotmix.artifact import fingerprint, write_json
from glotmix.errors import GlotmixError
from glotmix.studies.influence.config import InfluenceConfig
from glotmix.studies.influence.task_runs import TaskStudy, Variant
from glotmix.sweep.executors.executor import Executor, Job
from glotmix.sweep.order import command_of, follow

MOST = 16
"""Most trainings of one job: what a job that dies loses is one, but a queue has others to serve."""
Progress = Callable[[int, int], None]
"""Told how many are done, and how many there are."""


@dataclass(frozen=True)
class Wanted:
    """One training of a task."""

    result: Path
    """File or folder that is there once it is done."""
    order: Mapping[str, Any]
    """What a process needs to know of it."""

    def is_done(self) -> bool:
        """Whether its result is there."""
        return self.result.exists()


def tunings(study: TaskStudy) -> list[Wanted]:
    """Every tuning that is scored."""
    return [
        Wanted(study.place(seed, variant), {"seed": seed, "variant": None if variant is None else asdict(variant)})
        for seed, variant in study.tunings()
    ]


def again(study: TaskStudy) -> list[Wanted]:
    """Every training of the removals and subsets, known once the first run is scored."""
    everything = np.arange(len(study.train))
    return [
        # What is left out is short where what is kept is long.
        Wanted(path, {"seed": seed, "left_out": np.setdiff1d(everything, kept).tolist()})
        for path, (kept, seed) in {study.kept_in(kept, seed): (kept, seed) for kept, seed in study.wanted()}.items()
    ]


def train(
    study: TaskStudy, wanted: Sequence[Wanted], executor: Executor, progress: Progress, *, retries: int = 1
) -> None:
    """Do what is missing, in jobs.

    Raises:
        GlotmixError: a training that failed on every try; what was done is kept.
    """

    def tick() -> None:
        progress(sum(one.is_done() for one in wanted), len(wanted))

    reason = ""
    for _ in range(retries + 1):
        missing = [one for one in wanted if not one.is_done()]
        if not missing:
            break
        _ = study.texts  # made once, not by every job of the first ones
        for end in executor.run(list(_jobs(study, missing, executor.workers)), tick):
            reason = end.reason or reason
            tick()
    tick()
    if failed := [one.result.name for one in wanted if not one.is_done()]:
        raise GlotmixError(f"{len(failed)} trainings of {study.task.name} failed, {failed[0]} first: {reason}")


def _jobs(study: TaskStudy, missing: Sequence[Wanted], workers: int) -> Iterator[Job]:
    size = min(MOST, max(1, -(-len(missing) // max(1, workers))))
    for start in range(0, len(missing), size):
        orders = [dict(one.order) for one in missing[start : start + size]]
        name = f"{study.task.name[:80]}-x{len(orders)}-{fingerprint(orders)[:8]}"
        order = study.directory / "jobs" / f"{name}.json"
        told = {
            "config": study.config.model_dump(mode="json"),
            "task": study.task.name,
            "base": str(study.base.resolve()),
            "root": str(study.root.resolve()),
            "directory": str(study.directory.resolve()),
        }
        write_json(order, told | {"trainings": orders}, durable=False)
        yield Job(name, command_of(__name__, order), order.with_suffix(".log"))


def main(path: Path) -> int:
    """Do the trainings of one order."""
    return follow(path, work)


def work(order: Mapping[str, Any]) -> None:
    """Do the trainings of an order one after the other; what is there already is left alone."""
    import torch

    config = InfluenceConfig.model_validate(order["config"])
    task = next(task for task in config.tasks if task.name == order["task"])
    study = TaskStudy(config, task, *(Path(order[name]) for name in ("base", "root", "directory")))
    if config.device == "cpu" or not torch.cuda.is_available():
        torch.set_num_threads(1)  # there is a process for every core
    everything = np.arange(len(study.train))
    for one in order["trainings"]:
        if "left_out" in one:
            study.retrained(np.setdiff1d(everything, one["left_out"]), one["seed"])
        else:
            study.run(one["seed"], None if one["variant"] is None else Variant(**one["variant"]))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
