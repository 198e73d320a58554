"""GradVac: gradients are turned towards each other until they are as alike as they usually are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from glotmix.errors import BadInput
from glotmix.mixture.adaptives.adaptive import Adaptive, Observation, ObservationCost
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.weighting import Weighting


class GradVac(Adaptive):
    """Gradient Vaccine, as loss weights.

    For each language i and every other j in random order, with ``φ = cos(g_i, g_j)`` and its moving average φ̂_ij: where
    ``φ < φ̂``, ``g_i += ‖g_i‖ (φ̂ √(1-φ²) - φ √(1-φ̂²)) / (‖g_j‖ √(1-φ̂²)) · g_j``, which makes their cosine φ̂; then
    ``φ̂ ← (1-β) φ̂ + β φ``. The g_j on the right are the unaltered ones.

    Every altered gradient is a sum of the given ones, so the whole method needs only their Gram matrix, and its effect
    on the summed gradient is one weight per language (at least 1). That form is ours; the result is the same.

    Source: Wang et al. (arXiv 2010.05874), Algorithm 1, with its β = 0.01 and φ̂ = 0 at the start, over the whole model
    (the paper also does it per layer). Some implementations move φ̂ only where a gradient was altered; the paper always.
    """

    name: ClassVar[str] = "gradvac"
    source: ClassVar[str] = "Wang et al. 2021 (arXiv 2010.05874), Algorithm 1"
    needs: ClassVar[frozenset[str]] = frozenset({"gram"})
    applies_at_once: ClassVar[bool] = True

    def __init__(self, start: Mixture, *, seed: int, beta: float = 0.01):
        """
        Args:
            start: the mixture that is sampled throughout.
            seed: of the random order of languages.
            beta: β of the moving average.
        """
        super().__init__(start)
        if not 0 < beta <= 1:
            raise BadInput(f"beta = {beta}", where=self.name, expected="a number above 0 and at most 1")
        self.beta, self.seed = beta, seed
        self._usual_LL = np.zeros((len(self.languages), len(self.languages)))
        self._weights_L = np.ones(len(self.languages))
        self._updates = 0

    @property
    def cost(self) -> ObservationCost:
        """No extra FLOPs: each sequence is still differentiated once, in one backward pass per language."""
        return ObservationCost()

    @property
    def mixture(self) -> Mixture:
        """What is sampled; it does not change."""
        return self.start

    @property
    def weighting(self) -> Weighting:
        """Weights of the gradients that were just observed."""
        return Weighting(dict(zip(self.languages, map(float, self._weights_L), strict=True)))

    def update(self, observation: Observation) -> None:
        """Weights for the gradients whose Gram matrix is given; languages absent from it keep weight 1."""
        present = [index for index, name in enumerate(self.languages) if name in observation.gram]
        rng = np.random.default_rng([self.seed, self._updates])
        gram_LL = np.array([[observation.gram[self.languages[i]][self.languages[j]] for j in present] for i in present])
        self._weights_L = np.ones(len(self.languages))
        self._weights_L[present] = sum(self._vaccinated(i, present, gram_LL, rng) for i in range(len(present)))
        self._updates += 1

    def _vaccinated(self, i: int, present: list[int], gram_LL: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Language i's altered gradient as a sum of the given ones: its coefficients."""
        mix_L = np.eye(len(present))[i]
        for j in rng.permutation(len(present)).tolist():
            if j == i or gram_LL[j, j] == 0:
                continue
            norm_i = math.sqrt(max(mix_L @ gram_LL @ mix_L, 0.0))
            if norm_i == 0:
                break
            phi = float(np.clip(mix_L @ gram_LL[:, j] / (norm_i * math.sqrt(gram_LL[j, j])), -1, 1))
            usual = float(self._usual_LL[present[i], present[j]])
            if phi < usual:
                turn = usual * math.sqrt(1 - phi**2) - phi * math.sqrt(1 - usual**2)
                mix_L[j] += norm_i * turn / (math.sqrt(gram_LL[j, j]) * math.sqrt(1 - usual**2))
            self._usual_LL[present[i], present[j]] = (1 - self.beta) * usual + self.beta * phi
        return np.asarray(mix_L)

    def state(self) -> dict[str, Any]:
        """Usual cosines and the number of updates, which seeds the order."""
        return {"usual": self._usual_LL.tolist(), "updates": self._updates, "weights": self._weights_L.tolist()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self._usual_LL, self._updates = np.array(state["usual"]), int(state["updates"])
        self._weights_L = np.array(state["weights"])
