"""Adaptive: the interface of methods that change mixture or weights during training, and what they may observe."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from glotmix.errors import BadInput
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.weighting import Weighting


@dataclass(frozen=True)
class Observation:
    """What a trainer saw since the last update. It fills the fields in :attr:`Adaptive.needs`; others stay empty."""

    step: int
    """Optimiser steps done."""
    loss: Mapping[str, float] = field(default_factory=dict)
    """Mean training loss of each language that was in the batches, nats per token."""
    excess: Mapping[str, float] = field(default_factory=dict)
    """Mean over tokens of ``max(loss - reference loss, 0)`` of each language, nats per token."""
    sequences: Mapping[str, int] = field(default_factory=dict)
    """Sequences of each language drawn since the last update."""
    square_norm: Mapping[str, float] = field(default_factory=dict)
    """``‖∇L_l‖²``, the squared norm of the expected gradient of each language."""
    variance: Mapping[str, float] = field(default_factory=dict)
    """``σ_l²``, the trace of the covariance of single-sequence gradients of each language."""
    gram: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """``⟨g_l, g_m⟩`` between the batch gradients of the training languages."""
    cosine: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """``cos(∇ train loss of l, ∇ development loss of m)`` as ``cosine[l][m]``."""


@dataclass(frozen=True)
class ObservationCost:
    """What a method costs beside training itself, in passes over one batch of the trainer."""

    forward: float = 0.0
    """Extra forward passes per update (a pass of another model counts as one)."""
    backward: float = 0.0
    """Extra backward passes per update; each needs its forward pass counted above."""
    every: int = 1
    """Steps between updates."""
    runs: float = 0.0
    """Whole proxy runs beforehand (a reference model, a proxy whose result is only then trained on)."""

    def flops(self, N: float, batch_tokens: float, steps: int) -> float:
        """Extra FLOPs in a run of ``steps``: 2N per token forward, 4N backward, 6N for whole runs."""
        updates = steps // self.every
        passes = updates * (2 * self.forward + 4 * self.backward) + 6 * steps * self.runs
        return passes * N * batch_tokens


class Adaptive(ABC):
    """A method that observes training and says what to sample or weight next.

    A trainer's hook calls :meth:`update` every ``cost.every`` steps with the fields named in ``needs``, then samples by
    :attr:`mixture` and weights losses by :attr:`weighting`. Updates are deterministic; the state is plain JSON.
    """

    name: ClassVar[str]
    """Name in commands and configuration."""
    source: ClassVar[str]
    """Paper and where in it."""
    needs: ClassVar[frozenset[str]]
    """Fields of :class:`Observation` that an update reads."""
    applies_at_once: ClassVar[bool] = False
    """Whether the weights are meant for the very gradients that were observed (update before the optimiser's step)."""

    def __init__(self, start: Mixture):
        """
        Args:
            start: the mixture at step 0, over all languages.
        """
        self.languages = tuple(start)
        self.start = start

    @property
    @abstractmethod
    def cost(self) -> ObservationCost:
        """Extra passes."""

    @property
    @abstractmethod
    def mixture(self) -> Mixture:
        """What to sample by from now on."""

    @property
    def weighting(self) -> Weighting | None:
        """Loss weights from now on, or None where every sequence counts the same."""
        return None

    @property
    def result(self) -> Mixture:
        """The mixture to train a target on once the run is over."""
        return self.mixture

    @abstractmethod
    def update(self, observation: Observation) -> None:
        """Learn from an observation."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Everything that updates have changed, as JSON."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""

    def _read(self, observation: Observation, name: str) -> dict[str, Any]:
        """A field of the observation for all languages, in order.

        Raises:
            BadInput: a language is missing in it.
        """
        values: Mapping[str, Any] = getattr(observation, name)
        if missing := [language for language in self.languages if language not in values]:
            raise BadInput(
                f"no {name} of {', '.join(missing)} at step {observation.step}",
                where=self.name,
                expected=f"{name} of every language",
            )
        return {language: values[language] for language in self.languages}
