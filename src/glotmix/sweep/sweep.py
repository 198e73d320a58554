"""Run every planned mixture; finished runs are never lost and never done twice.

Runs of equal length are packed into jobs (``stack`` proxies trained as one program). A run's directory
``runs/<run>`` appears complete by rename. Because the numbers of a stacked run could differ in the last bit with the
company it keeps, the packing is a function of the plan alone: an interrupted job is redone in the same company, and
the tables come out byte for byte the same however often the sweep was killed.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from glotmix.artifact import canonical_json, fingerprint, open_artifact, put, read_json, write_json
from glotmix.artifact import failure_of as note_of_failure
from glotmix.errors import Corrupt, GlotmixError, Waiting
from glotmix.mixture.design import PlannedRun
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.phases import MOST_PHASES
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.run import learning_rate, steps_of
from glotmix.sweep.executors.executor import Executor, Job
from glotmix.sweep.order import command_of

RUN = "run.json"
NO_MATTER = {"size", "recompute_activations", "base"}
"""Fields of a proxy that change nothing about its numbers: the first is a name for others, the second trades time, the
third is where weights lie that are known by their digest."""
SCAN_EVERY = 1.0
"""Seconds between two looks at what running jobs tell."""
Progress = Callable[["SweepTally"], None]


@dataclass(frozen=True)
class SweepTally:
    """How far a sweep is."""

    done: int
    """Runs that are complete, diverged ones included."""
    failed: int
    """Runs whose job died on every try."""
    total: int
    """Planned runs."""
    tokens_done: float
    """Training tokens behind us, those of running proxies included."""
    tokens_total: float
    """Training tokens of all runs."""


@dataclass(frozen=True)
class StartingModel:
    """The model that proxies go on from."""

    place: Path
    """Folder with ``config.json`` and safetensors."""
    digest: str
    """Changes when its weights do."""


@dataclass(frozen=True)
class SweepSpec:
    """Everything that the runs of one sweep have in common."""

    directory: Path
    """Study directory; runs go to ``runs/``, jobs and logs to ``jobs/``."""
    store: Path
    """Directory of the token store."""
    store_fingerprint: str
    """Fingerprint of the token store, so that a run is never reused for other data."""
    proxy: ProxyConfig
    """Shape and training of the proxies."""
    available: Mapping[str, int]
    """Sequences of each language that a proxy may draw from (after simulated epoching)."""
    targets: tuple[str, ...]
    """Languages that are evaluated."""
    stack: int
    """Proxies per job."""
    sizes: Mapping[str, ProxyConfig] = field(default_factory=dict)
    """Rung of the ladder to its proxies; runs without a size are ``proxy``."""
    device: str = "cpu"
    """Kind of device that proxies train on."""
    devices_per_run: int = 1
    """Processes that train one stack together."""
    nodes_per_run: int = 1
    """Nodes over which they lie."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the matrix products of every proxy whose own says ``auto``: decided by the driver, never by a worker."""
    available_at: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Rung of the ladder to ``available`` of its proxies."""
    trainer: str = ""
    """Whose trainer trains the runs: an exporter's name; empty for glotmix's own engine."""
    base: StartingModel | None = None
    """Model that all runs go on from; None for random weights."""
    scores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Scores that another's trainer is asked for: target to what ``handoff.json`` says of it."""
    watch: bool = False
    """Whether losses on training text are measured too; the last quarter of the held-out text is then kept for methods
    that learn from held-out text, and losses are measured on the rest."""

    def proxy_of(self, run: PlannedRun) -> ProxyConfig:
        """Shape and training of a run's proxy."""
        proxy = self.sizes[run.size] if run.size else self.proxy
        return proxy if proxy.precision != "auto" else proxy.model_copy(update={"precision": self.precision})

    def available_to(self, run: PlannedRun) -> Mapping[str, int]:
        """Sequences of each language that a run may draw from."""
        return self.available_at[run.size] if run.size else self.available

    def made_from(self, run: PlannedRun) -> dict[str, Any]:
        """What determines a run's numbers, for its artifact."""
        return {
            "tokens": self.store_fingerprint,
            "proxy": _numbers_of(self.proxy_of(run)),
            "available": dict(self.available_to(run)),
            "targets": list(self.targets),
            "run": run.to_json(),
            **({"base": self.base.digest} if self.base is not None else {}),
            **({"watch": True} if self.watch else {}),
            **({"trainer": self.trainer} if self.trainer else {}),
        }


