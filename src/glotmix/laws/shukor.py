"""Optimal Data Mixtures: additive and joint law (Shukor et al.)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glotmix.laws import scale
from glotmix.laws.law import Inputs, Law, LawValue, Problem

TINY = 1e-9
"""Share at which powers of a share and their slopes are taken where it is zero."""


@dataclass(frozen=True)
class ShukorAdditive(Law):
    """``L = E + 1 / Σ_l C_l p_l^γ_l + A N^-α + B D^-β`` (the last two where they vary).

    Source: Shukor et al., Scaling Laws for Optimal Data Mixtures (arXiv 2507.09404), additive law. A share of zero is
    taken as 10^-9, which keeps the slope finite for γ < 1.
    """

    name: ClassVar[str] = "shukor_additive"
    source: ClassVar[str] = "Shukor et al., arXiv 2507.09404, additive law"
    formula: ClassVar[str] = "L = E + 1 / Σ_l C_l p_l^γ_l + A N^-α + B D^-β"

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        return ("E", *_share_names(problem), *scale.names(problem))

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        L = len(problem.languages)
        low, high = scale.bounds(problem)
        low_P = np.array([0.0] + [1e-8] * L + [0.01] * L + low)
        return low_P, np.array([np.inf] + [1e4] * L + [5.0] * L + high)

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        head = _starts(problem, inputs, loss_R, n, rng)
        return np.hstack([head, scale.starts(problem, float(loss_R.std()), n, rng)])

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        L = len(problem.languages)
        mix_R, mix_RP, mix_RL = _mixture_term(theta_P[1 : 1 + 2 * L], inputs.p_RL)
        rest_R, rest_RP = scale.terms(problem, theta_P[1 + 2 * L :], inputs)
        theta_RP = np.column_stack([np.ones(len(mix_R)), mix_RP, rest_RP])
        return LawValue(theta_P[0] + mix_R + rest_R, theta_RP, mix_RL)


@dataclass(frozen=True)
class ShukorJoint(Law):
    """The additive law with ``A_p = (Σ_l a_l p_l)^γ_A`` and ``B_p = (Σ_l b_l p_l)^γ_B`` in place of A and B.

    Source: Shukor et al. (arXiv 2507.09404), joint law. We know the form of A_p and B_p from memory of the paper and
    from its count of parameters (5 + 4k), not from its text. Where neither N nor D varies it is the additive law.
    """

    name: ClassVar[str] = "shukor_joint"
    source: ClassVar[str] = "Shukor et al., arXiv 2507.09404, joint law"
    formula: ClassVar[str] = "L = E + 1 / Σ_l C_l p_l^γ_l + (Σ_l a_l p_l)^γ_A N^-α + (Σ_l b_l p_l)^γ_B D^-β"

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        names = ["E", *_share_names(problem)]
        for x, letter, exponent in _varying(problem):
            names += [f"{letter}/{language}" for language in problem.languages] + [f"γ_{x}", exponent]
        return tuple(names)

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        L, terms = len(problem.languages), len(_varying(problem))
        low_P = np.array([0.0] + [1e-8] * L + [0.01] * L + ([1e-6] * L + [0.05, 0.01]) * terms)
        return low_P, np.array([np.inf] + [1e4] * L + [5.0] * L + ([1e4] * L + [5.0, 3.0]) * terms)

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        head = _starts(problem, inputs, loss_R, n, rng)
        L = len(problem.languages)
        size = max(0.5 * float(loss_R.std()), 1e-3)
        for _ in _varying(problem):
            tail = np.tile([size] * L + [1.0, 0.35], (n, 1))
            tail[1:] *= np.exp(rng.normal(0, 0.4, tail[1:].shape))
            head = np.hstack([head, tail])
        return head

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        L = len(problem.languages)
        mix_R, mix_RP, gradient_RL = _mixture_term(theta_P[1 : 1 + 2 * L], inputs.p_RL)
        loss_R, columns = theta_P[0] + mix_R, [np.ones(len(mix_R)), mix_RP]
        at = 1 + 2 * L
        for x, _, _ in _varying(problem):
            a_L, gamma, exponent = theta_P[at : at + L], theta_P[at + L], theta_P[at + L + 1]
            x_R = inputs.N_R / scale.N_UNIT if x == "A" else inputs.D_R / scale.D_UNIT
            sum_R = inputs.p_RL @ a_L
            term_R = sum_R**gamma * x_R**-exponent
            by_sum_R = gamma * term_R / sum_R
            loss_R = loss_R + term_R
            columns += [by_sum_R[:, None] * inputs.p_RL, term_R * np.log(sum_R), -term_R * np.log(x_R)]
            gradient_RL = gradient_RL + by_sum_R[:, None] * a_L
            at += L + 2
        return LawValue(loss_R, np.column_stack(columns), gradient_RL)


def _varying(problem: Problem) -> list[tuple[str, str, str]]:
    """Coefficient, letter of its weights, exponent, for what varies."""
    return [term for x, term in (("N", ("A", "a", "α")), ("D", ("B", "b", "β"))) if x in problem.varies]


def _share_names(problem: Problem) -> list[str]:
    return [f"C/{language}" for language in problem.languages] + [f"γ/{language}" for language in problem.languages]


def _starts(problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """For fixed E and γ the rest is linear: ``1 / (L - E) = Σ C p^γ``."""
    L = len(problem.languages)
    theta = []
    for s in range(n):
        E = (0.5 if s == 0 else rng.uniform(0, 0.95)) * loss_R.min()
        gamma_L = np.full(L, 0.5) if s == 0 else rng.uniform(0.1, 1.2, L)
        C_L = np.linalg.lstsq(np.maximum(inputs.p_RL, TINY) ** gamma_L, 1 / (loss_R - E), rcond=None)[0]
        theta.append(np.concatenate([[E], np.clip(C_L, 1e-3 / loss_R.mean(), 1e3), gamma_L]))
    return np.array(theta)


def _mixture_term(theta_P: np.ndarray, p_RL: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``1 / Σ C p^γ`` with its derivatives by C, γ and p."""
    C_L, gamma_L = np.split(theta_P, 2)
    safe_RL = np.maximum(p_RL, TINY)
    power_RL = safe_RL**gamma_L
    value_R = 1 / np.maximum(power_RL @ C_L, 1e-12)
    outer_R = -(value_R**2)[:, None]
    by_theta_RP = np.hstack([outer_R * power_RL, outer_R * C_L * power_RL * np.log(safe_RL)])
    return value_R, by_theta_RP, outer_R * C_L * gamma_L * power_RL / safe_RL
