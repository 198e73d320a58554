"""Data-constrained law: repeated tokens are worth less and less (Muennighoff et al.)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glotmix.laws.law import Inputs, Law, LawValue, Problem

PUBLISHED = {
    "E": float(np.exp(0.6254804)),
    "A": float(np.exp(6.255414)),
    "B": float(np.exp(7.3049974)),
    "α": 0.3526596,
    "β": 0.3526596,
    "R_D": 15.387756,
    "R_N": 5.309743,
}
"""The paper's fit on C4, in raw parameters and tokens."""


@dataclass(frozen=True)
class DataConstrained(Law):
    """``L = E + A N_eff^-α + B D_eff^-β`` with both saturating under repetition.

    ``D_eff = Σ_l U_l (1 + R_D (1 - exp(-(D_l/U_l - 1)/R_D)))`` beyond one epoch, ``D_l`` below;
    ``N_eff = U_N (1 + R_N (1 - exp(-(N/U_N - 1)/R_N)))`` with ``U_N = min(N, N_opt(U))``, the model that is optimal for
    U unique tokens, ``N_opt = G (U G)^(β/α)``, ``G = (αA/(βB))^(1/(α+β))``. N and D in raw counts.

    Source: Muennighoff et al., Scaling Data-Constrained Language Models (arXiv 2305.16264), eqs. 5–7 and the authors'
    code. The paper has one corpus; for several languages we add their effective tokens and take U = Σ min(U_l, D_l).
    ``frozen`` keeps E, A, B, α and β at the paper's values, as its second stage does, and fits R_D and R_N alone.
    """

    name: ClassVar[str] = "data_constrained"
    source: ClassVar[str] = "Muennighoff et al., arXiv 2305.16264, eqs. 5–7"
    formula: ClassVar[str] = "L = E + A N_eff^-α + B D_eff^-β, D_eff = U (1 + R_D (1 - exp(-(D/U - 1)/R_D)))"
    needs: ClassVar[frozenset[str]] = frozenset({"N", "D", "unique"})
    frozen: bool = False
    """Whether only R_D and R_N are fitted."""

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        return ("R_D", "R_N") if self.frozen else ("E", "A", "B", "α", "β", "R_D", "R_N")

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        low_P = np.array([0.0, 1e-2, 1e-2, 0.05, 0.05, 0.1, 0.1])
        high_P = np.array([np.inf, 1e6, 1e7, 2.0, 2.0, 1e3, 1e3])
        keep = slice(5, 7) if self.frozen else slice(0, 7)
        return low_P[keep], high_P[keep]

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        theta = np.tile([0.6 * loss_R.min(), 400.0, 1000.0, 0.35, 0.35, 10.0, 10.0], (n, 1))
        theta[1:] *= np.exp(rng.normal(0, 0.4, theta[1:].shape))
        theta[:, 0] = np.minimum(theta[:, 0], 0.95 * loss_R.min())
        return theta[:, 5:] if self.frozen else theta

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        known = [PUBLISHED[name] for name in ("E", "A", "B", "α", "β")]
        E, A, B, alpha, beta, R_D, R_N = [*known, *theta_P] if self.frozen else theta_P
        assert inputs.unique_RL is not None, "the fit checks what a law needs"
        d_RL, unique_RL = inputs.p_RL * inputs.D_R[:, None], inputs.unique_RL
        seen_RL, by_d_RL, by_rate_RL = _repeated(d_RL, unique_RL, R_D)
        data_R = np.maximum(seen_RL.sum(axis=1), 1.0)
        fresh_R = np.maximum(np.minimum(unique_RL, d_RL).sum(axis=1), 1.0)
        log_G = (np.log(alpha * A) - np.log(beta * B)) / (alpha + beta)
        log_best_R = log_G + beta / alpha * (np.log(fresh_R) + log_G)
        capped_R = log_best_R < np.log(inputs.N_R)
        base_R = np.where(capped_R, np.exp(log_best_R), inputs.N_R)
        decay_R = np.exp(-np.maximum(inputs.N_R / base_R - 1, 0) / R_N)
        model_R = base_R * (1 + R_N * (1 - decay_R))
        # d model / d ln base: the base scales everything, and moves the over-size N/base - 1.
        by_base_R = np.where(capped_R, model_R - decay_R * inputs.N_R, 0.0)
        by_R_N = base_R * (1 - decay_R - decay_R * np.maximum(inputs.N_R / base_R - 1, 0) / R_N)
        size_R, text_R = model_R**-alpha, data_R**-beta
        by_model_R, by_data_R = -alpha * A * size_R / model_R, -beta * B * text_R / data_R
        total, ratio = alpha + beta, beta / alpha
        by_log_G = 1 + ratio
        log_best = (np.log(fresh_R) + log_G) / alpha
        into_base = by_model_R * by_base_R
        columns = [
            np.ones(len(size_R)),
            size_R + into_base * by_log_G / (A * total),
            text_R - into_base * by_log_G / (B * total),
            -A * size_R * np.log(model_R) + into_base * (by_log_G * (1 / alpha - log_G) / total - ratio * log_best),
            -B * text_R * np.log(data_R) + into_base * (by_log_G * (-1 / beta - log_G) / total + log_best),
            by_data_R * by_rate_RL.sum(axis=1),
            by_model_R * by_R_N,
        ]
        by_fresh_RL = np.where(d_RL < unique_RL, 1.0, 0.0) / fresh_R[:, None]
        p_RL = inputs.D_R[:, None] * (by_data_R[:, None] * by_d_RL + (into_base * ratio)[:, None] * by_fresh_RL)
        theta_RP = np.column_stack(columns)
        return LawValue(E + A * size_R + B * text_R, theta_RP[:, 5:] if self.frozen else theta_RP, p_RL)


def _repeated(d_RL: np.ndarray, unique_RL: np.ndarray, R: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Effective tokens of every language, with derivatives by its tokens and by R."""
    over_RL = np.maximum(d_RL / unique_RL - 1, 0)
    decay_RL = np.exp(-over_RL / R)
    seen_RL = np.minimum(d_RL, unique_RL) + unique_RL * R * (1 - decay_RL)
    by_R_RL = unique_RL * (1 - decay_RL - decay_RL * over_RL / R)
    return seen_RL, np.where(d_RL > unique_RL, decay_RL, 1.0), by_R_RL