def _numbers_of(proxy: ProxyConfig) -> dict[str, Any]:
    """The fields of a proxy that determine a run's numbers. One that is newer than the runs of earlier studies is left
    out where it is not used, so that these are still theirs."""
    unused = {name for name in ("decay", "architecture") if getattr(proxy, name) is None}
    unused |= {"draws"} if proxy.draws == "exact" else set()
    return proxy.model_dump(mode="json", exclude=NO_MATTER | unused)


def pack(plan: Sequence[PlannedRun], stack: int) -> list[tuple[PlannedRun, ...]]:
    """Runs of equal size, length and seed in groups of at most ``stack``, as even as possible.

    Seeds stay apart so that a study that is called again for more of them finds its earlier groups unchanged. So do
    runs that restart at different points, and those with loss weights from plain ones, whose bits stay their own; a run
    with an adaptive method is alone.
    """
    groups = []
    for runs in _alike(plan):
        count = -(-len(runs) // stack)
        small, larger = divmod(len(runs), count)
        at = 0
        for index in range(count):
            size = small + (index < larger)
            groups.append(tuple(runs[at : at + size]))
            at += size
    return groups


def sets_to_stack(plan: Sequence[PlannedRun]) -> list[int]:
    """How many runs each set has of which runs can be stacked; see :func:`pack`."""
    return [len(runs) for runs in _alike(plan)]


def _alike(plan: Sequence[PlannedRun]) -> list[list[PlannedRun]]:
    sets: dict[tuple[Any, ...], list[PlannedRun]] = {}
    for run in plan:
        restarts = tuple(stage.start for stage in run.schedule.stages if stage.restart)
        alone = run.run if run.adaptive is not None else ""
        part = None if run.part is None else (run.part.begin, run.part.end)
        key = (run.tokens, run.seed, run.size, restarts, run.weighting is not None, alone, part)
        sets.setdefault(key, []).append(run)
    return list(sets.values())


def run_sweep(
    plan: Sequence[PlannedRun],
    spec: SweepSpec,
    executor: Executor,
    *,
    retries: int = 1,
    progress: Progress | None = None,
) -> dict[str, str]:
    """Run what is missing of a plan.

    Args:
        plan: the runs; their names are unique.
        spec: what they have in common.
        executor: where they run.
        retries: how many times a job that died is tried again.
        progress: called about five times a second.

    Returns:
        Reason by run name for every run that failed on every try; the others are complete.

    Raises:
        BadInput: a run directory was made by another configuration.
        Waiting: runs that are trained elsewhere have not come back yet; what has come is kept.
    """
    groups = {name_of(group): group for group in pack(plan, spec.stack)}
    missing = {name: group for name, group in groups.items() if not all(is_complete(run, spec) for run in group)}
    failed: dict[str, str] = {}
    tick = _Ticker(groups, missing, failed, spec.directory / "jobs", progress)
    for attempt in range(retries + 1 if missing else 0):
        jobs = [_job(name, group, spec) for name, group in missing.items()]
        failed.clear()
        waiting: dict[str, str] = {}
        for end in executor.run(jobs, tick):
            group = missing[end.job.name]
            if end.waits:
                waiting |= {run.run: end.reason for run in group}
                continue
            lost = [run for run in group if not is_complete(run, spec)]
            reason = end.reason or f"exit code {end.returncode}"
            failed.update({run.run: reason for run in lost})
            _mark(group, lost, spec, reason, attempt + 1)
            if not lost:
                del missing[end.job.name]
            tick()
        if waiting:
            raise Waiting(list(waiting), next(iter(waiting.values())))
        if not missing or attempt == retries or executor.elsewhere:
            break
    tick()
    return failed


def _mark(group: Sequence[PlannedRun], lost: Sequence[PlannedRun], spec: SweepSpec, reason: str, tries: int) -> None:
    """Leave word of runs that failed beside where they would be, and take it away when they are complete."""
    for run in group:
        path = failure_of(spec.directory, run.run)
        if run in lost:
            write_json(path, {"status": "failed", "reason": reason, "tries": tries})
        else:
            path.unlink(missing_ok=True)


def failure_of(directory: Path, run: str) -> Path:
    """Where a study says why a run failed; a run that is complete has no such file."""
    return note_of_failure(directory / "runs" / run)


def is_complete(run: PlannedRun, spec: SweepSpec) -> bool:
    """Whether the run's directory is there, complete, and made from the same configuration."""
    return open_artifact(spec.directory / "runs" / run.run, "run", spec.made_from(run)) is not None


def name_of(group: Sequence[PlannedRun]) -> str:
    """Name of the job that trains a group: its first run, and a digest of all."""
    return f"{group[0].run[:60]}-x{len(group)}-{fingerprint([run.run for run in group])[:8]}"


def _job(name: str, group: Sequence[PlannedRun], spec: SweepSpec) -> Job:
    folder = spec.directory / "jobs"
    order = folder / f"{name}.json"
    write_json(
        order,
        {
            "store": str(spec.store.resolve()),
            "runs_directory": str((spec.directory / "runs").resolve()),
            "proxy": spec.proxy_of(group[0]).model_dump(mode="json"),
            "available": dict(spec.available_to(group[0])),
            "targets": list(spec.targets),
            "device": spec.device,
            "runs": [run.to_json() for run in group],
            "watch": spec.watch,
            "trainer": spec.trainer,
            **({"scores": {name: dict(one) for name, one in spec.scores.items()}} if spec.scores else {}),
            "base": None if spec.base is None else str(spec.base.place.resolve()),
            "made_from": {run.run: spec.made_from(run) for run in group},
        },
        durable=False,
    )
    command = command_of("glotmix.sweep.worker", order, devices=spec.devices_per_run, nodes=spec.nodes_per_run)
    return Job(name, command, folder / f"{name}.log")


class _Ticker:
    """Tells how far a sweep is; what it costs does not grow with the runs that are done."""

    def __init__(
        self,
        groups: Mapping[str, Sequence[PlannedRun]],
        missing: Mapping[str, Sequence[PlannedRun]],
        failed: Mapping[str, str],
        jobs: Path,
        progress: Progress | None,
    ):
        self._missing, self._failed, self._jobs, self._progress = missing, failed, jobs, progress
        self._runs = {name: len(group) for name, group in groups.items()}
        self._tokens = {name: float(sum(run.trained for run in group)) for name, group in groups.items()}
        self._last = -math.inf
        self._shares: dict[str, float] = {}

    def __call__(self) -> None:
        if self._progress is None:
            return
        if time.monotonic() - self._last > SCAN_EVERY:
            self._last, self._shares = time.monotonic(), running(self._jobs)
        done = sum(self._runs.values()) - sum(self._runs[name] for name in self._missing)
        total = sum(self._tokens.values())
        left = sum(self._tokens[name] * (1 - self._shares.get(name, 0.0)) for name in self._missing)
        self._progress(SweepTally(done, len(self._failed), sum(self._runs.values()), total - left, total))


def running(jobs: Path) -> dict[str, float]:
    """Jobs under way to the share done, from the files that their workers keep."""
    try:
        with os.scandir(jobs) as entries:
            names = sorted(entry.name for entry in entries if entry.name.endswith(".progress"))
    except FileNotFoundError:
        return {}
    return {name.removesuffix(".progress"): job_progress(jobs / name) for name in names}


def job_progress(path: Path) -> float:
    """Share of a running job that is done, from the file that its worker keeps; 0 when there is none."""
    try:
        return min(1.0, max(0.0, float(json.loads(path.read_text("utf-8"))["share"])))
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def tables(plan: Sequence[PlannedRun], spec: SweepSpec, failed: Mapping[str, str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The runs table and the losses table of :mod:`glotmix.measurements`, in the order of the plan.

    Diverged and failed runs are rows of the runs table with their reason, and have no rows among the losses.
    """
    runs: list[dict[str, Any]] = []
    losses: list[dict[str, Any]] = []
    languages = list(spec.available)
    realised = _realised(plan, spec, failed)
    for planned in plan:
        mixture = planned.schedule.average()
        row: dict[str, Any] = {"run": planned.run, "role": planned.role, "seed": planned.seed}
        if planned.run in failed:
            row |= {"N": None, "D": float(planned.tokens), "C": None, "status": "failed", "reason": failed[planned.run]}
        else:
            result = _result(planned, spec)
            row |= {key: result[key] for key in ("N", "D", "C", "status", "reason")}
            if planned.run in realised:
                mixture = realised[planned.run]
            if result["status"] == "complete":
                losses += [{"run": planned.run, **loss} for loss in result["losses"]]
        row["schedule"] = "" if planned.schedule.is_constant else canonical_json(planned.schedule.to_json())
        if planned.run not in realised:
            row |= _phases(planned, spec.proxy_of(planned), languages)
        row |= {f"p/{language}": mixture.get(language, 0.0) for language in languages}
        context = spec.proxy_of(planned).context
        row |= {f"unique/{language}": float(n * context) for language, n in spec.available_to(planned).items()}
        runs.append(row)
    floats = dict.fromkeys(("N", "D", "C"), pl.Float64)
    schema = {"run": pl.String, "step": pl.Int64, "tokens": pl.Float64, "language": pl.String, "metric": pl.String}
    return (
        pl.DataFrame(runs, schema_overrides=floats | {"reason": pl.String}, infer_schema_length=None),
        pl.DataFrame(losses, schema=schema | {"value": pl.Float64}),
    )


def _phases(planned: PlannedRun, proxy: ProxyConfig, languages: Sequence[str]) -> dict[str, float]:
    """Columns of the phases of a run whose mixture changed a few times and whose learning rate did not begin anew."""
    stages = planned.schedule.stages
    if not 2 <= len(stages) <= MOST_PHASES or any(stage.restart for stage in stages):
        return {}
    steps = steps_of(planned.tokens, proxy)
    rates = np.array([learning_rate(step, steps, proxy) for step in range(steps)])
    edges = [round(stage.start * steps) for stage in stages] + [steps]
    row: dict[str, float] = {}
    for k, (stage, length) in enumerate(zip(stages, planned.schedule.lengths(), strict=True)):
        row[f"phase{k + 1}/tokens"] = length
        row[f"phase{k + 1}/lr"] = float(rates[edges[k] : max(edges[k + 1], edges[k] + 1)].mean())
        row |= {f"phase{k + 1}/p/{name}": stage.mixture.get(name, 0.0) for name in languages}
    return row


def _realised(plan: Sequence[PlannedRun], spec: SweepSpec, failed: Mapping[str, str]) -> dict[str, Mixture]:
    """Run to the shares that it was really trained on, where those may differ from the planned ones: an adaptive method
    chose them, or another trainer rounded them.

    A trainer that draws at random rounds every seed in another way. Repeats of one plan get the mean of what was
    realised, so that they stay repeats of one mixture and their differences are noise.
    """
    found: dict[str, Mixture] = {}
    repeats: dict[Any, list[str]] = {}
    for planned in plan:
        if planned.run not in failed and (planned.adaptive is not None or spec.trainer):
            tokens = _result(planned, spec)["tokens"]
            found[planned.run] = Mixture.normalised({name: float(tokens.get(name, 0)) for name in spec.available})
            if planned.adaptive is None:
                repeats.setdefault((planned.schedule, planned.tokens, planned.size), []).append(planned.run)
    for runs in repeats.values():
        total = {name: math.fsum(found[run][name] for run in runs) for name in spec.available}
        found |= dict.fromkeys(runs, Mixture.normalised(total))
    return found


def _result(run: PlannedRun, spec: SweepSpec) -> dict[str, Any]:
    """What a complete run measured, after comparing its checksum."""
    directory = spec.directory / "runs" / run.run
    artifact = open_artifact(directory, "run", spec.made_from(run))
    if artifact is None:
        raise GlotmixError(f"{directory}: no complete run in it")
    try:
        return dict(read_json(artifact.checked(RUN)))
    except Corrupt as error:
        raise Corrupt(f"{error}; delete {directory} to make it again") from None


def write_tables(directory: Path, runs: pl.DataFrame, losses: pl.DataFrame) -> None:
    """Write ``measurements/runs.parquet`` and ``losses.parquet``, each by rename and with its checksum."""
    folder = directory / "measurements"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in (("runs", runs), ("losses", losses)):
            part = folder / f"{name}.parquet.part"
            table.write_parquet(part)
            put(part, folder / f"{name}.parquet")
    except OSError as error:
        raise GlotmixError(f"{folder}: cannot be written: {error.strerror or error}") from error
