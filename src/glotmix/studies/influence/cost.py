"""What a study of influence takes: counts, and processor seconds by stage."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from glotmix.studies.influence.config import ClassificationTaskConfig, InfluenceConfig
from glotmix.study import cost
from glotmix.study.config import TrainingConfig
from glotmix.study.kind import Stage

if TYPE_CHECKING:
    from glotmix.proxy.architecture import Architecture

BATCH = 0.003
"""Processor seconds of a tuning step besides its arithmetic: the optimizer and the library around the model. From
the tiny scale: 3,608 steps of 25 samples in 50 s, of which their tokens at the speed of pretraining are nearly all."""
OPENED = 0.5
"""Processor seconds of opening the base model for a tuning, and of keeping what comes of it."""
TRIED_TOKENS, TRIED_SECONDS = 512, 0.5
"""Tokens of a step that is timed, and for how long steps are."""
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
        tunings = {task.name: config.seeds * len(trained(config, task)) for task in config.tasks}
        how = config.removal
        once = how.seeds * (1 + how.tests * len(how.kinds)) if how.tests else 0
        retrainings = (once + config.subsets) * (1 if config.test_first else len(config.tasks))
        read = config.seeds * sum(sum(trained(config, task)) for task in config.tasks)
        tests = sum(tunings[task.name] * task.test * len(config.languages) for task in config.tasks)
        again = retrainings * trained(config, config.tasks[0])[0]
        epochs = config.tuning.epochs
        return cls(tunings, retrainings, read * epochs, again * epochs, (read + tests) * epochs)


def trained(config: InfluenceConfig, task: ClassificationTaskConfig) -> list[int]:
    """Training samples of each tuning of one seed: on all languages, then without each that is left out, and with more
    or less of some."""
    others = len(config.languages) - 1
    factors = [1.0, *[0.0] * len(config.zero_shot), *(one for few in config.imbalance.values() for one in few)]
    return [task.train * others + round(task.train * factor) for factor in factors]


def stages(config: InfluenceConfig, base: Path, counts: Counts) -> list[Stage]:
    """The base model, tunings and their scores, and trainings without some samples.

    Args:
        config: of the study, whose base model is a proxy.
        base: directory that relative paths start from.
        counts: what it does.
    """
    from glotmix.proxy.model import Shape

    own = config.base
    training = TrainingConfig(
        name=config.name, languages=config.languages, corpus=own.corpus, tokens=own.tokens, proxy=own.proxy
    )
    shape = Shape.of(own.proxy, cost.vocabulary(own.tokens, base)[0])
    packing = cost.packing(shape, own.proxy, 1, device="cpu", stack=1, processes=1)
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


def stages_of_a_model(
    config: InfluenceConfig, model: Architecture, counts: Counts, scoring_flops: float
) -> list[Stage]:
    """The same of a model that is given, by the time of one of its layers here.

    Args:
        config: of the study.
        model: that is tuned.
        counts: what it does.
        scoring_flops: of all scores.
    """
    second = _seconds_per_flop(model, config.tuning.length)
    training = 3 * config.tuning.length * model.forward_flops(config.tuning.length) * second
    return [
        Stage("tuning", counts.passes * training),
        Stage("scoring", scoring_flops * second),
        Stage("training again", counts.again * training),
    ]


def _seconds_per_flop(model: Architecture, length: int) -> float:
    """Processor seconds of a FLOP of training here: a step of one layer of the model, with a small vocabulary."""
    import torch

    settings = copy.deepcopy(model.config)
    settings.vocab_size = 256  # rows that are looked up cost nothing, and memory
    small = replace(model, config=settings)
    layer, samples = small.cut(1), max(1, TRIED_TOKENS // length)
    ids = torch.randint(2, 256, (samples, length), generator=torch.Generator().manual_seed(0))
    steps, began = 0, 0.0
    for step in itertools.count():
        if step == 1:  # the first one warms up
            began = time.process_time()
        layer(input_ids=ids).logits.sum().backward()
        steps = step
        if steps and time.process_time() - began > TRIED_SECONDS:
            break
    one = replace(small, config=layer.config)
    return (time.process_time() - began) / (steps * samples * length * 3 * one.forward_flops(length))
