"""BiMix: own share and training tokens (Ge et al.)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glotmix.laws import scale
from glotmix.laws.law import Inputs, Law, LawValue, Problem


@dataclass(frozen=True)
class BiMix(Law):
    """``L_t = p_t^-α (B D^-β + C)``.

    Source: Ge et al., BiMix (arXiv 2405.14908): ``A/r^α (B/s^β + C)``; A repeats B and C and is left out. Own share
    only; infinite at p_t = 0, where the fit leaves runs out. It has no N: where N varies it stays blind to it.
    """

    name: ClassVar[str] = "bimix"
    source: ClassVar[str] = "Ge et al., arXiv 2405.14908"
    formula: ClassVar[str] = "L_t = p_t^-α (B D^-β + C)"
    needs: ClassVar[frozenset[str]] = frozenset({"own"})
    finite_at_zero: ClassVar[bool] = False

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        return ("C", "α", *(("B", "β") if "D" in problem.varies else ()))

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        grows = "D" in problem.varies
        return np.array([0.0, -1.0] + [0.0, 0.01] * grows), np.array([np.inf, 5.0] + [1e3, 3.0] * grows)

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        own_R = inputs.p_RL[:, problem.languages.index(problem.target)]
        slope, constant = np.polyfit(np.log(own_R), np.log(loss_R), 1) if np.ptp(own_R) > 0 else (-0.1, 0.0)
        theta = np.tile([np.exp(constant), np.clip(-slope, -0.9, 4.9)], (n, 1))
        theta[1:] *= np.exp(rng.normal(0, 0.3, theta[1:].shape))
        if "D" in problem.varies:
            theta[:, 0] *= 0.7
            grown = np.tile([0.3 * np.exp(constant), 0.35], (n, 1)) * np.exp(rng.normal(0, 0.5, (n, 2)))
            theta = np.hstack([theta, grown])
        return theta

    def usable(self, problem: Problem, inputs: Inputs) -> np.ndarray:
        return inputs.p_RL[:, problem.languages.index(problem.target)] > 0

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        own = problem.languages.index(problem.target)
        C, alpha = theta_P[:2]
        p_R = np.where(inputs.p_RL[:, own] > 0, inputs.p_RL[:, own], 1.0)
        power_R = p_R**-alpha
        rest_R, columns = np.full(len(p_R), C), [power_R]
        grown: list[np.ndarray] = []
        if "D" in problem.varies:
            B, beta = theta_P[2:]
            d_R = inputs.D_R / scale.D_UNIT
            rest_R = rest_R + B * d_R**-beta
            grown = [power_R * d_R**-beta, -power_R * B * d_R**-beta * np.log(d_R)]
        loss_R = power_R * rest_R
        columns += [-loss_R * np.log(p_R), *grown]
        p_RL = np.zeros_like(inputs.p_RL)
        p_RL[:, own] = -alpha * loss_R / p_R
        return LawValue(np.where(inputs.p_RL[:, own] > 0, loss_R, np.inf), np.column_stack(columns), p_RL)
