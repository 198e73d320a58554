"""Residual: a black box that learns what a law leaves over, on the log of the loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from glotmix.laws.law import Inputs, LawValue, OnALaw, Problem
from glotmix.mixture.phases import Phases


@dataclass(frozen=True)
class Slack:
    """How the residuals of a law change with its parameters, each in standard deviations of what is known of it."""

    rows_RP: np.ndarray
    """d ln L̂ by the step of each parameter, where the law was fitted."""
    residual_of: Callable[[np.ndarray], np.ndarray]
    """ln L - ln L̂ of the runs [R] after such steps [P]."""


class Learned(ABC):
    """A residual model after it has seen the residuals of one target."""

    step_P: np.ndarray | None = None
    """Steps of the law's parameters (:class:`Slack`) that go with it; None where they stay, and once it was read back:
    the parameters hold them then."""

    @abstractmethod
    def predict(self, inputs: Inputs) -> np.ndarray:
        """Expected log of measured over predicted loss, [R]."""

    @abstractmethod
    def gradient(self, inputs: Inputs) -> np.ndarray:
        """Its derivative by the shares, [R, L]."""

    @abstractmethod
    def deviation(self, inputs: Inputs) -> np.ndarray:
        """Standard deviation of what it predicts, without the noise of a run, [R]."""

    @property
    def noise(self) -> float:
        """Standard deviation of the noise of a run that it has found; NaN if it looks for none."""
        return float("nan")

    @property
    def used(self) -> float:
        """Parameters that it makes use of, for telling which of two laws is the simpler one; infinite if not known."""
        return float("inf")

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Plain values."""


class Residual(ABC):
    """A kind of black box."""

    name: ClassVar[str]
    """As typed on the command line."""

    @abstractmethod
    def learn(
        self,
        inputs: Inputs,
        residual_R: np.ndarray,
        weight_R: np.ndarray,
        seed: int,
        known: Learned | None = None,
        slack: Slack | None = None,
    ) -> Learned:
        """Fit to the residuals of one target; ``known`` is what was learned of nearly the same runs, and ``slack`` says
        how the residuals change if the law gives way, for boxes that make use of it."""

    @abstractmethod
    def from_json(self, data: Mapping[str, Any]) -> Learned:
        """Read what :meth:`Learned.to_json` wrote."""


@dataclass(frozen=True)
class Corrected(OnALaw):
    """A law whose residuals a black box learns, ``L = law · exp(residual)``; over the null law it stands alone."""

    residual: Residual
    """What learns the rest."""

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.residual.name if self.law.name == "null" else f"{self.law.name}+{self.residual.name}"

    @property
    def source(self) -> str:  # type: ignore[override]
        return f"{self.law.source}; its log residuals learned by {self.residual.name}"

    @property
    def formula(self) -> str:  # type: ignore[override]
        return f"({self.law.formula}) · exp({self.residual.name}(p))"

    @property
    def each_its_own(self) -> bool:  # type: ignore[override]
        return self.law.each_its_own

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        return self.law.parameters(problem)

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        return self.law.bounds(problem)

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        return self.law.starts(problem, inputs, loss_R, n, rng)

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        return self.law.evaluate(problem, theta_P, inputs)

    def prior(self, problem: Problem, theta_P: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        return self.law.prior(problem, theta_P)

    def density(self, problem: Problem, theta_P: np.ndarray, phases: Phases) -> np.ndarray:
        return self.law.density(problem, theta_P, phases)
