"""The loop is closed: the optimum and its baselines are trained, and prediction meets measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np

from glotmix.artifact import MANIFEST, read_manifest
from glotmix.estimate import Estimate, Outcome, PairedLayout, verdict
from glotmix.measurements import Measurements
from glotmix.mixture.design import SEEDS_PER_STUDY, PlannedRun
from glotmix.mixture.schedule import Schedule
from glotmix.scored import Scored

SAME = 1e-6
"""Schedules closer than this (total variation) are trained once."""
PREFIX = "validation-"
"""How the names of the runs of a closed loop begin; a label and a seed follow."""
FIRST_SEED = 1000
"""Where a study's closed-loop seeds start: none of its proxies shares its seed with one that a law was fitted to."""


@dataclass(frozen=True)
class BaselineDifference:
    """Objective of a baseline minus that of the optimum over common seeds: positive, the optimum is better."""

    baseline: str
    """Name of the baseline."""
    estimate: Estimate
    """Mean over seeds, with its interval where there are several."""

    @property
    def verdict(self) -> Outcome:
        """How the optimum compares."""
        return verdict(self.estimate)


@dataclass(frozen=True)
class ClosedLoop:
    """Measured losses of the optimum and the baselines."""

    schedules: Mapping[str, Schedule]
    """Name ("optimum", "natural", ...) to what was trained, most of them one mixture."""
    measured: Mapping[str, Mapping[str, tuple[float, ...]]]
    """Name to target to losses, one per seed that is complete."""
    objective: Mapping[str, tuple[float, ...]]
    """Name to value of the objective, one per seed."""
    differences: tuple[BaselineDifference, ...]
    """Every baseline against the optimum."""
    by_target: Mapping[str, Mapping[str, Estimate]]
    """Baseline to target to its measured loss minus the optimum's."""
    scored: Mapping[str, Scored] = field(default_factory=dict)
    """Targets that are scores: what was measured of them are errors here, and scores in the file."""

    def to_json(self) -> dict[str, Any]:
        """A plain dict; NaN becomes None."""
        return {
            "mixtures": {name: schedule.average().to_json() for name, schedule in self.schedules.items()},
            "schedules": {name: one.to_json() for name, one in self.schedules.items() if not one.is_constant},
            "measured": {
                name: {t: [self.scored[t].turned(x) for x in v] if t in self.scored else list(v) for t, v in of.items()}
                for name, of in self.measured.items()
            },
            "objective": {name: list(values) for name, values in self.objective.items()},
            "differences": [
                {"baseline": d.baseline, **d.estimate.to_json(), "verdict": d.verdict} for d in self.differences
            ],
            "by_target": {
                name: {target: {**one.to_json(), "verdict": verdict(one)} for target, one in of.items()}
                for name, of in self.by_target.items()
            },
        }


def trained_before(runs: Path) -> dict[str, Schedule]:
    """Label to schedule of the closed loops that earlier calls trained, or asked somebody else's trainer for.

    Args:
        runs: directory of a study's runs, or of those that were handed off.
    """
    found = {}
    for path in sorted(runs.glob(f"{PREFIX}*-s*/{MANIFEST}")):
        planned = PlannedRun.from_json(read_manifest(path.parent).made_from["run"], where=path)
        found[planned.run.removeprefix(PREFIX).rpartition("-s")[0]] = planned.schedule
    return found


def labelled(schedules: Mapping[str, Schedule], known: Mapping[str, Schedule]) -> dict[str, tuple[str, Schedule]]:
    """Name to the label and the schedule that it is trained as: those of an earlier call where that was the same but
    for rounding. One that changed with its objective or its limits gets a label of its own.

    Args:
        schedules: name to what is to be trained.
        known: label to what was trained before.
    """
    found: dict[str, tuple[str, Schedule]] = {}
    taken: set[str] = set()
    for name, schedule in schedules.items():
        same = (label for label, one in known.items() if label not in taken and one.total_variation(schedule) < SAME)
        fresh = (label for label in chain([name], (f"{name}.{k}" for k in count(2))) if label not in known)
        label = next(same, None) or next(fresh)
        found[name] = (label, known.get(label, schedule))
        taken.add(label)
    return found


def planned(schedules: Mapping[str, Schedule], seeds: int, tokens: int, study_seed: int) -> list[PlannedRun]:
    """One run per schedule, by its label, and seed. The same seeds for all: the differences are paired."""
    return [
        PlannedRun(
            run=f"{PREFIX}{name}-s{seed}",
            role="validation",
            schedule=schedule,
            tokens=tokens,
            seed=SEEDS_PER_STUDY * study_seed + FIRST_SEED + seed,
        )
        for name, schedule in schedules.items()
        for seed in range(seeds)
    ]


def compare(
    schedules: Mapping[str, Schedule],
    measurements: Measurements,
    runs: Sequence[PlannedRun],
    value: Any,
) -> ClosedLoop:
    """Put the measurements of the closed loop side by side.

    Args:
        schedules: what was trained, "optimum" among them.
        measurements: complete runs, with those of the closed loop among them.
        runs: what :func:`planned` returned.
        value: objective: losses [T] to a number.
    """
    row = {name: r for r, name in enumerate(measurements.runs)}
    name_of = {schedule: name for name, schedule in schedules.items()}
    by_mixture: dict[str, dict[int, int]] = {name: {} for name in schedules}
    for run in runs:
        if run.run in row:
            by_mixture[name_of[run.schedule]][run.seed] = row[run.run]
    objective = {
        name: {seed: float(value(measurements.loss_RT[r])) for seed, r in rows.items()}
        for name, rows in by_mixture.items()
    }
    measured = {
        name: {
            target: tuple(float(measurements.loss_RT[r, t]) for r in rows.values())
            for t, target in enumerate(measurements.targets)
        }
        for name, rows in by_mixture.items()
    }
    by_target: dict[str, dict[str, Estimate]] = {name: {} for name in schedules if name != "optimum"}
    for t, target in enumerate(measurements.targets):
        losses = {
            name: {seed: float(measurements.loss_RT[r, t]) for seed, r in rows.items()}
            for name, rows in by_mixture.items()
        }
        for one in _differences(losses):
            by_target[one.baseline][target] = one.estimate
    values = {name: tuple(of.values()) for name, of in objective.items()}
    return ClosedLoop(schedules, measured, values, _differences(objective), by_target, measurements.scored)


def _differences(values: Mapping[str, Mapping[int, float]]) -> tuple[BaselineDifference, ...]:
    """Every baseline against the optimum; mixtures share their seeds (:class:`glotmix.estimate.PairedLayout`)."""
    names = list(values)
    seeds = sorted(set.intersection(*(set(of) for of in values.values())))
    value_MS = np.array([[values[name][seed] for seed in seeds] for name in names]).reshape(len(names), len(seeds))
    layout, best = PairedLayout(value_MS), names.index("optimum")
    return tuple(
        BaselineDifference(name, layout.difference(m, best)) for m, name in enumerate(names) if name != "optimum"
    )
