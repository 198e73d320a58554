"""A last phase is asked for: what the runs have behind them already, taken over from another study or trained once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glotmix.artifact import (
    MANIFEST,
    creating,
    first_difference,
    open_artifact,
    read_json,
    read_manifest,
    write_json,
    write_text,
)
from glotmix.errors import BadInput, GlotmixError
from glotmix.mixture.balancing import proportional, uniform
from glotmix.mixture.design import SEEDS_PER_STUDY, PlannedRun, drawable
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.part import Part, going_on
from glotmix.mixture.schedule import Schedule
from glotmix.studies.mixture.closed_loop import PREFIX, SAME
from glotmix.studies.mixture.config import StudyConfig
from glotmix.study.config import told_unique
from glotmix.study.training import Training

if TYPE_CHECKING:
    from glotmix.proxy.config import ProxyConfig
    from glotmix.sweep.sweep import SweepSpec

NOTE = "first_phase.json"
"""What is behind the runs: the schedule, where the last phase begins, and which first phases were taken over."""
PLAN = "first_phase_plan.json"
"""First phases of the runs that were last planned, as the plans of the design and the closed loop."""
PLANS = ("closed_loop_plan.json", "plan.json")
FREE = {"evaluations", "keep_checkpoints"}
"""Fields of a proxy that may differ between a study and the one that it goes on from."""


@dataclass(frozen=True)
class FirstPhase:
    """The first phase of all runs of a study."""

    before: Schedule
    """Schedule of the run until then, and what it would have gone on with."""
    begin: float
    """Share of the run's steps after which the last phase begins; that of a whole number of them."""
    kept: Mapping[int, Path]
    """Seed to the directory of another study's run whose weights may have been kept there."""

    def last(self, run: PlannedRun, study_seed: int) -> PlannedRun:
        """A run of a design, or a closed loop, with its mixture in the last phase alone. One that only continues what
        was is the run that was never interrupted."""
        return self.along(run, going_on(self.before, self.begin, run.schedule.stages[-1].mixture), study_seed)

    def along(self, run: PlannedRun, schedule: Schedule, study_seed: int) -> PlannedRun:
        """The same of a schedule of the whole run that has this first phase."""
        same = schedule.total_variation(self.before) < SAME
        part = Part(self.begin, 1.0, first_name(run.seed, study_seed), None if same else self.before)
        return replace(run, schedule=self.before if same else schedule, part=part)

    def drawable(self, schedule: Schedule, sequences: int) -> Schedule:
        """A schedule with this first phase without shares of its last phase that no sampler can draw; one that only
        continues what was as the run that was never interrupted."""
        if schedule.total_variation(self.before) < SAME:
            return self.before
        last = drawable(schedule.stages[-1].mixture, round((1 - self.begin) * sequences))
        return going_on(self.before, self.begin, last)

    def runs(self, planned: Sequence[PlannedRun], study_seed: int) -> list[PlannedRun]:
        """The first phases that runs need, one for each of their seeds."""
        seeds = {run.seed: run.tokens for run in planned}
        return [
            PlannedRun(
                first_name(seed, study_seed),
                "base",
                self.before,
                tokens,
                seed,
                keep=True,
                part=Part(end=self.begin),
            )
            for seed, tokens in seeds.items()
        ]


def first_name(seed: int, study_seed: int) -> str:
    """Name of the first phase of runs of one seed."""
    return f"first-s{seed - SEEDS_PER_STUDY * study_seed}"


def begin_of(config: StudyConfig) -> float:
    """Share of a run after which the last phase begins: that of a whole number of steps.

    Raises:
        BadInput: a phase is left without a step.
    """
    from glotmix.proxy.run import step_at, steps_of

    assert config.first_phase is not None
    steps = steps_of(config.proxy.tokens, config.proxy)
    at = step_at(config.first_phase.at, steps)
    if not 0 < at < steps:
        raise BadInput(
            f"{config.first_phase.at} of {steps} steps is step {at}", where="first_phase.at", expected="steps in both"
        )
    return at / steps


def first_phase_of(config: StudyConfig, base: Path, natural: Mixture) -> FirstPhase | None:
    """What is behind the runs; None where they begin with random weights.

    Args:
        config: the study.
        base: directory that its paths start from.
        natural: shares in proportion to the text there is.

    Raises:
        BadInput: the other study has no such run, or it went through other languages.
    """
    told = config.first_phase
    if told is None:
        return None
    languages, begin = config.languages, begin_of(config)
    if told.study is None:
        return FirstPhase(Schedule.constant(_told(told.mixture, natural).over(languages)), begin, {})
    place = base / Path(told.study).expanduser()
    runs = _runs_of(place, told.run)
    before = runs[0].schedule
    if unknown := [name for name in before.average().support if name not in languages]:
        raise BadInput(
            f"{told.run} of {place} was trained on {', '.join(unknown)}",
            where="first_phase.run",
            expected=f"a run on {', '.join(languages)}",
        )
    members = tuple(replace(stage, mixture=stage.mixture.over(languages)) for stage in before.stages)
    return FirstPhase(Schedule(members), begin, {run.seed: place / "runs" / run.run for run in runs})


