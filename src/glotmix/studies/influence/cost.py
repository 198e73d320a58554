"""What a study of influence on a proxy takes: processor seconds by stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Counts:
    """What a study of influence does, counted."""

    tunings: Mapping[str, int]
    """Task to tunings with checkpoints."""
    retrainings: int
    """Trainings without some samples, of removal and subsets."""
    passes: int
    """Samples that tunings read, repetitions counted."""
    again: int
    """Samples that retrainings read."""
    scored: int
    """Samples, training and test, at all checkpoints."""

    @classmethod
    def of(cls, config: InfluenceConfig) -> Counts:
        """Of a study."""
        each = config.seeds * (1 + len(config.zero_shot))
        tunings = {task.name: each for task in config.tasks}
        how = config.removal
        once = how.seeds * (1 + how.tests * len(how.kinds)) if how.tests else 0
        retrainings = (once + config.subsets) * (1 if config.test_first else len(config.tasks))
        samples = {task.name: task.train * len(config.languages) for task in config.tasks}
        tests = {task.name: task.test * len(config.languages) for task in config.tasks}
        epochs = config.tuning.epochs
        return cls(
            tunings,
            retrainings,
            each * sum(samples.values()) * epochs,
            retrainings * samples[config.tasks[0].name] * epochs,
            each * (sum(samples.values()) + sum(tests.values())) * epochs,
        )


def stages(config: InfluenceConfig, base: Path, counts: Counts) -> list[Stage]:
    """The base model, tunings and their scores, and trainings without some samples.

    Args:
        config: of the study, whose base model is a proxy.
        base: directory that relative paths start from.
        counts: what it does.
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
    step, tunings = BATCH / config.tuning.batch, sum(counts.tunings.values())
    return [
        Stage(
            "the base model", cost.reading(training, base).processor_seconds + cost.BESIDES * own.proxy.tokens / speed
        ),
        Stage(
            "tuning and scoring",
            counts.passes * (sample + step) + counts.scored * SCORED * sample + OPENED * 2 * tunings,
        ),
        Stage("training again", counts.again * (sample + step) + OPENED * counts.retrainings),
    ]
