"""Data Mixing Laws (Ye et al.)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glotmix.laws import scale
from glotmix.laws.law import Inputs, Law, LawValue, Problem


@dataclass(frozen=True)
class Mixing(Law):
    """``L = c + k exp(Σ_l t_l p_l)`` (+ A N^-α + B D^-β where they vary).

    Source: Ye et al., Data Mixing Laws (arXiv 2403.16952), eq. 6. On the simplex k repeats what the t say together, so
    the t of the last language is set to zero; the functions are those of :class:`~glotmix.laws.log_linear.LogLinear`.
    """

    name: ClassVar[str] = "mixing"
    source: ClassVar[str] = "Ye et al., arXiv 2403.16952, eq. 6"
    formula: ClassVar[str] = "L = c + k exp(Σ_l t_l p_l)"

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        return ("c", "k", *[f"t/{language}" for language in problem.languages[:-1]], *scale.names(problem))

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        slopes = len(problem.languages) - 1
        low, high = scale.bounds(problem)
        return np.array([0.0, 1e-9] + [-1e3] * slopes + low), np.array([np.inf, 1e9] + [1e3] * slopes + high)

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        """For fixed c the rest is linear in ``log(L - c)``: the starts project it out on a grid of c."""
        theta = []
        for share in np.concatenate([[0.5], rng.uniform(0, 0.98, n - 1)]):
            c = share * loss_R.min()
            a_L = np.linalg.lstsq(inputs.p_RL, np.log(loss_R - c), rcond=None)[0]
            k = np.exp(np.clip(a_L[-1], -20, 20))
            theta.append(np.concatenate([[c, k], np.clip(a_L[:-1] - a_L[-1], -100, 100)]))
        return np.hstack([np.array(theta), scale.starts(problem, float(loss_R.std()), n, rng)])

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        L = len(problem.languages)
        t_L = np.append(theta_P[2 : 1 + L], 0.0)
        power_R = np.exp(np.clip(inputs.p_RL @ t_L, -100, 50))
        mix_R = theta_P[1] * power_R
        rest_R, rest_RP = scale.terms(problem, theta_P[1 + L :], inputs)
        columns = [np.ones(len(mix_R)), power_R, mix_R[:, None] * inputs.p_RL[:, :-1], rest_RP]
        return LawValue(theta_P[0] + mix_R + rest_R, np.column_stack(columns), mix_R[:, None] * t_L)
