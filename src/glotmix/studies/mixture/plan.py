"""The runs of a mixture study."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from glotmix.errors import BadInput
from glotmix.mixture.balancing import uniform
from glotmix.mixture.design import (
    SEEDS_PER_STUDY,
    SMALLEST_SHARE_SEQUENCES,
    PlannedRun,
    anchors,
    coalitions,
    dirichlet_swarm,
    ladder,
    sampled_coalitions,
    without_duplicates,
)
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.studies.mixture.config import StudyConfig


def plan(config: StudyConfig, natural: Mixture, sizes: Mapping[str, float] | None = None) -> list[PlannedRun]:
    """All runs of a study's design, in the order in which they are worth training, without duplicates.

    Args:
        config: the study; ``config.design`` says what, ``config.proxy.tokens`` how long.
        natural: proportional mixture of the corpus, the base where ``design.base`` is ``natural``.
        sizes: sizes of ``design.ladder`` to the tokens of their proxies.

    Raises:
        BadInput: fewer than two mixtures to fit laws to, said before anything is trained.
    """
    design, D, languages = config.design, config.proxy.tokens, config.languages
    base = uniform(languages) if design.base == "uniform" else natural.over(languages)
    rng = np.random.default_rng([config.seed, 0])
    seeds = range(design.seeds)
    runs: list[PlannedRun] = []
    if design.coalitions == "all":
        runs += coalitions(languages, base, D, design.budget, seeds)
    elif design.coalitions == "sampled":
        count = min(design.sampled_coalitions, 2 ** len(languages) - 1)
        runs += sampled_coalitions(languages, base, D, count, rng, design.budget, seeds)
    repeats = range(design.seeds, design.seeds + design.anchor_seeds)
    runs += anchors(languages, base, D, min(design.anchors, 1 + len(languages)), repeats, design.budget)
    swarm_rng = np.random.default_rng([config.seed, 1])
    least = SMALLEST_SHARE_SEQUENCES * config.proxy.context / D
    swarm = dirichlet_swarm(languages, design.swarm, design.swarm_concentration, D, swarm_rng, least=least)
    runs += [
        PlannedRun(run.run.replace("-s0", f"-s{seed}"), run.role, run.schedule, run.tokens, seed)
        for seed in seeds
        for run in swarm
    ]
    climbed = [Schedule.constant(base), *(run.schedule for run in swarm)][: design.ladder_mixtures]
    runs += ladder(climbed, sizes or {})
    # Another study seed gives other initial weights and data orders too, not only another swarm.
    first = SEEDS_PER_STUDY * config.seed
    judging = "swarm" if design.swarm_roles == "held_out" else None
    mixtures = len({run.schedule for run in runs if run.role != judging})
    if mixtures < 2:
        raise BadInput(
            f"{mixtures} mixture{'s' * (mixtures != 1)} to fit laws to, from {', '.join(languages)} with coalitions: "
            f"{design.coalitions} and swarm: {design.swarm} ({design.swarm_roles})",
            where="design",
            expected="at least 2: more languages, coalitions, or a swarm with swarm_roles: fit",
        )
    return without_duplicates([dataclasses.replace(run, seed=first + run.seed) for run in runs])
