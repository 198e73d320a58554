"""``kind: posttraining``: how many fine-tuning samples of which languages a task needs, and what comes along."""

from __future__ import annotations

from pathlib import Path

from glotmix.artifact import write_json
from glotmix.errors import GlotmixError
from glotmix.posttraining.cell import Setting
from glotmix.posttraining.data import prepare
from glotmix.studies.posttraining.bases import open_base
from glotmix.studies.posttraining.cells import Plan, run_cells
from glotmix.studies.posttraining.config import PosttrainingConfig
from glotmix.study.kind import Experiment, Price
from glotmix.study.narrator import Narrator
from glotmix.study.training import gpus
from glotmix.sweep.executors import open_executor
from glotmix.sweep.lock import held


class Posttraining(Experiment[PosttrainingConfig]):
    """Trains the grid, scores it, and reports the least data that does."""

    kind = "posttraining"
    config = PosttrainingConfig

    def price(self, config: PosttrainingConfig, base: Path) -> Price:
        """Models, samples, tokens, FLOPs and hours; nothing is read, downloaded or trained."""
        from glotmix.studies.posttraining.price import price

        return price(config)

    def run(self, config: PosttrainingConfig, base: Path, directory: Path, narrator: Narrator) -> Path:
        """Do what is missing: proxies, data, cells, judgements, influence; then the analysis and the report."""
        from glotmix.studies.posttraining.analysis import report

        with held(directory):
            write_json(directory / "experiment.json", config.model_dump(mode="json"))
            plan, failed = train(config, base, directory, narrator)
            return report(config, plan, failed, directory, open_executor(config.sweep), narrator)


def train(config: PosttrainingConfig, base: Path, directory: Path, narrator: Narrator) -> tuple[Plan, dict[str, str]]:
    """Everything up to the answers of every cell: what is planned, and the reasons of the cells that failed.

    Raises:
        BadInput: data or models that cannot be used, a cell made by another configuration.
        GlotmixError: no cell is complete.
    """
    planned = config.cells()
    data = prepare(
        directory / "data", config.tasks, planned, config.pivot, config.measured, base, config.seed
    )  # before anything is trained: most of what can be wrong is wrong here
    for task, count in data.dropped.items():
        if count:
            narrator.say(f"  {count} test samples of {task} are left out: they are trained on")
    bases = {name: open_base(name, config, base, directory, narrator) for name in config.bases}
    weights = None if config.weights is None else dict(config.weights)
    device = config.sweep.device if config.sweep.device != "auto" else "cuda" if gpus() else "cpu"
    setting = Setting(
        data, config.tasks, config.pivot, config.measured, config.finetuning, config.reading(), weights, device
    )
    plan = Plan(directory, tuple(planned), bases, setting, config.cells_per_job)
    with narrator.bar("Fine-tuning") as advance:

        def show(done: int, failures: int, total: int) -> None:
            advance(
                f"Fine-tuning: {done} of {total} models" + (f", {failures} failed" if failures else ""), done, total
            )

        failed = run_cells(plan, open_executor(config.sweep), retries=config.sweep.retries, progress=show)
    for name, reason in failed.items():
        narrator.say(f"  {name} failed: {reason}")
    if len(failed) == len(planned):
        raise GlotmixError(f"no model of {directory} is complete; the logs are in {directory}/jobs")
    return plan, failed


EXPERIMENT = Posttraining()
