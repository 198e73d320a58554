"""What a study of influence on a proxy takes: processor seconds by stage."""

from __future__ import annotations

from pathlib import Path

from glotmix.studies.influence.config import InfluenceConfig
from glotmix.study import cost
from glotmix.study.config import TrainingConfig
from glotmix.study.kind import Stage

BATCH = 0.02
"""Processor seconds of a tuning step besides its arithmetic: the optimizer and the library around the model."""
OPENED = 0.5
"""Processor seconds of opening the base model for a tuning, and of keeping what comes of it."""
SCORED = 2.0
"""Time of a sample's gradient and of its products with all test samples', over that of training on the sample."""


def stages(
    config: InfluenceConfig, base: Path, passes: int, again: int, scored: int, tunings: int, retrainings: int
) -> list[Stage]:
    """The base model, tunings and their scores, and trainings without some samples.

    Args:
        config: of the study, whose base model is a proxy.
        base: directory that relative paths start from.
        passes: samples that tunings read, repetitions counted.
        again: samples that retrainings read.
        scored: gradients.
        tunings: how many.
        retrainings: how many.
    """
    from glotmix.proxy.model import Shape
    from glotmix.proxy.pack import choose

    own = config.base
    training = TrainingConfig(
        name=config.name, languages=config.languages, corpus=own.corpus, tokens=own.tokens, proxy=own.proxy
    )
    shape = Shape.of(own.proxy, own.tokens.vocab_size)
    packing = choose(shape, own.proxy, 1, device="cpu", stack=1, processes=1, seconds=1.0)
    speed = packing.tokens_per_second
    sample = config.tuning.length / speed
    step = BATCH / config.tuning.batch
    return [
        Stage(
            "the base model", cost.reading(training, base).processor_seconds + cost.BESIDES * own.proxy.tokens / speed
        ),
        Stage("tuning and scoring", passes * (sample + step) + scored * SCORED * sample + OPENED * 2 * tunings),
        Stage("training again", again * (sample + step) + OPENED * retrainings),
    ]
