"""A swarm of schedules: runs whose mixture changes, drawn for all phases together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from glotmix.errors import Infeasible
from glotmix.mixture.design import REJECTIONS, PlannedRun, drawable
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule, Stage

LAST = 0.8
"""Where the last phase begins unless the learning rate says otherwise."""


def default_boundaries(phases: int, decay: float | None) -> tuple[float, ...]:
    """Ends of all phases but the last, which begins where the learning rate's decay does (``LAST`` without one); those
    before it are equal.

    Args:
        phases: how many.
        decay: share of the run in which the learning rate falls at last.
    """
    last = LAST if decay is None else 1 - decay
    return tuple(last * (k + 1) / (phases - 1) for k in range(phases - 1))


def schedule_swarm(
    languages: Sequence[str],
    count: int,
    boundaries: Sequence[float],
    concentration: float,
    D: float,
    rng: np.random.Generator,
    caps: Mapping[str, float] | None = None,
    least: float = 0.0,
    seed: int = 0,
) -> list[PlannedRun]:
    """``count`` schedules with a mixture from a Dirichlet distribution in every phase.

    Args:
        languages: members.
        count: schedules.
        boundaries: shares of the run after which the mixture changes.
        concentration: α of every language.
        D: tokens of each run.
        rng: source of the mixtures.
        caps: greatest share of a language in the whole run; schedules above are drawn again.
        least: a drawn share of a phase below this becomes zero, and the others are divided by their sum.
        seed: seed of the runs.

    Raises:
        Infeasible: no draw met the caps in ``REJECTIONS`` tries.
    """
    starts = (0.0, *boundaries)
    length_K = np.diff([*starts, 1.0])
    caps_L = np.array([math.inf if caps is None else caps.get(name, math.inf) for name in languages])
    digits = max(3, len(str(count - 1)))
    runs = []
    for index in range(count):
        p_KL = _draw(len(starts), concentration, length_K, caps_L, least, rng)
        stages = [Stage(start, Mixture.from_vector(languages, p_L)) for start, p_L in zip(starts, p_KL, strict=True)]
        runs.append(
            PlannedRun(f"schedule-{index:0{digits}}-s{seed}", "schedule", Schedule(tuple(stages)), round(D), seed)
        )
    return runs


def drawable_schedule(schedule: Schedule, sequences: int) -> Schedule:
    """The schedule without shares that are less than two sequences of their stage, which no sampler can draw."""
    lengths = zip(schedule.stages, schedule.lengths(), strict=True)
    return Schedule(
        tuple(replace(stage, mixture=drawable(stage.mixture, round(length * sequences))) for stage, length in lengths)
    )


def _draw(
    K: int, concentration: float, length_K: np.ndarray, caps_L: np.ndarray, least: float, rng: np.random.Generator
) -> np.ndarray:
    for _ in range(REJECTIONS):
        p_KL = rng.dirichlet(np.full(len(caps_L), concentration), K)
        p_KL = np.where(p_KL < least / length_K[:, None], 0.0, p_KL)
        p_KL = p_KL / p_KL.sum(axis=1, keepdims=True)
        if np.isfinite(p_KL).all() and (length_K @ p_KL <= caps_L).all():
            return np.asarray(p_KL)
    raise Infeasible(
        f"no schedule below the caps in {REJECTIONS} draws", where="design.schedules", expected="wider caps"
    )
