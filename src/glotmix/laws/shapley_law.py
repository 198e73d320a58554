"""ShapleyLaw: the share that counts for a target is its effective share, own text plus what transfers.

The idea is that of ShapleyLaw (Cao et al., arXiv 2603.17945): languages play a cooperative game, and their Shapley
values tell how much each counts for a target's loss. The paper's form of the law is not public; the forms here, and the
ways in which the values enter, are ours (docs/methods/laws.md says how they were chosen).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glotmix.errors import BadInput
from glotmix.laws import scale
from glotmix.laws.effective_share import box_cox, power_mean
from glotmix.laws.law import Evaluation, Inputs, Law, Problem

GAMMA_PRIOR = (0.02, 0.04)
"""Mean and standard deviation of γ: over the 13 targets of RegMix's runs the losses follow nearly straight lines in
the log of the effective share (benchmarks/laws.py prints the fitted values)."""
KAPPA_PRIOR = (0.6, 0.2)
"""Median of κ and standard deviation of ln κ, from the same runs."""
WEIGHT_PRIOR = (0.005, 4.0)
"""Median of a weight and standard deviation of ln w when nothing is known of transfer: from useless to a twin."""
VALUE_SPREAD = 1.0
"""Standard deviation of ln w around what the Shapley values say, where they are a prior."""
SLOPE_PRIOR = (0.3, 2.0)
"""Median of b and standard deviation of ln b: wide enough for losses in bits per byte and in nats per token."""


@dataclass(frozen=True)
class ShapleyLaw(Law):
    """``L_t = s(N, D) (1 + c (p̃_t^-γ - 1)/γ)`` with ``p̃_t = (Σ_l (w_{l→t} p_l)^κ)^(1/κ)``, ``w_{t→t} = 1``.

    ``s = E + A N^-α + B D^-β`` (the terms that vary) is the loss of training on the target alone; ``c s`` is what an
    e-fold of effective share is worth; γ bends the curve (0: linear in ln p̃); w is the exchange rate, how many tokens
    of the target one token of l replaces; κ < 1 makes a mixture of helpers better than the best of them. He et al. is
    the case w = 0, c = γ. Finite at p_t = 0 as long as anything transfers. For a target outside the mixture every w is
    free, and s is the loss at p̃ = 1.

    γ, κ and w carry weak Gaussian priors (module constants), without which a table of 15 coalitions cannot tell them
    all; with hundreds of runs they no longer matter.
    """

    name: ClassVar[str] = "shapley_law"
    source: ClassVar[str] = "after ShapleyLaw, arXiv 2603.17945; the form is ours; weights free"
    formula: ClassVar[str] = "L_t = (E + A N^-α + B D^-β) (1 + c (p̃^-γ - 1)/γ), p̃ = (Σ_l (w_l p_l)^κ)^(1/κ)"

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        return ("E", "c", "γ", "κ", *_weights(problem), *scale.names(problem))

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        sources = len(_weights(problem))
        low, high = scale.bounds(problem)
        low_P = np.array([1e-6 if not low else 0.0, 1e-4, -1.0, 0.05] + [1e-10] * sources + low)
        return low_P, np.array([np.inf, 10.0, 2.0, 3.0] + [1e3] * sources + high)

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        sources = len(_weights(problem))
        weight = 1e-3 if problem.own is not None else 0.3
        theta = np.tile([loss_R.min(), 0.15, GAMMA_PRIOR[0], KAPPA_PRIOR[0], *[weight] * sources], (n, 1))
        theta[1:, 1] *= np.exp(rng.normal(0, 0.5, n - 1))
        theta[1:, 4:] *= np.exp(rng.normal(0, 1.5, (n - 1, sources)))
        return np.hstack([theta, scale.starts(problem, float(loss_R.std()), n, rng)])

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> Evaluation:
        E, c, gamma, kappa = theta_P[:4]
        sources = len(_weights(problem))
        w_L = _all_weights(problem, theta_P[4 : 4 + sources])
        rest_R, rest_RP = scale.terms(problem, theta_P[4 + sources :], inputs)
        log_R, by_w_RL, by_kappa_R, by_p_RL = power_mean(inputs.p_RL, w_L, kappa)
        curve_R, by_log_R, by_gamma_R = box_cox(log_R, gamma)
        s_R, shape_R = E + rest_R, 1 + c * curve_R
        slope_R = s_R * c * by_log_R
        by_weight_RL = slope_R[:, None] * by_w_RL / w_L
        theta_RP = np.column_stack(
            [
                shape_R,
                s_R * curve_R,
                s_R * c * by_gamma_R,
                slope_R * by_kappa_R,
                np.delete(by_weight_RL, [] if problem.own is None else problem.own, axis=1),
                rest_RP * shape_R[:, None],
            ]
        )
        return Evaluation(s_R * shape_R, theta_RP, slope_R[:, None] * by_p_RL)

    def prior(self, problem: Problem, theta_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        median, spread = WEIGHT_PRIOR
        sources = len(_weights(problem))
        w = slice(4, 4 + sources)
        distance, rows = _curve_prior(theta_P)
        weights = np.zeros((sources, len(theta_P)))
        weights[:, w] = np.diag(1 / (spread * theta_P[w]))
        return np.concatenate([distance, np.log(theta_P[w] / median) / spread]), np.vstack([rows, weights])


@dataclass(frozen=True)
class ShapleyLawPrior(ShapleyLaw):
    """ShapleyLaw in which the Shapley values are the prior of the weights: ``ln w_l ~ N(-(φ_t - φ_l)/b, 1)``.

    A share moved from the target to source l costs the target ``φ_{t→t} - φ_{l→t}`` in the game and ``b ln(1/w_l)`` in
    the law, where b is the loss per e-fold; so the values say what the weights are up to b, which is fitted. For a
    target outside the mixture the best source takes the target's place.
    """

    name: ClassVar[str] = "shapley_law_prior"
    source: ClassVar[str] = "after ShapleyLaw, arXiv 2603.17945; the form is ours; Shapley values as prior of w"
    needs: ClassVar[frozenset[str]] = frozenset({"transfer"})

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        return (*super().parameters(problem), "b")

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        low_P, high_P = super().bounds(problem)
        return np.append(low_P, 1e-3), np.append(high_P, 1e2)

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        theta = super().starts(problem, inputs, loss_R, n, rng)
        return np.column_stack([theta, np.full(len(theta), max(0.15 * loss_R.min(), 1e-2))])

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> Evaluation:
        at = super().evaluate(problem, theta_P[:-1], inputs)
        return Evaluation(at.loss_R, np.column_stack([at.theta_RP, np.zeros(len(at.loss_R))]), at.p_RL)

    def prior(self, problem: Problem, theta_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        gap_L, b = _gaps(problem), theta_P[-1]
        w = slice(4, 4 + len(gap_L))
        distance, rows = _curve_prior(theta_P)
        weights = np.zeros((len(gap_L), len(theta_P)))
        weights[:, w] = np.diag(1 / (VALUE_SPREAD * theta_P[w]))
        weights[:, -1] = -gap_L / b**2 / VALUE_SPREAD
        slope, slope_row = _slope_prior(theta_P)
        around = (np.log(theta_P[w]) + gap_L / b) / VALUE_SPREAD
        return np.concatenate([distance, around, slope]), np.vstack([rows, weights, slope_row])


@dataclass(frozen=True)
class ShapleyLawFixed(Law):
    """ShapleyLaw in which the Shapley values fix the weights, ``w_l = exp(-(φ_t - φ_l)/b)``; only b is fitted.

    Five parameters whatever the number of languages: the law for tables too small to fit weights to.
    """

    name: ClassVar[str] = "shapley_law_fixed"
    source: ClassVar[str] = "after ShapleyLaw, arXiv 2603.17945; the form is ours; w fixed by the Shapley values"
    formula: ClassVar[str] = ShapleyLaw.formula + ", w_l = exp(-(φ_t - φ_l)/b)"
    needs: ClassVar[frozenset[str]] = frozenset({"transfer"})

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        return ("E", "c", "γ", "κ", *scale.names(problem), "b")

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        keep = self._kept(problem)
        low_P, high_P = ShapleyLaw().bounds(problem)
        return np.append(low_P[keep], 1e-3), np.append(high_P[keep], 1e2)

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        theta = ShapleyLaw().starts(problem, inputs, loss_R, n, rng)[:, self._kept(problem)]
        b = 0.15 * loss_R.min() * np.exp(np.concatenate([[0.0], rng.normal(0, 0.7, n - 1)]))
        return np.column_stack([theta, np.clip(b, 2e-3, 50)])

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> Evaluation:
        keep, b, gap_L = self._kept(problem), theta_P[-1], _gaps(problem)
        inner_P = np.empty(len(keep))
        inner_P[keep] = theta_P[:-1]
        inner_P[~keep] = np.exp(np.maximum(-gap_L / b, -60))
        at = ShapleyLaw().evaluate(problem, inner_P, inputs)
        by_b_R = at.theta_RP[:, ~keep] @ (inner_P[~keep] * gap_L / b**2)
        return Evaluation(at.loss_R, np.column_stack([at.theta_RP[:, keep], by_b_R]), at.p_RL)

    def prior(self, problem: Problem, theta_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        distance, rows = _curve_prior(theta_P)
        slope, slope_row = _slope_prior(theta_P)
        return np.concatenate([distance, slope]), np.vstack([rows, slope_row])

    def _kept(self, problem: Problem) -> np.ndarray:
        return np.array([not name.startswith("w/") for name in ShapleyLaw().parameters(problem)])


@dataclass(frozen=True)
class ShapleyLawData(Law):
    """``L_t = E + A N^-α + B (p̃_t D)^-β``: the effective share enters through effective data, as in ATLAS.

    p̃ as in :class:`ShapleyLaw`, weights free. Additive: the mixture never touches what the model's size leaves over.
    Where D does not vary, B holds its power.
    """

    name: ClassVar[str] = "shapley_law_data"
    source: ClassVar[str] = "after ShapleyLaw, arXiv 2603.17945, and ATLAS, arXiv 2510.22037; the form is ours"
    formula: ClassVar[str] = "L_t = E + A N^-α + B (p̃ D)^-β, p̃ = (Σ_l (w_l p_l)^κ)^(1/κ)"

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        size = ("A", "α") if "N" in problem.varies else ()
        return ("E", "B", "β", "κ", *_weights(problem), *size)

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        sources, size = len(_weights(problem)), "N" in problem.varies
        low_P = np.array([0.0, 1e-6, 0.005, 0.05] + [1e-10] * sources + [0.0, 0.01] * size)
        return low_P, np.array([np.inf, 1e3, 3.0, 3.0] + [1e3] * sources + [1e3, 3.0] * size)

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        sources = len(_weights(problem))
        weight = 1e-3 if problem.own is not None else 0.3
        theta = np.tile([0.3 * loss_R.min(), 0.7 * loss_R.min(), 0.2, KAPPA_PRIOR[0], *[weight] * sources], (n, 1))
        theta[1:, 0] *= rng.uniform(0, 2, n - 1)
        theta[1:, 4:] *= np.exp(rng.normal(0, 1.5, (n - 1, sources)))
        if "N" in problem.varies:
            theta = np.column_stack([theta, np.full(n, 0.3 * loss_R.std()), np.full(n, 0.35)])
        return theta

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> Evaluation:
        E, B, beta, kappa = theta_P[:4]
        sources = len(_weights(problem))
        w_L = _all_weights(problem, theta_P[4 : 4 + sources])
        log_R, by_w_RL, by_kappa_R, by_p_RL = power_mean(inputs.p_RL, w_L, kappa)
        data_R = log_R + (np.log(inputs.D_R / scale.D_UNIT) if "D" in problem.varies else 0.0)
        power_R = np.exp(-beta * data_R)
        slope_R = -beta * B * power_R
        by_weight_RL = np.delete(slope_R[:, None] * by_w_RL / w_L, [] if problem.own is None else problem.own, axis=1)
        columns = [np.ones(len(log_R)), power_R, -B * power_R * data_R, slope_R * by_kappa_R, by_weight_RL]
        loss_R = E + B * power_R
        if "N" in problem.varies:
            A, alpha = theta_P[4 + sources :]
            n_R = inputs.N_R / scale.N_UNIT
            loss_R = loss_R + A * n_R**-alpha
            columns += [n_R**-alpha, -A * n_R**-alpha * np.log(n_R)]
        return Evaluation(loss_R, np.column_stack(columns), slope_R[:, None] * by_p_RL)

    def prior(self, problem: Problem, theta_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        distance, rows = ShapleyLaw().prior(problem, theta_P)
        return distance[1:], rows[1:]  # all but the prior of γ, which this form has not


def _weights(problem: Problem) -> tuple[str, ...]:
    return tuple(f"w/{language}" for language in problem.languages if language != problem.target)


def _all_weights(problem: Problem, w: np.ndarray) -> np.ndarray:
    return w if problem.own is None else np.insert(w, problem.own, 1.0)


def _gaps(problem: Problem) -> np.ndarray:
    """φ of the target itself (or of the best source) minus φ of every other source, at least 0."""
    transfer = problem.transfer
    assert transfer is not None, "the fit checks what a law needs"
    if problem.target not in transfer.targets:
        raise BadInput(f"no transfer values of target {problem.target}", expected=", ".join(transfer.targets))
    if missing := [language for language in problem.languages if language not in transfer.sources]:
        raise BadInput(f"no transfer values from {', '.join(missing)}", expected=", ".join(transfer.sources))
    value_L = np.array([transfer[problem.target, language] for language in problem.languages])
    if problem.own is None:
        return value_L.max() - value_L
    return np.maximum(np.delete(value_L[problem.own] - value_L, problem.own), 0.0)


def _curve_prior(theta_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances of γ and κ from their priors; they stand third and fourth in θ."""
    rows = np.zeros((2, len(theta_P)))
    rows[0, 2] = 1 / GAMMA_PRIOR[1]
    rows[1, 3] = 1 / (KAPPA_PRIOR[1] * theta_P[3])
    distance = np.array(
        [(theta_P[2] - GAMMA_PRIOR[0]) / GAMMA_PRIOR[1], np.log(theta_P[3] / KAPPA_PRIOR[0]) / KAPPA_PRIOR[1]]
    )
    return distance, rows


def _slope_prior(theta_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of b, the last of θ, from its prior."""
    row = np.zeros((1, len(theta_P)))
    row[0, -1] = 1 / (SLOPE_PRIOR[1] * theta_P[-1])
    return np.array([np.log(theta_P[-1] / SLOPE_PRIOR[0]) / SLOPE_PRIOR[1]]), row