def first_phase_if_sound(config: StudyConfig, base: Path, unique: Mapping[str, float]) -> FirstPhase | None:
    """:func:`first_phase_of` a corpus of so many tokens; None too where they are not all known, or what is wrong with
    it is said elsewhere."""
    there = {**unique, **told_unique(config)}
    if not all(there.get(language) for language in config.languages):
        return None
    with suppress(BadInput):
        return first_phase_of(config, base, proportional({name: float(there[name]) for name in config.languages}))
    return None


def first_phase_in(directory: Path, config: StudyConfig, base: Path, natural: Mixture) -> FirstPhase | None:
    """:func:`first_phase_of` a study in its directory: what its first runs went on from, whatever has become of the
    other study since."""
    note = directory / NOTE
    if config.first_phase is None or not note.is_file():
        return first_phase_of(config, base, natural)
    told = read_json(note)
    before, kept = Schedule.from_json(told["schedule"], where=note), {}
    with suppress(BadInput):
        found = first_phase_of(config, base, natural)
        kept = dict(found.kept) if found is not None and found.before == before else {}
    return FirstPhase(before, float(told["begin"]), kept)


def _told(mixture: str | Mapping[str, float], natural: Mixture) -> Mixture:
    if isinstance(mixture, str):
        return natural if mixture == "natural" else uniform(natural)
    return Mixture.normalised(mixture)


def _runs_of(place: Path, name: str) -> list[PlannedRun]:
    """The runs of a finished study that go by a name: one of its runs, or a mixture of its closed loop in all seeds;
    and whatever else was trained on the same schedule.

    Raises:
        BadInput: there is no study, or no such run.
    """
    plans = [place / plan for plan in PLANS if (place / plan).is_file()]
    if not plans:
        raise BadInput("no study that was run", where=place, expected="first_phase.study: the directory of one")
    known = [PlannedRun.from_json(run, where=plan) for plan in plans for run in read_json(plan)]
    labels = {run.run: run.run.removeprefix(PREFIX).rpartition("-s")[0].partition(".")[0] for run in known}
    chosen = [run for run in known if name == run.run or (run.run.startswith(PREFIX) and name == labels[run.run])]
    if not chosen:
        loops = dict.fromkeys(labels[run.run] for run in known if run.run.startswith(PREFIX))
        expected = ", ".join([*loops, *(run.run for run in known if not run.run.startswith(PREFIX))][:12])
        raise BadInput(f"{place} has no run {name!r}", where="first_phase.run", expected=expected)
    one = chosen[0]
    if one.adaptive is not None or one.weighting is not None or one.part is not None or one.size:
        raise BadInput(
            f"{name} of {place} is no plain run", where="first_phase.run", expected="a mixture or a schedule"
        )
    if any(stage.restart for stage in one.schedule.stages):
        raise BadInput(f"{name} of {place} begins anew on its way", where="first_phase.run", expected="a plain run")
    alike = [run for run in known if (run.schedule, run.tokens, run.size) == (one.schedule, one.tokens, one.size)]
    return list({run.seed: run for run in reversed(alike)}.values())


def begin_runs(study: Training, first: FirstPhase, runs: Sequence[PlannedRun], spec: SweepSpec, seed: int) -> None:
    """Make every first phase that runs go on from: taken over where another study kept it, else trained.

    Raises:
        BadInput: the other study's run was made from other tokens, or by other proxies.
        GlotmixError: one could not be trained, or diverged.
    """
    from glotmix.proxy.run import step_at, steps_of
    from glotmix.sweep.sweep import is_complete
    from glotmix.sweep.worker import checkpoint_of

    firsts = first.runs(runs, seed)
    _check_alike(first.kept.values(), firsts[0], spec)
    for run in firsts:
        kept = first.kept.get(run.seed)
        if kept is not None and not is_complete(run, spec):
            _take_over(kept, run, first.begin, spec)
    plan = {str(run["run"]): run for run in _there(study.directory / PLAN, [])} | {
        run.run: run.to_json() for run in firsts
    }
    write_json(study.directory / PLAN, list(plan.values()))
    taken = {run.run: of for run in firsts if (of := _taken_from(study.directory / "runs" / run.run))}
    told = _there(study.directory / NOTE, {}).get("taken_from", {}) | taken
    write_json(study.directory / NOTE, {"schedule": first.before.to_json(), "begin": first.begin, "taken_from": told})
    missing = [run for run in firsts if run.run not in taken]
    failed = study.run(missing, spec, "Training the first phase") if missing else {}
    for run in firsts:
        place, step = study.directory / "runs" / run.run, step_at(first.begin, steps_of(run.tokens, spec.proxy))
        if run.run in failed or not checkpoint_of(place, step).is_dir():
            reason = failed.get(run.run) or read_json(place / "run.json")["reason"]
            raise GlotmixError(f"the first phase {run.run} could not be trained: {reason}")


