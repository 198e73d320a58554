"""D-CPT law: continued pre-training on a domain mixed with general text (Que et al.)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glotmix.laws import scale
from glotmix.laws.law import Inputs, Law, LawValue, Problem


@dataclass(frozen=True)
class DCPT(Law):
    """``L = E + A N^-α + B p_t^η D^-β + C (p_t + ε)^-γ`` (the terms in N and D where they vary).

    Source: Que et al., D-CPT Law (arXiv 2406.01375). r of the paper is the own share p_t; at p_t = 0 the D term's slope
    by p_t is given at a share of 10^-9.
    """

    name: ClassVar[str] = "d_cpt"
    source: ClassVar[str] = "Que et al., arXiv 2406.01375"
    formula: ClassVar[str] = "L = E + A N^-α + B p_t^η D^-β + C (p_t + ε)^-γ"
    needs: ClassVar[frozenset[str]] = frozenset({"own"})

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        size = ("A", "α") if "N" in problem.varies else ()
        return ("E", "C", "ε", "γ", *size, *(("B", "β", "η") if "D" in problem.varies else ()))

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        size, grows = "N" in problem.varies, "D" in problem.varies
        low = [0.0, 1e-6, 1e-8, 0.01] + [0.0, 0.01] * size + [0.0, 0.01, 0.0] * grows
        high = [np.inf, 1e3, 1.0, 5.0] + [1e3, 3.0] * size + [1e3, 3.0, 5.0] * grows
        return np.array(low), np.array(high)

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        theta = np.tile([0.3 * loss_R.min(), 0.7 * loss_R.min(), 1e-3, 0.2], (n, 1))
        for varies, start in (("N", [0.3 * loss_R.std(), 0.35]), ("D", [0.3 * loss_R.std(), 0.35, 0.2])):
            if varies in problem.varies:
                theta = np.hstack([theta, np.tile(start, (n, 1))])
        theta[1:] *= np.exp(rng.normal(0, 0.5, theta[1:].shape))
        return theta

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        own = problem.languages.index(problem.target)
        E, C, floor, gamma = theta_P[:4]
        p_R = inputs.p_RL[:, own]
        share_R = p_R + floor
        power_R = share_R**-gamma
        slope_R = -gamma * C * power_R / share_R
        loss_R = E + C * power_R
        columns = [np.ones(len(p_R)), power_R, slope_R, -C * power_R * np.log(share_R)]
        by_own_R = slope_R.copy()
        at = 4
        if "N" in problem.varies:
            A, alpha = theta_P[at : at + 2]
            n_R = inputs.N_R / scale.N_UNIT
            loss_R = loss_R + A * n_R**-alpha
            columns += [n_R**-alpha, -A * n_R**-alpha * np.log(n_R)]
            at += 2
        if "D" in problem.varies:
            B, beta, eta = theta_P[at : at + 3]
            safe_R = np.maximum(p_R, 1e-9)
            d_R = inputs.D_R / scale.D_UNIT
            term_R = safe_R**eta * d_R**-beta
            loss_R = loss_R + B * term_R
            columns += [term_R, -B * term_R * np.log(d_R), B * term_R * np.log(safe_R)]
            by_own_R += B * eta * term_R / safe_R
        p_RL = np.zeros_like(inputs.p_RL)
        p_RL[:, own] = by_own_R
        return LawValue(loss_R, np.column_stack(columns), p_RL)
