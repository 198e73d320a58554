"""External: somebody else's trainer. Runs are handed off as files, and their results are collected at the next call.

Nothing is started here: a run that has not come back waits, however long that takes, and on whichever machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from glotmix.artifact import creating, read_json, write_text
from glotmix.errors import BadInput
from glotmix.exporters.flags import RunSettings
from glotmix.handoff.asked import AskedScore
from glotmix.handoff.check import CollectedRun
from glotmix.handoff.collect import collect
from glotmix.handoff.hand_off import RunToAsk, Trainer, about_of, ask, tell, write_held_out
from glotmix.handoff.scripts import check_command
from glotmix.mixture.design import PlannedRun
from glotmix.proxy.config import ProxyConfig
from glotmix.sweep.executors.executor import Executor, Job, JobEnd
from glotmix.tokens.opening import open_store
from glotmix.tokens.store import TokenStore

if TYPE_CHECKING:
    from glotmix.sweep.config import SweepConfig

FOLDER = "handoff"
"""Where, in a study's directory, what is handed off lies."""


class ExternalExecutor(Executor):
    """Jobs are done elsewhere: what has come back ends, what has not waits."""

    elsewhere: ClassVar[bool] = True

    def __init__(self, trainer: Trainer, results: Sequence[Path] = ()):
        """
        Args:
            trainer: whose it is, and how it is started.
            results: files or folders in which results are looked for beside ``handoff/results``.
        """
        self.workers, self.trainer, self.results = 1, trainer, tuple(results)

    @classmethod
    def of(cls, config: SweepConfig) -> Self:
        """See :class:`Executor`."""
        if config.trainer is None:
            raise BadInput("no trainer", where="sweep.trainer", expected="an exporter (see `glotmix exporters`)")
        command = None if config.command is None else check_command(config.command)
        trainer = Trainer(config.trainer, command, config.data, config.slurm, config.workers, config.load)
        return cls(trainer, [Path(place) for place in config.results])

    def run(self, jobs: Sequence[Job], tick: Callable[[], None]) -> Iterator[JobEnd]:
        """Hand off what was not handed off, collect what has come, and say of each job whether it ended or waits."""
        if not jobs:
            return
        orders = {job.name: read_json(Path(job.command[-1])) for job in jobs}
        first = next(iter(orders.values()))
        folder = Path(first["runs_directory"]).parent / FOLDER
        store = open_store(Path(first["store"]))
        base = first.get("base") and (self.trainer.load or first["base"])
        runs = {name: [_to_ask(order, run, store, base) for run in order["runs"]] for name, order in orders.items()}
        wanted = [run for several in runs.values() for run in several]
        scores = {name: AskedScore.from_json(one) for name, one in first.get("scores", {}).items()}
        about_of(self.trainer, store, list(first["available"]), first["targets"], base, scores).write(folder)
        ask(folder, wanted, self.trainer, store)
        write_held_out(folder, store, first["targets"])
        places = [folder / "results", *self.results]
        for place in places[:1]:
            place.mkdir(exist_ok=True)
        collection = collect(folder, places)
        guide = tell(folder, self.trainer, collection, [run.full_name for run in wanted])
        self.remarks = (*(f"refused: {one}" for one in collection.refused), *collection.remarks)
        for job in jobs:
            there = [collection.runs.get(run.full_name) for run in runs[job.name]]
            if any(one is None for one in there):
                yield JobEnd(job, 0, str(guide), waits=True)
                continue
            reasons = []
            for run, one in zip(runs[job.name], there, strict=True):
                assert one is not None
                if one.status == "failed":
                    reasons.append(one.reason)
                else:
                    _keep(Path(first["runs_directory"]) / run.planned.run, run.made_from, one)
            yield JobEnd(job, 1 if reasons else 0, "; ".join(reasons))
        tick()


def _to_ask(order: Mapping[str, Any], run: Mapping[str, Any], store: TokenStore, base: str | None) -> RunToAsk:
    """What is asked of one run of an order."""
    from glotmix.proxy import flops
    from glotmix.proxy.model import Shape

    planned, proxy = PlannedRun.from_json(run), ProxyConfig.model_validate(order["proxy"])
    shape = Shape.of(proxy, store.vocab_size)
    settings = RunSettings(
        width=shape.width,
        layers=shape.layers,
        heads=shape.heads,
        feed_forward=shape.feed_forward,
        tied=shape.tied,
        vocab_size=store.vocab_size,
        sequence_length=proxy.context,
        batch=proxy.batch,
        learning_rate=proxy.learning_rate,
        final_learning_rate=proxy.final_learning_rate,
        warmup=proxy.warmup,
        weight_decay=proxy.weight_decay,
        clip=proxy.clip,
        base=base,
    )
    unique = {name: float(count * proxy.context) for name, count in order["available"].items()}
    per_token = float(flops.per_token(shape, proxy.context))
    return RunToAsk(planned, settings, shape.N, per_token, unique, order["made_from"][planned.run])


def _keep(place: Path, made_from: Mapping[str, Any], one: CollectedRun) -> None:
    """A run that came back, as a directory like those of glotmix's own engine."""
    import json

    record = {
        "run": one.asked.run,
        "status": one.status,
        "reason": one.reason,
        "N": one.N,
        "D": one.D,
        "C": one.asked.C,
        "tokens": one.tokens,
        "losses": list(one.losses),
        "precision": "of the trainer",
    }
    with creating(place, "run", made_from) as part:
        write_text(part / "run.json", json.dumps(record, allow_nan=False) + "\n")
