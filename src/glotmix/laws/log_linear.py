"""Log-linear mixture law (Olmix)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glotmix.laws import scale
from glotmix.laws.law import Inputs, Law, LawValue, Problem


@dataclass(frozen=True)
class LogLinear(Law):
    """``L = c + exp(Σ_l a_l p_l) (+ A N^-α + B D^-β where they vary)``.

    Source: Olmix (arXiv 2602.12237); the form of Data Mixing Laws (arXiv 2403.16952, eq. 6) without its redundant k.
    We add the scale terms, which neither paper has.
    """

    name: ClassVar[str] = "log_linear"
    source: ClassVar[str] = "Olmix, arXiv 2602.12237"
    formula: ClassVar[str] = "L = c + exp(Σ_l a_l p_l)"

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        return ("c", *[f"a/{language}" for language in problem.languages], *scale.names(problem))

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        L = len(problem.languages)
        low, high = scale.bounds(problem)
        return np.array([0.0] + [-1e3] * L + low), np.array([np.inf] + [1e3] * L + high)

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        """For fixed c the rest is linear in ``log(L - c)``: the starts project it out on a grid of c."""
        share_S = np.concatenate([[0.5], np.sort(rng.uniform(0, 0.98, max(n - 1, 0)))])
        theta = []
        for share in share_S:
            c = share * loss_R.min()
            a_L = np.linalg.lstsq(inputs.p_RL, np.log(loss_R - c), rcond=None)[0]
            theta.append(np.concatenate([[c], np.clip(a_L, -100, 100)]))
        tail = scale.starts(problem, float(loss_R.std()), n, rng)
        return np.hstack([np.array(theta), tail])

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        L = len(problem.languages)
        a_L = theta_P[1 : 1 + L]
        mix_R = np.exp(np.minimum(inputs.p_RL @ a_L, 50.0))
        rest_R, rest_RP = scale.terms(problem, theta_P[1 + L :], inputs)
        theta_RP = np.hstack([np.ones((len(mix_R), 1)), mix_R[:, None] * inputs.p_RL, rest_RP])
        return LawValue(theta_P[0] + mix_R + rest_R, theta_RP, mix_R[:, None] * a_L)
