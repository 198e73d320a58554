"""The loop is closed: the optimum and its baselines are trained, and prediction meets measurement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t as student

from glotmix.measurements import Measurements
from glotmix.mixture.design import SEEDS_PER_STUDY, PlannedRun
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule

FIRST_SEED = 1000
"""Where a study's closed-loop seeds start: none of its proxies shares its seed with one that a law was fitted to."""


@dataclass(frozen=True)
class Difference:
    """Objective of a baseline minus that of the optimum over common seeds: positive, the optimum is better."""

    baseline: str
    """Name of the baseline."""
    value: float
    """Mean over seeds."""
    low: float
    """Lower end of the 95 % interval; NaN with one seed."""
    high: float
    """Upper end."""

    @property
    def verdict(self) -> str:
        """ "better", "worse" or "within the noise": how the optimum compares."""
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            return "one seed only"
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "within the noise"


@dataclass(frozen=True)
class ClosedLoop:
    """Measured losses of the optimum and the baselines."""

    mixtures: Mapping[str, Mixture]
    """Name ("optimum", "natural", ...) to mixture."""
    measured: Mapping[str, Mapping[str, tuple[float, ...]]]
    """Name to target to losses, one per seed that is complete."""
    objective: Mapping[str, tuple[float, ...]]
    """Name to value of the objective, one per seed."""
    differences: tuple[Difference, ...]
    """Every baseline against the optimum."""

    def to_json(self) -> dict[str, Any]:
        """A plain dict; NaN becomes None."""
        return {
            "mixtures": {name: mixture.to_json() for name, mixture in self.mixtures.items()},
            "measured": {name: {t: list(v) for t, v in losses.items()} for name, losses in self.measured.items()},
            "objective": {name: list(values) for name, values in self.objective.items()},
            "differences": [
                {
                    "baseline": d.baseline,
                    "value": d.value,
                    "low": d.low if math.isfinite(d.low) else None,
                    "high": d.high if math.isfinite(d.high) else None,
                    "verdict": d.verdict,
                }
                for d in self.differences
            ],
        }


def planned(mixtures: Mapping[str, Mixture], seeds: int, tokens: int, study_seed: int) -> list[PlannedRun]:
    """One run per mixture and seed. The same seeds for all mixtures: the differences are paired."""
    return [
        PlannedRun(
            run=f"validation-{name}-s{seed}",
            role="validation",
            schedule=Schedule.constant(mixture),
            tokens=tokens,
            seed=SEEDS_PER_STUDY * study_seed + FIRST_SEED + seed,
        )
        for name, mixture in mixtures.items()
        for seed in range(seeds)
    ]


def compare(
    mixtures: Mapping[str, Mixture],
    measurements: Measurements,
    runs: Sequence[PlannedRun],
    value: Any,
) -> ClosedLoop:
    """Put the measurements of the closed loop side by side.

    Args:
        mixtures: what was trained, "optimum" among them.
        measurements: complete runs, with those of the closed loop among them.
        runs: what :func:`planned` returned.
        value: objective: losses [T] to a number.
    """
    row = {name: r for r, name in enumerate(measurements.runs)}
    by_mixture: dict[str, dict[int, int]] = {name: {} for name in mixtures}
    for run in runs:
        if run.run in row:
            name = run.run.removeprefix("validation-").rpartition("-s")[0]
            by_mixture[name][run.seed] = row[run.run]
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
    differences = _differences(objective)
    return ClosedLoop(mixtures, measured, {name: tuple(v.values()) for name, v in objective.items()}, differences)


def _differences(objective: Mapping[str, Mapping[int, float]]) -> tuple[Difference, ...]:
    """Every baseline against the optimum, with intervals from the additive two-way layout mixture × seed.

    Mixtures share their seeds, so what a seed does to all of them alike is no noise of a difference. The residual
    variance is pooled over mixtures, with (M - 1)(S - 1) degrees of freedom for M mixtures and S seeds; a t-interval
    from the S paired differences of each baseline alone would waste most of what was measured (S is about 3).
    """
    names = list(objective)
    seeds = sorted(set.intersection(*(set(values) for values in objective.values())))
    value_MS = np.array([[objective[name][seed] for seed in seeds] for name in names]).reshape(len(names), len(seeds))
    M, S = value_MS.shape
    mean_M = value_MS.mean(1) if S else np.full(M, math.nan)
    half = math.nan
    if S > 1 and M > 1:
        residual_MS = value_MS - mean_M[:, None] - value_MS.mean(0) + value_MS.mean()
        freedom = (M - 1) * (S - 1)
        variance = float((residual_MS**2).sum()) / freedom
        half = float(student.ppf(0.975, freedom)) * math.sqrt(2 * variance / S)
    best = mean_M[names.index("optimum")]
    return tuple(
        Difference(name, float(mean - best), float(mean - best) - half, float(mean - best) + half)
        for name, mean in zip(names, mean_M, strict=True)
        if name != "optimum"
    )
