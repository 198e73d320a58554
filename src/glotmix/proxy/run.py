"""What is trained: the runs of a stack, the batches they read, and what comes out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from glotmix.mixture.adaptives.adaptive import Adaptive
from glotmix.mixture.design import PlannedRun
from glotmix.mixture.part import WHOLE, Part
from glotmix.mixture.schedule import Schedule
from glotmix.mixture.weighting import Weighting
from glotmix.proxy.config import ProxyConfig


@dataclass(frozen=True)
class StackRun:
    """One planned run: a member of a stack."""

    run: str
    """Its name."""
    schedule: Schedule
    """Mixture over training; a stage may restart optimiser and learning rate. An adaptive method has its own."""
    tokens: int
    """Training tokens D."""
    seed: int
    """Seed of the initial weights and of the data order."""
    weighting: Weighting | None = None
    """Loss weights of the languages; None where every sequence counts the same."""
    adaptive: Adaptive | None = None
    """A method that changes mixture or weights while the run goes on."""
    part: Part = WHOLE
    """What is trained of it."""

    @classmethod
    def of(cls, planned: PlannedRun) -> StackRun:
        """The run as it is trained: an adaptive method is made with the run's seed."""
        adaptive = None if planned.adaptive is None else planned.adaptive.make(planned.seed)
        return cls(
            planned.run,
            planned.schedule,
            planned.tokens,
            planned.seed,
            planned.weighting,
            adaptive,
            planned.part or WHOLE,
        )

    @property
    def is_guided(self) -> bool:
        """Whether it needs a :class:`glotmix.proxy.controller.MixtureController`."""
        return self.weighting is not None or self.adaptive is not None

    @property
    def reads(self) -> tuple[str, ...]:
        """Languages that it may be trained on."""
        return self.schedule.average().support if self.adaptive is None else self.adaptive.languages

    @property
    def restarts(self) -> tuple[float, ...]:
        """Shares of the run at which optimiser and learning rate begin anew."""
        return tuple(stage.start for stage in self.schedule.stages[1:] if stage.restart)


@dataclass(frozen=True)
class LossRow:
    """One number of the losses table."""

    step: int
    """Updates made before the measurement."""
    tokens: int
    """Training tokens seen before the measurement."""
    language: str
    """Language of the held-out text."""
    metric: str
    """"nats" per token or "bpb", bits per byte, of held-out text; "train", nats per token of text that is trained on;
    "seen", training tokens of the language read so far."""
    value: float
    """The loss, or the count."""


@dataclass(frozen=True)
class RunResult:
    """What became of one run."""

    run: str
    """Its name."""
    status: str
    """"complete" or "diverged"."""
    reason: str
    """Why it diverged; empty otherwise."""
    N: int
    """Parameters without embeddings."""
    D: int
    """Training tokens really seen."""
    C: float
    """Training compute in FLOPs, of what was trained of it."""
    tokens: Mapping[str, int]
    """Training tokens of each language."""
    losses: tuple[LossRow, ...]
    """Held-out losses over the run, the last ones at its end."""
    seconds: float
    """Wall time of the run's share of its stack."""
    precision: str = "float32"
    """Of its matrix products: "float32" or "bfloat16"; the losses are those of the fp32 weights in either case."""
    guided: Mapping[str, Any] = field(default_factory=dict)
    """What an adaptive method did, :meth:`glotmix.proxy.controller.Guide.record`."""


class Batches(Protocol):
    """Where training data comes from: token ids [B, T + 1] for a run of the stack and a step, in any order."""

    def __call__(self, run_index: int, step: int) -> np.ndarray: ...


def steps_of(tokens: float, training: ProxyConfig) -> int:
    """Updates of a run of ``tokens`` training tokens: whole batches, at least one."""
    return max(1, round(tokens / (training.batch * training.context)))


def step_at(share: float, steps: int) -> int:
    """Updates made when ``share`` of a run is done, as evaluations count them."""
    return math.ceil(steps * share - 1e-6)


def learning_rate(step: int, steps: int, training: ProxyConfig) -> float:
    """Rate of update ``step`` (from 0): linear warm-up, then a cosine to ``final_learning_rate`` of the peak; or, with
    ``decay``, the peak until a line to it in the last steps."""
    warmup = math.ceil(training.warmup * steps)
    if step < warmup:
        return training.learning_rate * (step + 1) / warmup
    progress = (step - warmup + 1) / max(1, steps - warmup)
    low = training.final_learning_rate
    if training.decay is not None:
        falling = min(math.ceil(training.decay * steps), steps - warmup)
        return training.learning_rate * (1 - (1 - low) * max(0, step + 1 - (steps - falling)) / falling)
    return training.learning_rate * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * progress)))
