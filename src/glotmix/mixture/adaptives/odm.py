"""ODM: a bandit that samples languages of high training loss more often, in its two published forms."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from glotmix.mixture.adaptives.adaptive import Adaptive, Observation, ObservationCost
from glotmix.mixture.mixture import Mixture

EXP3_REWARD_SCALE = 0.1
"""The authors' code divides the loss by ten before it becomes a reward of Exp3."""


class _Odm(Adaptive):
    """What both forms share: a reward per language, and a rate of exploration that falls with time.

    ``ε_t = min(1/K, sqrt(ln K / (K t)))`` with t the training step; every language keeps at least ε_t.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"loss"})

    def __init__(self, start: Mixture, *, warmup: int = 0):
        """
        Args:
            start: mixture of the warm-up.
            warmup: steps without updates (2,000 in the authors' runs).
        """
        super().__init__(start)
        self.warmup = warmup
        self._mixture = start
        self._reward = dict.fromkeys(self.languages, 0.0)
        self._epsilon = 1 / len(self.languages)

    @property
    def cost(self) -> ObservationCost:
        """Nothing: rewards are the training losses that are there anyway."""
        return ObservationCost()

    @property
    def mixture(self) -> Mixture:
        """The bandit's distribution."""
        return self._mixture

    def update(self, observation: Observation) -> None:
        """Learn from the losses of the languages that were in the batch."""
        seen = {name: loss for name, loss in observation.loss.items() if name in self._reward}
        if observation.step <= self.warmup or not seen:
            return
        K = len(self.languages)
        before, self._epsilon = self._epsilon, min(1 / K, math.sqrt(math.log(K) / (K * observation.step)))
        for name, loss in seen.items():
            self._reward[name] = self._rewarded(name, loss)
        strength = self._strength(before)
        total = math.fsum(strength.values())
        self._mixture = Mixture.normalised(
            {name: (1 - K * self._epsilon) * strength[name] / total + self._epsilon for name in self.languages}
        )

    @abstractmethod
    def _rewarded(self, name: str, loss: float) -> float:
        """The language's new estimate of reward."""

    @abstractmethod
    def _strength(self, epsilon: float) -> dict[str, float]:
        """What the languages are chosen in proportion to, beside exploration."""

    def state(self) -> dict[str, Any]:
        """Mixture, rewards and the last rate of exploration."""
        return {"mixture": self._mixture.to_json(), "reward": self._reward, "epsilon": self._epsilon}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self._mixture, self._reward = Mixture(state["mixture"]), dict(state["reward"])
        self._epsilon = float(state["epsilon"])


class OdmSmoothed(_Odm):
    """ODM as its authors ran it: a smoothed mean of the exponentiated loss.

    ``R̂ ← s R̂ + (1 - s) e^loss``; ``p = (1 - K ε_t) R̂ / Σ R̂ + ε_t``. The factor ε_{t-1} of the code cancels.

    Source: Albalak et al. (arXiv 2312.02406) and the ``group_update`` of their code, s = 0.9.
    """

    name: ClassVar[str] = "odm"
    source: ClassVar[str] = "Albalak et al. 2023 (arXiv 2312.02406), smoothed mean of the authors' code"

    def __init__(self, start: Mixture, *, smoothing: float = 0.9, warmup: int = 0):
        """
        Args:
            start: mixture of the warm-up.
            smoothing: s.
            warmup: steps without updates.
        """
        super().__init__(start, warmup=warmup)
        self.smoothing = smoothing

    def _rewarded(self, name: str, loss: float) -> float:
        return self.smoothing * self._reward[name] + (1 - self.smoothing) * math.exp(loss)

    def _strength(self, epsilon: float) -> dict[str, float]:
        return self._reward


class OdmExp3(_Odm):
    """ODM as a plain Exp3 bandit: importance-weighted rewards that add up.

    ``R̂ ← R̂ + (loss / 10) / p``; ``p = (1 - K ε_t) e^{ε_{t-1} R̂} / Σ e^{ε_{t-1} R̂} + ε_t``.

    Source: Albalak et al. (arXiv 2312.02406), Algorithm 1; the scale of a tenth is the authors' code's. Where a batch
    holds several languages, each is rewarded at the p before the update.
    """

    name: ClassVar[str] = "odm_exp3"
    source: ClassVar[str] = "Albalak et al. 2023 (arXiv 2312.02406), Algorithm 1"

    def _rewarded(self, name: str, loss: float) -> float:
        return self._reward[name] + EXP3_REWARD_SCALE * loss / self._mixture[name]

    def _strength(self, epsilon: float) -> dict[str, float]:
        top = max(self._reward.values())
        return {name: math.exp(epsilon * (reward - top)) for name, reward in self._reward.items()}
