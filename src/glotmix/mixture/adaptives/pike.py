"""PiKE: languages with large and quiet gradients are sampled more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from glotmix.errors import BadInput
from glotmix.mixture.adaptives.adaptive import Adaptive, Observation, ObservationCost
from glotmix.mixture.mixture import Mixture


class Pike(Adaptive):
    """``w_l ← w_l exp(ζ₁ ‖∇L_l‖² - ζ₂ / (2 b) σ_l²)``, normalised.

    The bound behind it assumes that languages' gradients do not conflict. It knows nothing of the size of a corpus, so
    a tiny language can be repeated without end (the authors name this limit).

    Source: Li et al. (arXiv 2502.06244), Algorithm 1. The values of ζ₁, ζ₂ and of the interval could not be recovered,
    so they have no default.
    """

    name: ClassVar[str] = "pike"
    source: ClassVar[str] = "Li et al. 2025 (arXiv 2502.06244), Algorithm 1"
    needs: ClassVar[frozenset[str]] = frozenset({"square_norm", "variance"})

    def __init__(self, start: Mixture, *, zeta1: float, zeta2: float, batch: int, every: int):
        """
        Args:
            start: weights at step 0 (uniform in the paper).
            zeta1: ζ₁, the pull of the squared gradient norm.
            zeta2: ζ₂, the push of the gradient variance.
            batch: b, sequences per step.
            every: T₀, steps between updates.
        """
        super().__init__(start)
        if zeta1 < 0 or zeta2 < 0 or batch < 1 or every < 1:
            raise BadInput(
                f"ζ₁ = {zeta1}, ζ₂ = {zeta2}, b = {batch}, T₀ = {every}",
                where=self.name,
                expected="ζ of at least 0, whole numbers above 0",
            )
        self.zeta1, self.zeta2, self.batch, self.every = zeta1, zeta2, batch, every
        self._mixture = start

    @property
    def cost(self) -> ObservationCost:
        """One batch is differentiated again, language by language."""
        return ObservationCost(forward=1.0, backward=1.0, every=self.every)

    @property
    def mixture(self) -> Mixture:
        """The weights w."""
        return self._mixture

    def update(self, observation: Observation) -> None:
        """One step of Algorithm 1."""
        norms, variances = self._read(observation, "square_norm"), self._read(observation, "variance")
        gain = {
            name: self.zeta1 * norms[name] - self.zeta2 / (2 * self.batch) * variances[name] for name in self.languages
        }
        top = max(gain.values())
        self._mixture = Mixture.normalised(
            {name: self._mixture[name] * math.exp(gain[name] - top) for name in self.languages}
        )

    def state(self) -> dict[str, Any]:
        """The weights."""
        return {"mixture": self._mixture.to_json()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self._mixture = Mixture(state["mixture"])
