"""The mixture-blind law that every other one has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glotmix.laws.law import Inputs, Law, LawValue, Problem


@dataclass(frozen=True)
class Null(Law):
    """``L = c``: the mean of the runs, whatever they were trained on."""

    name: ClassVar[str] = "null"
    source: ClassVar[str] = "the trivial model"
    formula: ClassVar[str] = "L = c"

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        return ("c",)

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        return np.array([1e-9]), np.array([np.inf])

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        return np.full((1, 1), loss_R.mean())

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        R = len(inputs.p_RL)
        return LawValue(np.full(R, theta_P[0]), np.ones((R, 1)), np.zeros_like(inputs.p_RL))
