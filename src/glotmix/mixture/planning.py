"""A whole design: coalitions, anchors, a swarm and a ladder, as the section `design` of a study asks for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from glotmix.errors import BadInput
from glotmix.mixture.balancing import uniform
from glotmix.mixture.config import DesignConfig
from glotmix.mixture.design import (
    SEEDS_PER_STUDY,
    PlannedRun,
    anchors,
    coalitions,
    dirichlet_swarm,
    grouped_coalitions,
    ladder,
    sampled_coalitions,
    turning,
    without_duplicates,
)
from glotmix.mixture.groups import Groups, coalitions_of_groups
from glotmix.mixture.mixture import Mixture, share_columns
from glotmix.mixture.schedule import Schedule
from glotmix.mixture.schedule_swarm import default_boundaries, schedule_swarm
from glotmix.notebook import Shown

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, repr=False)
class Design(Shown):
    """Which models to train, so that laws can be fitted to them."""

    runs: tuple[PlannedRun, ...]
    """In the order in which they are worth training."""

    def __len__(self) -> int:
        return len(self.runs)

    def to_polars(self) -> pl.DataFrame:
        """One row per run: ``run`` (its name), ``role`` (what it is for), ``D`` (training tokens), ``seed``, ``size``
        (rung of a ladder, else empty), ``p/<language>`` (shares). With columns ``loss/<language>`` added it is a table
        of runs as ``read_runs`` takes it."""
        import polars as pl

        told = {
            "run": [run.run for run in self.runs],
            "role": [run.role for run in self.runs],
            "D": [run.tokens for run in self.runs],
            "seed": [run.seed for run in self.runs],
            "size": [run.size for run in self.runs],
        }
        return pl.DataFrame(told | share_columns([run.schedule.average() for run in self.runs]))


def design_of(
    design: DesignConfig,
    languages: Sequence[str],
    natural: Mapping[str, float],
    D: float,
    *,
    seed: int = 0,
    least: float = 0.0,
    sizes: Mapping[str, float] | None = None,
    caps: Mapping[str, float] | None = None,
    groups: Groups | None = None,
    decay: float | None = None,
) -> Design:
    """All runs of a design, without duplicates.

    Args:
        design: what is asked.
        languages: the players.
        natural: the corpus's own mixture, the base where ``design.base`` is ``natural``.
        D: training tokens of a run.
        seed: of the draws and, shifted so that no two studies share one, of the runs.
        least: smallest share that a swarm's run can draw.
        sizes: sizes of ``design.ladder`` to the tokens of their proxies.
        caps: share of each language at which it is read ``design.passes`` times, for the swarm and for coalitions
            whose budget is ``capped``; None for no limit.
        groups: the players, where they are groups of languages.
        decay: share of a run in which its learning rate falls at last, where schedules begin their last phase.

    Raises:
        Infeasible: no mixture of the swarm meets the caps.
        BadInput: fewer than two mixtures to fit laws to, said before anything is trained.
    """
    base = uniform(languages) if design.base == "uniform" else Mixture(natural).over(languages)
    rng = np.random.default_rng([seed, 0])
    seeds = range(design.seeds)
    runs: list[PlannedRun] = []
    if design.coalitions == "between" and groups is None:
        raise BadInput("coalitions: between", where="design", expected="players: group, language or family")
    if design.coalitions in ("all", "between") and groups is not None:
        parts = design.coalitions == "all"
        most = design.most_coalitions
        runs += grouped_coalitions(languages, groups, base, D, design.budget, seeds, caps=caps, parts=parts, most=most)
    elif design.coalitions == "all":
        runs += coalitions(languages, base, D, design.budget, seeds, caps=caps, most=design.most_coalitions)
    elif design.coalitions == "sampled":
        most = 2 ** len(languages) - 1 if groups is None else len(coalitions_of_groups(languages, groups))
        count = min(design.sampled_coalitions, most)
        runs += sampled_coalitions(languages, base, D, count, rng, design.budget, seeds, groups, caps)
    repeats = range(design.seeds, design.seeds + design.anchor_seeds)
    runs += anchors(languages, base, D, min(design.anchors, 1 + len(languages)), repeats, design.budget, caps)
    swarm_rng = np.random.default_rng([seed, 1])
    swarm = dirichlet_swarm(languages, design.swarm, design.swarm_concentration, D, swarm_rng, caps, least)
    runs += _repeated(swarm, seeds)
    ends = design.boundaries or default_boundaries(design.phases, decay)
    drawn = schedule_swarm(
        languages, design.schedules, ends, design.swarm_concentration, D, np.random.default_rng([seed, 2]), caps, least
    )
    runs += _repeated(drawn, seeds)
    runs += turning(languages, Mixture(natural).over(languages), caps or {}, D, design.beyond)
    climbed = [Schedule.constant(base), *(run.schedule for run in swarm)][: design.ladder_mixtures]
    runs += ladder(climbed, sizes or {})
    # Another study seed gives other initial weights and data orders too, not only another swarm.
    first = SEEDS_PER_STUDY * seed
    judging = "swarm" if design.swarm_roles == "held_out" else None
    mixtures = len({run.schedule for run in runs if run.role != judging})
    if mixtures < 2:
        raise BadInput(
            f"{mixtures} mixture{'s' * (mixtures != 1)} to fit laws to, from {', '.join(languages)} with coalitions: "
            f"{design.coalitions} and swarm: {design.swarm} ({design.swarm_roles})",
            where="design",
            expected="at least 2: more languages, coalitions, or a swarm with swarm_roles: fit",
        )
    return Design(tuple(without_duplicates([dataclasses.replace(run, seed=first + run.seed) for run in runs])))


def _repeated(runs: Sequence[PlannedRun], seeds: Sequence[int]) -> list[PlannedRun]:
    """Every run once per seed."""
    return [
        dataclasses.replace(run, run=run.run.replace("-s0", f"-s{again}"), seed=again)
        for again in seeds
        for run in runs
    ]
