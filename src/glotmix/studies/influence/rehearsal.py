"""Stages of a study of influence at their true shapes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glotmix.footprint import Footprint
from glotmix.studies.influence.config import ClassificationTaskConfig, InfluenceConfig
from glotmix.studies.influence.cost import Counts, trained
from glotmix.studies.influence.scoring import query_bytes
from glotmix.study import rehearsal
from glotmix.study.rehearsal import DEVICE_GB, Stages
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
        return [footprint("tuning and training again", architecture(config, base), config.tuning, read)]

    def scoring() -> list[Footprint]:
        return [Scoring.of(config, task, architecture(config, base)).footprint for task in config.tasks]

    return {"base": pretraining, "tuning": tuning, "scores": scoring}


def architecture(config: InfluenceConfig, base: Path) -> Architecture:
    """The model that is tuned, without its weights.

    Raises:
        BadInput: nothing is known of it on this machine.
    """
    from glotmix.proxy.architecture import Architecture

    own = config.base
    if own.model is not None:
        return Architecture.of(own.model, own.architecture, base, "classes", where="base")
    return Architecture.of_proxy(own.proxy, rehearsal.vocabulary(own.tokens, base), "classes")


@dataclass(frozen=True)
class Scoring:
    """What scoring the runs of a task will take."""

    footprint: Footprint
    """On the device."""
    gradients: int
    """Gradients of samples that are computed, those that are computed again counted again."""
    index_bytes: float
    """Projected gradients on disk; 0 where products are exact."""

    @classmethod
    def of(
        cls,
        config: InfluenceConfig,
        task: ClassificationTaskConfig,
        model: Architecture,
        room: float = DEVICE_GB * 1e9,
    ) -> Scoring:
        """Projected where it will be.

        Args:
            config: of the study.
            task: the task.
            model: that is tuned.
            room: bytes of the device that it is scored on.
        """
        from glotmix.attribution.index import index_footprint, index_gradients
        from glotmix.attribution.tracin import footprint

        how, stage, tests = config.scores, f"scores of {task.name}", task.test * len(config.languages)
        runs, rounds = trained(config, task), config.seeds * config.tuning.epochs
        usual, checkpoints = round(sum(runs) / len(runs)), rounds * len(runs)
        length, batch = config.tuning.length, how.batch
        exact = footprint(
            stage,
            model,
            length=length,
            tests=tests,
            trained=usual,
            checkpoints=checkpoints,
            batch=batch,
            query_bytes=query_bytes(how),
            device_bytes=room,
        )
        at_once = round(exact.kept / (4 * model.in_products))
        if how.method == "exact" or (how.method == "auto" and at_once >= tests):
            passes = -(-tests // at_once)
            return cls(exact, rounds * sum(tests + passes * samples for samples in runs), 0.0)
        projected, index_bytes = index_footprint(
            stage,
            model,
            length=length,
            tests=tests,
            trained=usual,
            checkpoints=checkpoints,
            dimensions=how.dimensions,
            batch=batch,
        )
        return cls(projected, rounds * sum(index_gradients(tests, samples) for samples in runs), index_bytes)
