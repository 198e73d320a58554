"""Committee: a smooth and a rough black box, averaged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from glotmix.laws.gaussian_process import GaussianProcess
from glotmix.laws.law import Inputs
from glotmix.laws.lightgbm import LightGBM
from glotmix.laws.residual import Learned, Residual, Slack


@dataclass(frozen=True)
class Committee(Residual):
    """Mean of what :class:`GaussianProcess` and :class:`LightGBM` predict of the same residuals.

    The process is smooth in a power of every share, trees are flat between their splits. On RegMix's runs the mean errs
    less than the law alone and more than with the process alone (docs/methods/laws.md). For prediction: it has steps,
    so mixtures are better searched on a law with the process alone. Source: Breiman, Stacked regressions (1996), here
    with equal weights.
    """

    name: ClassVar[str] = "committee"
    process: GaussianProcess = field(default_factory=GaussianProcess)
    """The smooth half."""
    trees: LightGBM = field(default_factory=LightGBM)
    """The rough half."""

    def learn(
        self,
        inputs: Inputs,
        residual_R: np.ndarray,
        weight_R: np.ndarray,
        seed: int,
        known: Learned | None = None,
        slack: Slack | None = None,
    ) -> Learned:
        before = known.smooth if isinstance(known, Averaged) else None
        smooth = self.process.learn(inputs, residual_R, weight_R, seed, before, slack)
        if slack is not None and smooth.step_P is not None:
            residual_R = slack.residual_of(smooth.step_P)
        rough = self.trees.learn(inputs, residual_R, weight_R, seed)
        return Averaged(smooth, rough)

    def from_json(self, data: Mapping[str, Any]) -> Learned:
        return Averaged(self.process.from_json(data["process"]), self.trees.from_json(data["trees"]))


@dataclass(frozen=True)
class Averaged(Learned):
    """Two residual models that have seen the same residuals."""

    smooth: Learned
    """Has a gradient and a deviation."""
    rough: Learned
    """Has neither."""

    @property
    def step_P(self) -> np.ndarray | None:  # type: ignore[override]  # noqa: N802
        return self.smooth.step_P

    def predict(self, inputs: Inputs) -> np.ndarray:
        return np.asarray((self.smooth.predict(inputs) + self.rough.predict(inputs)) / 2)

    def gradient(self, inputs: Inputs) -> np.ndarray:
        return self.smooth.gradient(inputs) / 2

    def deviation(self, inputs: Inputs) -> np.ndarray:
        return self.smooth.deviation(inputs)

    @property
    def noise(self) -> float:
        return self.smooth.noise

    def to_json(self) -> dict[str, Any]:
        return {"process": self.smooth.to_json(), "trees": self.rough.to_json()}
