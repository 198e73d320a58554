"""MultiDDS-S: languages whose training gradient points where the development losses fall are sampled more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from glotmix.errors import BadInput
from glotmix.mixture.adaptives.adaptive import Adaptive, Observation, ObservationCost
from glotmix.mixture.mixture import Mixture

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""Adam's constants."""


class MultiDdsS(Adaptive):
    """A distribution ``p = softmax(ψ)`` trained by policy gradient on gradient alignment.

    Reward ``R_l = mean over dev languages m of cos(∇ train_l, ∇ dev_m)``; then so many Adam steps on
    ``-Σ R_l log softmax(ψ)_l``, whose gradient is ``softmax(ψ) Σ R - R``.

    Source: Wang, Tsvetkov & Neubig (arXiv 2004.06748), §4.3, with the authors' code: updates every 1,000 steps, 200
    Adam steps of 1e-4, moments kept between updates, rewards not weighted by p.
    """

    name: ClassVar[str] = "multidds_s"
    source: ClassVar[str] = "Wang et al. 2020 (arXiv 2004.06748), MultiDDS-S"
    needs: ClassVar[frozenset[str]] = frozenset({"cosine"})

    def __init__(self, start: Mixture, *, every: int = 1000, inner_steps: int = 200, learning_rate: float = 1e-4):
        """
        Args:
            start: p at step 0, every share above 0 (proportional in the paper).
            every: training steps between updates.
            inner_steps: Adam steps per update.
            learning_rate: of those steps.
        """
        super().__init__(start)
        if len(start.support) < len(start):
            raise BadInput("a language starts with share 0", where=self.name, expected="shares above 0: ψ is log p")
        self.every, self.inner_steps, self.learning_rate = every, inner_steps, learning_rate
        self._psi_L = np.log(start.vector(self.languages))
        self._mean_L, self._square_L = np.zeros_like(self._psi_L), np.zeros_like(self._psi_L)
        self._steps = 0

    @property
    def cost(self) -> ObservationCost:
        """A gradient on a training batch and one on a development batch for every language."""
        K = len(self.languages)
        return ObservationCost(forward=2.0 * K, backward=2.0 * K, every=self.every)

    @property
    def mixture(self) -> Mixture:
        """``softmax(ψ)``."""
        return Mixture.from_vector(self.languages, _softmax(self._psi_L))

    def update(self, observation: Observation) -> None:
        """Rewards, then ``inner_steps`` of Adam."""
        cosine = self._read(observation, "cosine")
        reward_L = np.array([np.mean(list(cosine[name].values())) for name in self.languages])
        for _ in range(self.inner_steps):
            self._adam(_softmax(self._psi_L) * reward_L.sum() - reward_L)

    def _adam(self, gradient_L: np.ndarray) -> None:
        self._steps += 1
        self._mean_L = BETA1 * self._mean_L + (1 - BETA1) * gradient_L
        self._square_L = BETA2 * self._square_L + (1 - BETA2) * gradient_L**2
        mean_L = self._mean_L / (1 - BETA1**self._steps)
        square_L = self._square_L / (1 - BETA2**self._steps)
        self._psi_L = self._psi_L - self.learning_rate * mean_L / (np.sqrt(square_L) + EPSILON)

    def state(self) -> dict[str, Any]:
        """ψ and Adam's moments."""
        return {
            "psi": self._psi_L.tolist(),
            "mean": self._mean_L.tolist(),
            "square": self._square_L.tolist(),
            "steps": self._steps,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self._psi_L, self._mean_L = np.array(state["psi"]), np.array(state["mean"])
        self._square_L, self._steps = np.array(state["square"]), int(state["steps"])


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max())
    return np.asarray(e / e.sum())
