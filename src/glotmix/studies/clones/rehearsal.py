"""Stages of a laboratory of clones at their true shapes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from glotmix.footprint import Footprint
from glotmix.studies.clones.arms import Arm, arms
from glotmix.studies.clones.config import CloneStudyConfig
from glotmix.study import rehearsal
from glotmix.study.rehearsal import Stages


def stages(config: CloneStudyConfig, base: Path) -> Stages:
    """Training of every arm with the alignment that is read off it, and the lenses.

    Args:
        config: the study.
        base: directory that relative paths start from.
    """
    text = rehearsal.vocabulary(config.tokens, base)

    def ids(arm: Arm) -> int:
        return arm.ids(text if arm.tokens == config.tokens else arm.tokens.vocab_size)

    def build(arm: Arm) -> list[Footprint]:
        from glotmix.probe.alignment import footprint
        from glotmix.proxy.model import Shape

        tokens, held_out = sum(run.tokens for run in arm.runs), len(arm.languages) * config.tokens.held_out_tokens
        stage = f"training {arm.name}"
        found = [rehearsal.training(stage, arm.proxy, config.sweep, ids(arm), tokens=tokens, evaluated=held_out)]
        if looks := arm.proxy.evaluations * sum(len(run.schedule.average().support) > 1 for run in arm.runs):
            shape = Shape.of(arm.proxy, ids(arm))
            found.append(footprint(f"alignment of {arm.name}", shape, config.probe.sentences, looks))
        return found

    def lenses() -> list[Footprint]:
        from glotmix.attribution.tracin import footprint
        from glotmix.proxy.architecture import Architecture

        if not config.lenses.splits:
            return []
        main, how = arms(config)[0], config.lenses
        return [
            footprint(
                "the lens TracIn",
                Architecture.of_proxy(main.proxy, ids(main)),
                length=main.proxy.context,
                tests=how.tests * len(main.languages),
                trained=how.trained,
                checkpoints=how.seeds * len(how.splits) * main.proxy.evaluations,
            )
        ]

    return {**{arm.name: partial(build, arm) for arm in arms(config)}, "lenses": lenses}
