"""Own-ratio law: a language's loss depends on its own share alone (He et al.)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glotmix.laws import scale
from glotmix.laws.law import Inputs, Law, LawValue, Problem


@dataclass(frozen=True)
class OwnRatio(Law):
    """``L_t = (E + A N^-α + B D^-β) p_t^-γ``; the terms in N and D only where they vary.

    Source: He et al., Scaling Laws for Multilingual Language Models (arXiv 2410.12883), eq. 1. Infinite at p_t = 0:
    the fit leaves such runs out, and a prediction there is infinity. It says nothing of languages outside the mixture.
    """

    name: ClassVar[str] = "own_ratio"
    source: ClassVar[str] = "He et al., arXiv 2410.12883, eq. 1"
    formula: ClassVar[str] = "L_t = (E + A N^-α + B D^-β) p_t^-γ"
    needs: ClassVar[frozenset[str]] = frozenset({"own"})
    finite_at_zero: ClassVar[bool] = False

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        return ("E", "γ", *scale.names(problem))

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        low, high = scale.bounds(problem)
        return np.array([0.0, -1.0, *low]), np.array([np.inf, 5.0, *high])

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        own_R = inputs.p_RL[:, _own(problem)]
        slope, constant = np.polyfit(np.log(own_R), np.log(loss_R), 1) if np.ptp(own_R) > 0 else (-0.1, 0.0)
        theta = np.tile([np.exp(constant), np.clip(-slope, -0.9, 4.9)], (n, 1))
        theta[1:] *= np.exp(rng.normal(0, 0.3, theta[1:].shape))
        return np.hstack([theta, scale.starts(problem, float(loss_R.std()), n, rng)])

    def usable(self, problem: Problem, inputs: Inputs) -> np.ndarray:
        return inputs.p_RL[:, _own(problem)] > 0

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        own = _own(problem)
        E, gamma = theta_P[:2]
        rest_R, rest_RP = scale.terms(problem, theta_P[2:], inputs)
        p_R = inputs.p_RL[:, own]
        power_R = np.where(p_R > 0, p_R, 1.0) ** -gamma
        loss_R = (E + rest_R) * power_R
        theta_RP = np.column_stack([power_R, -loss_R * np.log(np.where(p_R > 0, p_R, 1.0)), rest_RP * power_R[:, None]])
        p_RL = np.zeros_like(inputs.p_RL)
        with np.errstate(over="ignore"):  # near p = 0 the slope may be beyond what a float holds: infinite, as at 0
            p_RL[:, own] = np.where(p_R > 0, -gamma * loss_R / np.where(p_R > 0, p_R, 1.0), -np.inf)
        return LawValue(np.where(p_R > 0, loss_R, np.inf), theta_RP, p_RL)


@dataclass(frozen=True)
class OwnRatioFloored(OwnRatio):
    """``L_t = (E + A N^-α + B D^-β) (p_t + ε)^-γ``: ours, so that He et al.'s law can use runs without the target."""

    name: ClassVar[str] = "own_ratio_floored"
    source: ClassVar[str] = "He et al., arXiv 2410.12883, with a floor ε of ours"
    formula: ClassVar[str] = "L_t = (E + A N^-α + B D^-β) (p_t + ε)^-γ"
    finite_at_zero: ClassVar[bool] = True

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        return ("E", "γ", "ε", *scale.names(problem))

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        low, high = scale.bounds(problem)
        return np.array([0.0, -1.0, 1e-9, *low]), np.array([np.inf, 5.0, 1.0, *high])

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        floor_S = np.concatenate([[1e-3], np.exp(rng.uniform(np.log(1e-6), np.log(0.1), max(n - 1, 0)))])
        theta = []
        for floor in floor_S:
            slope, constant = np.polyfit(np.log(inputs.p_RL[:, _own(problem)] + floor), np.log(loss_R), 1)
            theta.append([np.exp(constant), np.clip(-slope, -0.9, 4.9), floor])
        return np.hstack([np.array(theta), scale.starts(problem, float(loss_R.std()), n, rng)])

    def usable(self, problem: Problem, inputs: Inputs) -> np.ndarray:
        return np.ones(len(inputs.p_RL), dtype=bool)

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        own = _own(problem)
        E, gamma, floor = theta_P[:3]
        rest_R, rest_RP = scale.terms(problem, theta_P[3:], inputs)
        share_R = inputs.p_RL[:, own] + floor
        power_R = share_R**-gamma
        loss_R = (E + rest_R) * power_R
        slope_R = -gamma * loss_R / share_R
        theta_RP = np.column_stack([power_R, -loss_R * np.log(share_R), slope_R, rest_RP * power_R[:, None]])
        p_RL = np.zeros_like(inputs.p_RL)
        p_RL[:, own] = slope_R
        return LawValue(loss_R, theta_RP, p_RL)


def _own(problem: Problem) -> int:
    own = problem.own
    assert own is not None, "the fit asks a law that needs the own share only for targets in the mixture"
    return own
