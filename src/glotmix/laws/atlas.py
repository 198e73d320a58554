"""ATLAS: effective data, with saturation under repetition and transfer (Longpre et al.)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glotmix.laws import scale
from glotmix.laws.law import Inputs, Law, LawValue, Problem


@dataclass(frozen=True)
class Atlas(Law):
    """``L_t = E + A N^-α + B D_eff^-β``, ``D_eff = S_λ(p_t D; U_t) + Σ_{l≠t} τ_l S_λ(p_l D; U_l)``.

    ``S_λ(D; U) = D`` up to one epoch and ``U (1 + (1 - exp(-λ (D/U - 1)))/λ)`` beyond; one λ for all. Where no unique
    tokens are known, S is D and λ is left out; the term in N only where N varies.

    Source: ATLAS (arXiv 2510.22037), section 3. Departures: the paper gives a τ of its own to the three languages most
    sampled with t and shares one among the rest, we give one to every language; it starts τ from measured transfer
    scores, we let the multi-start do that; τ is not negative. A target outside the mixture has no own term, and then
    the greatest τ is only told together with B.
    """

    name: ClassVar[str] = "atlas"
    source: ClassVar[str] = "Longpre et al. (ATLAS), arXiv 2510.22037, section 3"
    formula: ClassVar[str] = "L_t = E + A N^-α + B (S(p_t D; U_t) + Σ_{l≠t} τ_l S(p_l D; U_l))^-β"
    needs: ClassVar[frozenset[str]] = frozenset({"D"})

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        taus = [f"τ/{language}" for language in problem.languages if language != problem.target]
        size = ("A", "α") if "N" in problem.varies else ()
        return ("E", "B", "β", *taus, *(("λ",) if "unique" in problem.varies else ()), *size)

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        taus = len([language for language in problem.languages if language != problem.target])
        repeats, size = "unique" in problem.varies, "N" in problem.varies
        low = [0.0, 1e-6, 0.01] + [1e-10] * taus + [1e-3] * repeats + [0.0, 0.01] * size
        high = [np.inf, 1e3, 3.0] + [1e3] * taus + [1e2] * repeats + [1e3, 3.0] * size
        return np.array(low), np.array(high)

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        taus = len([language for language in problem.languages if language != problem.target])
        start = [0.3 * loss_R.min(), 0.5 * loss_R.min(), 0.25] + [0.1 if problem.own is not None else 1.0] * taus
        start += [0.1] * ("unique" in problem.varies)
        start += [0.3 * float(loss_R.std()), 0.35] * ("N" in problem.varies)
        theta = np.tile(start, (n, 1))
        theta[1:] *= np.exp(rng.normal(0, 0.7, theta[1:].shape))
        return theta

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        E, B, beta = theta_P[:3]
        L, own = len(problem.languages), problem.own
        taus = L - (own is not None)
        tau_L = theta_P[3 : 3 + taus] if own is None else np.insert(theta_P[3 : 3 + taus], own, 1.0)
        at = 3 + taus
        d_RL = inputs.p_RL * inputs.D_R[:, None] / scale.D_UNIT
        if "unique" in problem.varies:
            assert inputs.unique_RL is not None, "the fit passes unique tokens on to a law fitted with them"
            seen_RL, by_d_RL, by_lambda_RL = saturated(d_RL, inputs.unique_RL / scale.D_UNIT, theta_P[at])
            at += 1
        else:
            seen_RL, by_d_RL, by_lambda_RL = d_RL, np.ones_like(d_RL), None
        effective_R = np.maximum(seen_RL @ tau_L, 1e-12)
        power_R = effective_R**-beta
        slope_R = -beta * B * power_R / effective_R
        by_tau_RL = slope_R[:, None] * seen_RL
        loss_R = E + B * power_R
        columns = [np.ones(len(loss_R)), power_R, -B * power_R * np.log(effective_R)]
        columns += [by_tau_RL if own is None else np.delete(by_tau_RL, own, axis=1)]
        columns += [] if by_lambda_RL is None else [slope_R * (by_lambda_RL @ tau_L)]
        if "N" in problem.varies:
            A, alpha = theta_P[at:]
            n_R = inputs.N_R / scale.N_UNIT
            loss_R = loss_R + A * n_R**-alpha
            columns += [n_R**-alpha, -A * n_R**-alpha * np.log(n_R)]
        tokens_R = inputs.D_R / scale.D_UNIT
        p_RL = (slope_R * tokens_R)[:, None] * by_d_RL * tau_L
        return LawValue(loss_R, np.column_stack(columns), p_RL)


def saturated(d_RL: np.ndarray, unique_RL: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``S_λ(D; U)`` and its derivatives by D and by λ; smooth at one epoch, ``U (1 + 1/λ)`` in the limit."""
    over_RL = np.maximum(d_RL / unique_RL - 1, 0)
    decay_RL = np.exp(-rate * over_RL)
    repeated_RL = d_RL > unique_RL
    seen_RL = np.where(repeated_RL, unique_RL * (1 + (1 - decay_RL) / rate), d_RL)
    by_rate_RL = np.where(repeated_RL, unique_RL * (over_RL * decay_RL / rate - (1 - decay_RL) / rate**2), 0.0)
    return seen_RL, np.where(repeated_RL, decay_RL, 1.0), by_rate_RL
