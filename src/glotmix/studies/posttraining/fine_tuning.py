"""Everything up to the answers of every cell of a post-training grid."""

from __future__ import annotations

from glotmix.errors import GlotmixError
from glotmix.posttraining.cell import Setting
from glotmix.posttraining.data import prepare
from glotmix.studies.posttraining.bases import open_base
from glotmix.studies.posttraining.cells import CELLS, Plan, run_cells
from glotmix.studies.posttraining.config import PosttrainingConfig
from glotmix.study.directory import StudyDirectory
from glotmix.study.training import device_of
from glotmix.sweep.executors.executor import Executor


def train(config: PosttrainingConfig, directory: StudyDirectory, executor: Executor) -> tuple[Plan, dict[str, str]]:
    """Everything up to the answers of every cell: what is planned, and the reasons of the cells that failed.

    Raises:
        BadInput: data or models that cannot be used, a cell made by another configuration.
        GlotmixError: no cell is complete.
    """
    planned, narrator = config.cells(), directory.narrator
    directory.plan_work({cell.name: directory.path / CELLS / cell.name for cell in planned})
    data = prepare(
        directory.path / "data", config.tasks, planned, config.pivot, config.measured, directory.base, config.seed
    )  # before anything is trained: most of what can be wrong is wrong here
    for task, count in data.dropped.items():
        if count:
            narrator.say(f"  {count} test samples of {task} are left out: they are trained on")
    bases = {name: open_base(name, config, directory) for name in config.bases}
    weights = None if config.weights is None else dict(config.weights)
    device = device_of(config.sweep)
    setting = Setting(
        data, config.tasks, config.pivot, config.measured, config.finetuning, config.reading(), weights, device
    )
    plan = Plan(
        directory.path, tuple(planned), bases, setting, config.cells_per_job,
        config.sweep.devices_per_run, config.sweep.nodes_per_run,
    )  # fmt: skip
    with narrator.bar("Fine-tuning") as advance:

        def show(done: int, failures: int, total: int) -> None:
            advance(
                f"Fine-tuning: {done} of {total} models" + (f", {failures} failed" if failures else ""), done, total
            )
            directory.look()

        failed = run_cells(plan, executor, retries=config.sweep.retries, progress=show)
    directory.note_failures({cell.name: plan.folder / cell.name for cell in planned}, failed)
    for name, reason in failed.items():
        narrator.say(f"  {name} failed: {reason}")
    if len(failed) == len(planned):
        raise GlotmixError(f"no model of {directory.path} is complete; the logs are in {directory.path}/jobs")
    return plan, failed
