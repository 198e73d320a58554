"""Chinchilla: loss from model size and tokens, blind to the mixture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glotmix.laws import scale
from glotmix.laws.law import Inputs, Law, LawValue, Problem


@dataclass(frozen=True)
class Chinchilla(Law):
    """``L = E + A N^-α + B D^-β`` (the terms that vary).

    Source: Hoffmann et al., Training Compute-Optimal Large Language Models (arXiv 2203.15556), eq. 10. N and D enter in
    units of 10^6 and 10^8.
    """

    name: ClassVar[str] = "chinchilla"
    source: ClassVar[str] = "Hoffmann et al., arXiv 2203.15556, eq. 10"
    formula: ClassVar[str] = "L = E + A N^-α + B D^-β"
    needs: ClassVar[frozenset[str]] = frozenset({"N", "D"})

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        return ("E", *scale.names(problem))

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        low, high = scale.bounds(problem)
        return np.array([0.0, *low]), np.array([np.inf, *high])

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        E_S = loss_R.min() * np.concatenate([[0.7], rng.uniform(0.1, 0.99, n - 1)])
        return np.column_stack([E_S, scale.starts(problem, float(loss_R.std()), n, rng)])

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        rest_R, rest_RP = scale.terms(problem, theta_P[1:], inputs)
        theta_RP = np.column_stack([np.ones(len(rest_R)), rest_RP])
        return LawValue(theta_P[0] + rest_R, theta_RP, np.zeros_like(inputs.p_RL))
