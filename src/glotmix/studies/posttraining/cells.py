"""Running the cells of a post-training grid through the sweep's executors; also the program that trains some of them.

A job is a list of cells with one base model, trained one after the other in one process, since loading the libraries
takes longer than training a small cell. Each cell's directory appears complete by rename: what is finished stays,
whatever becomes of its job. ``python -m glotmix.studies.posttraining.cells ORDER.json``.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from glotmix.artifact import fingerprint, write_json
from glotmix.errors import GlotmixError
from glotmix.mixture.schedule import Schedule
from glotmix.posttraining.cell import Base, Setting, is_done, run_cell
from glotmix.posttraining.data import Data, TaskConfig
from glotmix.posttraining.finetune import Finetuning
from glotmix.posttraining.grid import Cell
from glotmix.proxy.parallel import join, leave
from glotmix.sweep.executors.executor import Executor, Job
from glotmix.sweep.order import command_of, follow

CELLS = "cells"
Progress = Callable[[int, int, int], None]
"""Told how many cells are done, have failed, and there are."""


@dataclass(frozen=True)
class Plan:
    """Cells, and what they need."""

    directory: Path
    """Directory of the experiment."""
    cells: tuple[Cell, ...]
    """All cells, in the order in which they are wanted."""
    bases: Mapping[str, Base]
    """Name to base model."""
    setting: Setting
    """What the cells have in common."""
    cells_per_job: int
    """Most cells in one job."""
    devices: int = 1
    """Devices that hold a model together, where its engine can."""
    nodes: int = 1
    """Nodes over which these lie."""

    @property
    def folder(self) -> Path:
        """Where cells go."""
        return self.directory / CELLS

    def missing(self) -> list[Cell]:
        """Cells that are not complete.

        Raises:
            BadInput: a cell made by another configuration; the message names the first difference.
        """
        return [cell for cell in self.cells if not is_done(self.folder, cell, self.bases[cell.base], self.setting)]

    def command(self, module: str, order: Path, base: Base) -> tuple[str, ...]:
        """What starts a program on an order for models of one base: a process for each device that holds one."""
        sharded = self.setting.finetuning.engine_for(is_proxy=base.is_proxy, devices=self.devices) == "sharded"
        return (
            command_of(module, order, devices=self.devices, nodes=self.nodes) if sharded else command_of(module, order)
        )


def run_cells(plan: Plan, executor: Executor, *, retries: int = 1, progress: Progress | None = None) -> dict[str, str]:
    """Train what is missing; reason by name of the cells that failed on every try."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    for left in plan.folder.glob(".*"):  # half-trained models of a driver that was killed
        shutil.rmtree(left, ignore_errors=True)
    failed: dict[str, str] = {}

    def tick() -> None:
        if progress is not None:
            done = sum((plan.folder / cell.name).is_dir() for cell in plan.cells)
            progress(done, len(failed), len(plan.cells))

    for _ in range(retries + 1):
        missing = plan.missing()
        if not missing:
            break
        jobs = {job.name: (job, group) for job, group in _jobs(plan, missing, executor.workers)}
        failed.clear()
        for end in executor.run([job for job, _ in jobs.values()], tick):
            for cell in jobs[end.job.name][1]:
                if not is_done(plan.folder, cell, plan.bases[cell.base], plan.setting):
                    failed[cell.name] = _reason(end.job.log, cell) or end.reason or f"exit code {end.returncode}"
            tick()
    tick()
    return failed


def _jobs(plan: Plan, missing: Sequence[Cell], workers: int) -> list[tuple[Job, list[Cell]]]:
    """Missing cells of one base in groups, as many for every worker."""
    workers = max(1, workers)
    jobs = []
    for name, base in plan.bases.items():
        mine = [cell for cell in missing if cell.base == name]
        rounds = -(-len(mine) // (workers * plan.cells_per_job))
        size = max(1, -(-len(mine) // (workers * max(1, rounds))))
        for start in range(0, len(mine), size):
            group = mine[start : start + size]
            title = f"{group[0].name[:80]}-x{len(group)}-{fingerprint([cell.name for cell in group])[:8]}"
            order = plan.directory / "jobs" / f"{title}.json"
            write_json(order, order_of(plan, base, group))
            command = plan.command(__name__, order, base)
            jobs.append((Job(title, command, order.with_suffix(".log")), group))
    return jobs


def order_of(plan: Plan, base: Base, group: Sequence[Cell]) -> dict[str, Any]:
    """What a process needs to know of some cells with one base."""
    setting = plan.setting
    return {
        "folder": str(plan.folder.resolve()),
        "cells": [cell.to_json() for cell in group],
        "base": asdict(base) | {"template": str(base.template) if base.template else None},
        "data": {"directory": str(setting.data.directory.resolve()), "fingerprint": setting.data.fingerprint},
        "tasks": {name: config.model_dump(mode="json") for name, config in setting.tasks.items()},
        "pivot": setting.pivot,
        "languages": list(setting.languages),
        "finetuning": setting.finetuning.model_dump(mode="json"),
        "schedule": None if setting.schedule is None else setting.schedule.to_json(),
        "weights": None if setting.weights is None else dict(setting.weights),
        "device": setting.device,
    }


def opened(order: Mapping[str, Any]) -> tuple[list[Cell], Base, Setting]:
    """What :func:`order_of` gave, on this process's device and with the team that it is in."""
    one_thread_on(order["device"])
    team = join(order["device"])
    template = Path(order["base"]["template"]) if order["base"]["template"] else None
    base = Base(**order["base"] | {"template": template})
    setting = Setting(
        data=Data(Path(order["data"]["directory"]), order["data"]["fingerprint"], {}),
        tasks={name: TaskConfig.model_validate(config) for name, config in order["tasks"].items()},
        pivot=order["pivot"],
        languages=tuple(order["languages"]),
        finetuning=Finetuning.model_validate(order["finetuning"]),
        schedule=None if order["schedule"] is None else Schedule.from_json(order["schedule"]),
        weights=order["weights"],
        device=team.device,
        team=team,
    )
    return [Cell.from_json(record) for record in order["cells"]], base, setting


def main(order_path: Path) -> int:
    """Train the cells of one order; the exit code is that of the last error, 0 when there was none."""
    return follow(order_path, train_cells)


def train_cells(order: Mapping[str, Any]) -> int:
    """Train the cells of an order one after the other; the exit code of the last that failed, else 0.

    In a team an error ends the job, since the others may wait for the process that it is in.
    """
    code = 0
    cells, base, setting = opened(order)
    for cell in cells:
        try:
            run_cell(cell, base, setting, Path(order["folder"]))
            if setting.team.leads:
                print(f"{cell.name}: done", flush=True)
        except GlotmixError as error:  # the other cells go on
            print(f"{cell.name} failed: {error}", file=sys.stderr, flush=True)
            code = error.exit_code
            if setting.team.size > 1:
                break
    leave()
    return code


def one_thread_on(device: str) -> None:
    """On a CPU there is a process for every core."""
    import torch

    if device == "cpu":
        torch.set_num_threads(1)


def _reason(log: Path, cell: Cell) -> str:
    """What a job's log says of a cell that failed."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    said = [line.removeprefix(f"{cell.name} failed: ") for line in lines if line.startswith(f"{cell.name} failed: ")]
    return said[-1] if said else ""


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