def _there(path: Path, otherwise: Any) -> Any:
    return read_json(path) if path.is_file() else otherwise


def _taken_from(run: Path) -> str | None:
    """The run of another study that a first phase was copied from; None where it was trained here, or is not there."""
    place = _there(run / "run.json", {}).get("taken_from")
    return None if place is None else str(place)


def is_kept(kept: Path | None, proxy: ProxyConfig, begin: float, tokens: float) -> bool:
    """Whether another study's run kept what a last phase goes on from."""
    from glotmix.proxy.checkpoint import OPTIMISER
    from glotmix.proxy.run import step_at, steps_of
    from glotmix.sweep.worker import checkpoint_of

    return kept is not None and (checkpoint_of(kept, step_at(begin, steps_of(tokens, proxy))) / OPTIMISER).is_file()


def _check_alike(kept: Iterable[Path], run: PlannedRun, spec: SweepSpec) -> None:
    """Whether another study's run was made from the same tokens by the same proxies, whatever it kept of it.

    Raises:
        BadInput: it was not; the message names the first difference.
    """
    for place in kept:
        if not (place / MANIFEST).is_file():
            continue
        old, new = (
            {name: made.get(name) for name in ("tokens", "available")}
            | {"proxy": {name: value for name, value in made["proxy"].items() if name not in FREE}}
            | {"D": made["run"]["tokens"]}
            for made in (dict(read_manifest(place).made_from), spec.made_from(run))
        )
        if old != new:
            raise BadInput(
                f"was made from something else: {first_difference(old, new)}",
                where=place,
                expected="a study of the same corpus, tokens, proxy and target",
            )
        return  # its seeds differ in nothing else


def _take_over(kept: Path, run: PlannedRun, begin: float, spec: SweepSpec) -> None:
    """Copy what another study's run kept; nothing where it kept nothing."""
    from glotmix.proxy.run import step_at, steps_of
    from glotmix.sweep.worker import checkpoint_of

    proxy = spec.proxy_of(run)
    if not is_kept(kept, proxy, begin, run.tokens):
        return
    artifact, ours = open_artifact(kept, "run"), spec.made_from(run)
    assert artifact is not None
    step = step_at(begin, steps_of(run.tokens, proxy))
    record = dict(read_json(artifact.checked("run.json")))
    seen = step * proxy.batch * proxy.context
    record |= {"run": run.run, "D": seen, "C": 0.0, "tokens": {}}
    record |= {"losses": [row for row in record["losses"] if row["step"] == step], "taken_from": str(kept)}
    with creating(spec.directory / "runs" / run.run, "run", ours) as part:
        write_text(part / "run.json", json.dumps(record, allow_nan=False) + "\n")
        shutil.copytree(checkpoint_of(kept, step), checkpoint_of(part, step))


def problems_of_first_phase(config: StudyConfig, base: Path) -> list[BadInput]:
    """What can be known to be wrong before anything is read."""
    if config.first_phase is None:
        return []
    found: list[BadInput] = []
    refused = {
        "base": (config.starts_from_a_model, "a model's weights have no first phase of the run behind them"),
        "optimize.phases": (config.optimize.phases > 1, "the last phase alone is sought"),
        "design.coalitions": (config.design.coalitions != "none", "last phases are drawn, and make no game"),
        "design.schedules": (config.design.schedules > 0, "a last phase has one mixture"),
        "design.ladder": (bool(config.design.ladder), "one size goes on"),
        "design.active": (config.design.active is not None, "last phases are drawn at once"),
        "validation.baselines": ("unimax" in config.validation.baselines, "UniMax is a mixture of whole runs"),
        "sweep.executor": (config.sweep.executor == "external", "your trainer is not told where to go on"),
    }
    for field, (wrong, why) in refused.items():
        if wrong:
            found.append(BadInput(f"with first_phase: {why}", where=field, expected="the default, or no first_phase"))
    try:
        first_phase_of(config, base, uniform(config.languages))
    except BadInput as error:
        found.append(error)
    return found
