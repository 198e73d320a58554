"""The curse of multilinguality: how many languages a model carries (ATLAS, section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glotmix.laws import scale
from glotmix.laws.law import Inputs, Law, LawValue, Problem


@dataclass(frozen=True)
class Curse(Law):
    """``L_t = E + A K^φ N^-α + B K^ψ D_t^-β`` with ``D_t = p_t D``.

    Source: ATLAS (arXiv 2510.22037), eq. 7, which samples K languages evenly (φ = 0.11, ψ = -0.04 there). For uneven
    mixtures K is the number of equally frequent languages with the same entropy, ``exp(-Σ p ln p)``: ours. Infinite at
    p_t = 0, where the fit leaves runs out. Without N varying the term in N cannot be told from E and is left out.
    """

    name: ClassVar[str] = "curse"
    source: ClassVar[str] = "Longpre et al. (ATLAS), arXiv 2510.22037, eq. 7"
    formula: ClassVar[str] = "L_t = E + A K^φ N^-α + B K^ψ (p_t D)^-β"
    needs: ClassVar[frozenset[str]] = frozenset({"own", "D"})
    finite_at_zero: ClassVar[bool] = False

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        return ("E", "B", "β", "ψ", *(("A", "α", "φ") if "N" in problem.varies else ()))

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        size = "N" in problem.varies
        low = [0.0, 1e-6, 0.01, -2.0] + [0.0, 0.01, -2.0] * size
        return np.array(low), np.array([np.inf, 1e3, 3.0, 2.0] + [1e3, 3.0, 2.0] * size)

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        start = [0.5 * loss_R.min(), 0.3 * loss_R.min(), 0.3, 0.0]
        start += [0.3 * loss_R.std(), 0.35, 0.1] if "N" in problem.varies else []
        theta = np.tile(start, (n, 1))
        theta[1:] *= np.exp(rng.normal(0, 0.5, theta[1:].shape))
        return theta

    def usable(self, problem: Problem, inputs: Inputs) -> np.ndarray:
        return inputs.p_RL[:, problem.languages.index(problem.target)] > 0

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        own = problem.languages.index(problem.target)
        E, B, beta, psi = theta_P[:4]
        p_RL = inputs.p_RL
        log_RL = np.log(np.where(p_RL > 0, p_RL, 1.0))
        entropy_R = -(p_RL * log_RL).sum(axis=1)
        by_p_entropy_RL = np.where(p_RL > 0, -log_RL - 1, 0.0)
        p_R = np.where(p_RL[:, own] > 0, p_RL[:, own], 1.0)
        d_R = p_R * inputs.D_R / scale.D_UNIT
        data_R = np.exp(psi * entropy_R) * d_R**-beta
        loss_R = E + B * data_R
        columns = [np.ones(len(p_R)), data_R, -B * data_R * np.log(d_R), B * data_R * entropy_R]
        by_entropy_R = B * psi * data_R
        if "N" in problem.varies:
            A, alpha, phi = theta_P[4:]
            n_R = inputs.N_R / scale.N_UNIT
            size_R = np.exp(phi * entropy_R) * n_R**-alpha
            loss_R = loss_R + A * size_R
            columns += [size_R, -A * size_R * np.log(n_R), A * size_R * entropy_R]
            by_entropy_R = by_entropy_R + A * phi * size_R
        gradient_RL = by_entropy_R[:, None] * by_p_entropy_RL
        gradient_RL[:, own] -= beta * B * data_R / p_R
        return LawValue(np.where(p_RL[:, own] > 0, loss_R, np.inf), np.column_stack(columns), gradient_RL)
