"""Capacity competition: domains share a model's parameters (Dai & Zheng)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glotmix.laws import scale
from glotmix.laws.law import Inputs, Law, LawValue, Problem

NEWTON_STEPS = 60
"""Far more than the dozen that it takes."""


@dataclass(frozen=True)
class Capacity(Law):
    """``L_t = E + c_t x_t^-b_t + A (p_t D)^-a``; capacity x is shared out so as to minimise the mixture's own loss.

    ``x = argmin Σ_l p_l c_l x_l^-b_l`` over ``Σ x_l = N + (K-1) H``, ``x_l ≥ H``, which is
    ``x_l = max(H, (p_l b_l c_l / λ)^(1/(b_l + 1)))`` with λ found by Newton's method. The term in D where D varies; N
    in 10^6 (1 where it is not known), D in 10^8.

    Source: Dai & Zheng, Explaining Data Mixing Scaling Laws (arXiv 2606.08167). Departures: the paper fits all targets
    jointly, we fit every target with competitors (c, b) of its own, so that targets stay independent; H is a share h of
    N/K, since its unit is N's. Only targets in the mixture. Infinite D term at p_t = 0: the fit leaves those runs out.
    """

    name: ClassVar[str] = "capacity"
    source: ClassVar[str] = "Dai & Zheng, arXiv 2606.08167"
    formula: ClassVar[str] = "L_t = E + c_t x_t^-b_t + A (p_t D)^-a, x_l = max(H, (p_l b_l c_l / λ)^(1/(b_l + 1)))"
    needs: ClassVar[frozenset[str]] = frozenset({"own"})
    finite_at_zero: ClassVar[bool] = False

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        c = [f"c/{language}" for language in problem.languages]
        b = [f"b/{language}" for language in problem.languages]
        return ("E", "h", *c, *b, *(("A", "a") if "D" in problem.varies else ()))

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        L, grows = len(problem.languages), "D" in problem.varies
        low = [0.0, 1e-4] + [1e-5] * L + [1e-2] * L + [0.0, 0.01] * grows
        return np.array(low), np.array([np.inf, 0.5] + [1e3] * L + [5.0] * L + [1e3, 3.0] * grows)

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        L = len(problem.languages)
        start = [0.5 * loss_R.min(), 0.05] + [0.3 * loss_R.min()] * L + [0.3] * L
        start += [0.3 * float(loss_R.std()), 0.35] if "D" in problem.varies else []
        theta = np.tile(start, (n, 1))
        theta[1:] *= np.exp(rng.normal(0, 0.4, theta[1:].shape))
        return np.asarray(np.clip(theta, *self.bounds(problem)))

    def usable(self, problem: Problem, inputs: Inputs) -> np.ndarray:
        return inputs.p_RL[:, problem.languages.index(problem.target)] > 0

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        L, own = len(problem.languages), problem.languages.index(problem.target)
        E, h = theta_P[:2]
        c_L, b_L = theta_P[2 : 2 + L], theta_P[2 + L : 2 + 2 * L]
        N_R = np.where(np.isfinite(inputs.N_R), inputs.N_R / scale.N_UNIT, 1.0)
        share = shared_out(inputs.p_RL, c_L, b_L, N_R, h)
        x_R = np.exp(share.log_RL[:, own])
        c, b = c_L[own], b_L[own]
        term_R = c * x_R**-b
        slope_R = -b * term_R
        by_log_c_RL, by_b_RL, by_h_R, by_p_RL = share.derivatives(own)
        columns = slope_R[:, None] * np.column_stack([by_h_R, by_log_c_RL / c_L, by_b_RL])
        columns[:, 1 + own] += term_R / c
        columns[:, 1 + L + own] -= term_R * np.log(x_R)
        p_RL = slope_R[:, None] * by_p_RL
        loss_R, tail = E + term_R, []
        if "D" in problem.varies:
            A, a = theta_P[2 + 2 * L :]
            p_R = np.where(inputs.p_RL[:, own] > 0, inputs.p_RL[:, own], 1.0)
            d_R = p_R * inputs.D_R / scale.D_UNIT
            loss_R = loss_R + A * d_R**-a
            tail = [d_R**-a, -A * d_R**-a * np.log(d_R)]
            p_RL[:, own] += -a * A * d_R**-a / p_R
            loss_R = np.where(inputs.p_RL[:, own] > 0, loss_R, np.inf)
        return LawValue(loss_R, np.column_stack([np.ones(len(loss_R)), columns, *tail]), p_RL)


@dataclass(frozen=True)
class Shared:
    """Capacity shared out over L domains in R mixtures."""

    log_RL: np.ndarray
    """ln x."""
    free_RL: np.ndarray
    """Whether a domain has more than the least."""
    b_L: np.ndarray
    """Exponents."""
    least_R: np.ndarray
    """H."""
    p_RL: np.ndarray
    """Mixtures."""
    h: float
    """H in units of N / K."""

    def derivatives(self, own: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """d ln x_own by ln c [R, L], by b [R, L], by h [R], by p [R, L] (implicit function theorem on Σ x)."""
        x_RL = np.exp(self.log_RL)
        pull_RL = np.where(self.free_RL, x_RL / (self.b_L + 1), 0.0)
        total_R = np.maximum(pull_RL.sum(axis=1), 1e-300)
        share_RL = pull_RL / total_R[:, None]
        own_free_R = self.free_RL[:, own]
        unit_L = np.eye(x_RL.shape[1])[own]
        lead_R = np.where(own_free_R, 1 / (self.b_L[own] + 1), 0.0)
        by_log_c_RL = lead_R[:, None] * (unit_L - share_RL)
        # ln x = (ln(p b c) - ln λ)/(b + 1): b acts as a factor of the benefit and as the exponent's divisor.
        by_numerator_RL = 1 / self.b_L - self.log_RL
        by_b_RL = by_log_c_RL * by_numerator_RL
        K = x_RL.shape[1]
        held_R = (~self.free_RL).sum(axis=1)
        room_R = (K - 1) - held_R
        by_least_R = np.where(own_free_R, lead_R * room_R / total_R, 1 / self.least_R)
        by_h_R = by_least_R * self.least_R / self.h
        by_p_RL = np.where(self.p_RL > 0, by_log_c_RL / np.maximum(self.p_RL, 1e-300), 0.0)
        return by_log_c_RL, by_b_RL, by_h_R, by_p_RL


def shared_out(p_RL: np.ndarray, c_L: np.ndarray, b_L: np.ndarray, N_R: np.ndarray, h: float) -> Shared:
    """Solve for x by Newton's method on ln λ, to rounding."""
    K = p_RL.shape[1]
    least_R = h * N_R / K
    room_R = N_R + (K - 1) * least_R
    log_least_R = np.log(least_R)
    log_benefit_RL = np.log(np.maximum(p_RL, 1e-300)) + np.log(b_L * c_L)

    # ln Σ x is convex and falls in ln λ: from where it is too large, Newton's steps never pass the root.
    top_R = log_benefit_RL.max(axis=1)
    at_R = top_R - (b_L.max() + 1) * (np.abs(np.log(least_R)) + np.abs(np.log(room_R)) + 10)
    for _ in range(NEWTON_STEPS):
        log_RL = (log_benefit_RL - at_R[:, None]) / (b_L + 1)
        x_RL = np.exp(np.maximum(log_RL, log_least_R[:, None]))
        total_R = x_RL.sum(axis=1)
        excess_R = np.log(total_R / room_R)
        at_R = at_R + excess_R * total_R / (x_RL * (log_RL > log_least_R[:, None]) / (b_L + 1)).sum(axis=1)
        if np.abs(excess_R).max() < 1e-13:
            break
    log_RL = np.maximum((log_benefit_RL - at_R[:, None]) / (b_L + 1), log_least_R[:, None])
    free_RL = log_RL > log_least_R[:, None] + 1e-12
    return Shared(log_RL, free_RL, b_L, least_R, p_RL, h)
