"""ShapleyLaw: the share that counts for a target is its effective ratio, own share plus what transfers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glotmix.laws import scale
from glotmix.laws.law import Evaluation, Inputs, Law, Problem


@dataclass(frozen=True)
class ShapleyLaw(Law):
    """``L_t = E + s(N, D) (Σ_l w_{l→t} p_l)^-γ`` with ``s = 1 + A N^-α + B D^-β`` (1 where neither varies)."""

    name: ClassVar[str] = "shapley_law"
    source: ClassVar[str] = "after ShapleyLaw, arXiv 2603.17945 (its form of the law is not public; this one is ours)"
    formula: ClassVar[str] = "L_t = E + (1 + A N^-α + B D^-β) (Σ_l w_{l→t} p_l)^-γ"

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        return ("E", "γ", *[f"w/{language}" for language in problem.languages], *scale.names(problem))

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        L = len(problem.languages)
        low, high = scale.bounds(problem)
        return np.array([0.0, 0.01] + [1e-12] * L + low), np.array([np.inf, 3.0] + [np.inf] * L + high)

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        """For fixed E and γ the rest is linear: ``(L - E)^(-1/γ) = Σ w p``, solved by non-negative least squares."""
        gamma_S = np.concatenate([[0.3], rng.uniform(0.05, 1.2, max(n - 1, 0))])
        share_S = np.concatenate([[0.3], rng.uniform(0.0, 0.9, max(n - 1, 0))])
        theta = []
        for gamma, share in zip(gamma_S, share_S, strict=True):
            E = share * loss_R.min()
            w_L = np.linalg.lstsq(inputs.p_RL, (loss_R - E) ** (-1 / gamma), rcond=None)[0]
            w_L = np.maximum(w_L, 1e-3 * max(w_L.max(), 1e-9))
            theta.append(np.concatenate([[E, gamma], w_L]))
        return np.hstack([np.array(theta), scale.starts(problem, 1.0, n, rng)])

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> Evaluation:
        L = len(problem.languages)
        E, gamma = theta_P[:2]
        w_L = theta_P[2 : 2 + L]
        rest_R, rest_RP = scale.terms(problem, theta_P[2 + L :], inputs)
        share_R = np.maximum(inputs.p_RL @ w_L, 1e-30)
        power_R = share_R**-gamma
        over_R = (1 + rest_R) * power_R
        slope_R = -gamma * over_R / share_R
        theta_RP = np.column_stack(
            [
                np.ones(len(share_R)),
                -over_R * np.log(share_R),
                slope_R[:, None] * inputs.p_RL,
                rest_RP * power_R[:, None],
            ]
        )
        return Evaluation(E + over_R, theta_RP, slope_R[:, None] * w_L)
