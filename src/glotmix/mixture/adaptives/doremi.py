"""DoReMi: languages on which a proxy lags its reference most get more weight."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from glotmix.mixture.adaptives.adaptive import Adaptive, Observation, ObservationCost
from glotmix.mixture.balancing import uniform
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.weighting import Weighting


class DoReMi(Adaptive):
    """Exponentiated gradient ascent on the excess loss, averaged over steps.

    ``λ_l = mean over tokens of max(loss - reference, 0)``; ``α' ∝ α exp(η λ)``; ``α ← (1 - c) α' + c / K``. Batches are
    drawn uniformly and their loss weighted by ``α_l / q_l``; the target is trained on the mean of α over steps.

    Source: Xie et al. (arXiv 2305.10429), Algorithm 1, with its η = 1 and c = 1e-3. A language that no batch held keeps
    its last λ, as in the authors' code; before its first one λ is zero.
    """

    name: ClassVar[str] = "doremi"
    source: ClassVar[str] = "Xie et al. 2023 (arXiv 2305.10429), Algorithm 1"
    needs: ClassVar[frozenset[str]] = frozenset({"excess"})

    def __init__(self, start: Mixture, *, sampled: Mixture | None = None, eta: float = 1.0, smoothing: float = 1e-3):
        """
        Args:
            start: α at step 0; uniform in the paper, the reference's weights in the authors' code.
            sampled: mixture q that batches are drawn from; uniform when not given.
            eta: step size η.
            smoothing: c, the share that is spread evenly after every update.
        """
        super().__init__(start)
        self.eta, self.smoothing = eta, smoothing
        self.sampled = uniform(self.languages) if sampled is None else sampled.over(self.languages)
        self._alpha = start
        self._excess = dict.fromkeys(self.languages, 0.0)
        self._sum = dict.fromkeys(self.languages, 0.0)
        self._updates = 0

    @property
    def cost(self) -> ObservationCost:
        """A reference model and this proxy are trained beforehand; the reference is evaluated on every batch."""
        return ObservationCost(forward=1.0, runs=2.0)

    @property
    def mixture(self) -> Mixture:
        """What batches are drawn from; it does not change."""
        return self.sampled

    @property
    def weighting(self) -> Weighting:
        """``α_l / q_l``."""
        return Weighting.between(self.sampled, self._alpha)

    @property
    def result(self) -> Mixture:
        """The mean of α over updates."""
        return Mixture.normalised(self._sum) if self._updates else self.start

    def update(self, observation: Observation) -> None:
        """One step of Algorithm 1."""
        self._excess |= {name: value for name, value in observation.excess.items() if name in self._excess}
        top = max(self._excess.values())
        raised = {name: self._alpha[name] * math.exp(self.eta * (self._excess[name] - top)) for name in self.languages}
        total = math.fsum(raised.values())
        even = self.smoothing / len(self.languages)
        self._alpha = Mixture.normalised(
            {name: (1 - self.smoothing) * value / total + even for name, value in raised.items()}
        )
        self._sum = {name: self._sum[name] + self._alpha[name] for name in self.languages}
        self._updates += 1

    def state(self) -> dict[str, Any]:
        """α, the last excess losses, and the running sum."""
        return {"alpha": self._alpha.to_json(), "excess": self._excess, "sum": self._sum, "updates": self._updates}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self._alpha, self._updates = Mixture(state["alpha"]), int(state["updates"])
        self._excess, self._sum = dict(state["excess"]), dict(state["sum"])
