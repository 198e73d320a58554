"""Stages of a study of influence at their true shapes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from glotmix.footprint import Footprint
from glotmix.studies.influence.config import InfluenceConfig
from glotmix.studies.influence.cost import Counts
from glotmix.study import rehearsal
from glotmix.study.rehearsal import Stages
from glotmix.sweep.config import SweepConfig

if TYPE_CHECKING:
    from glotmix.proxy.architecture import Architecture


def stages(config: InfluenceConfig, base: Path) -> Stages:
    """The base model where it is a proxy, tunings with retrainings, and scores."""
    counts = Counts.of(config)

    def pretraining() -> list[Footprint]:
        own = config.base
        if own.model is not None:
            return []
        vocab = rehearsal.vocabulary(own.tokens, base)
        return [rehearsal.training("the base model", own.proxy, SweepConfig(), vocab, tokens=own.proxy.tokens)]

    def tuning() -> list[Footprint]:
        from glotmix.attribution.classifier import footprint

        read = counts.passes + counts.again
        return [footprint("tuning and training again", _architecture(config, base), config.tuning, read)]

    def scoring() -> list[Footprint]:
        from glotmix.attribution.tracin import footprint

        model = _architecture(config, base)
        return [
            footprint(
                f"scores of {task.name}",
                model,
                length=config.tuning.length,
                tests=task.test * len(config.languages),
                trained=task.train * len(config.languages),
                checkpoints=counts.tunings[task.name] * config.tuning.epochs,
                batch=config.scores.batch,
            )
            for task in config.tasks
        ]

    return {"base": pretraining, "tuning": tuning, "scores": scoring}


def _architecture(config: InfluenceConfig, base: Path) -> Architecture:
    from glotmix.proxy.architecture import Architecture

    own = config.base
    if own.model is not None:
        return Architecture.of(own.model, own.architecture, base, "classes", where="base")
    return Architecture.of_proxy(own.proxy, rehearsal.vocabulary(own.tokens, base), "classes")
