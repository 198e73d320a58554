"""LightGBM as RegMix uses it, without early stopping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from glotmix.errors import MissingExtra
from glotmix.laws.law import Inputs
from glotmix.laws.residual import Learned, Residual, Slack


@dataclass(frozen=True)
class LightGBM(Residual):
    """Boosted trees on the shares with RegMix's settings (1,000 rounds, learning rate 0.01).

    Source: RegMix (arXiv 2407.01492) and its public notebook. The notebook stops early on the very runs that it then
    reports; here nothing held out is looked at, so all rounds are used. Trees are constant between their splits: the
    gradient is zero, and mixtures are searched on a law instead.
    """

    name: ClassVar[str] = "lightgbm"
    rounds: int = 1000
    """Boosting rounds."""
    leaf: int = 20
    """Least runs in a leaf; 20 is LightGBM's default, which RegMix keeps."""

    def learn(
        self,
        inputs: Inputs,
        residual_R: np.ndarray,
        weight_R: np.ndarray,
        seed: int,
        known: Learned | None = None,
        slack: Slack | None = None,
    ) -> Learned:
        library = _library()
        settings = {"objective": "regression", "learning_rate": 1e-2, "min_data_in_leaf": self.leaf, "seed": seed}
        settings |= {"num_threads": 1, "verbosity": -1}
        data = library.Dataset(_features(inputs), residual_R, weight=weight_R)
        return Trees(library.train(settings, data, num_boost_round=self.rounds))

    def from_json(self, data: Mapping[str, Any]) -> Learned:
        return Trees(_library().Booster(model_str=data["model"]))


@dataclass(frozen=True)
class Trees(Learned):
    """Trained trees."""

    booster: Any
    """LightGBM's Booster."""

    def predict(self, inputs: Inputs) -> np.ndarray:
        return np.asarray(self.booster.predict(_features(inputs), num_threads=1))

    def gradient(self, inputs: Inputs) -> np.ndarray:
        return np.zeros_like(inputs.p_RL)

    def deviation(self, inputs: Inputs) -> np.ndarray:
        return np.zeros(len(inputs.p_RL))

    def to_json(self) -> dict[str, Any]:
        return {"model": self.booster.model_to_string()}


def _features(inputs: Inputs) -> np.ndarray:
    columns = [inputs.p_RL, *[x_R[:, None] for x_R in (inputs.N_R, inputs.D_R) if np.isfinite(x_R).all()]]
    return np.hstack(columns)


def _library() -> Any:
    try:
        import lightgbm
    except ImportError:
        raise MissingExtra("lightgbm", "lightgbm") from None
    return lightgbm
