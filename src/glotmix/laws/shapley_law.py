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
from glotmix.laws.effective_share import EffectiveShare, box_cox, effective_share
from glotmix.laws.law import Inputs, Law, LawValue, Problem
from glotmix.laws.priors import Told, log_normal, normal, priors_of

GAMMA_PRIOR = (0.14, 0.08)
"""Mean and standard deviation of γ. This prior and the next two are where the targets of four tables lie (man pages in
three seeds, and translation; benchmarks/priors.py prints them). RegMix, on which the law is judged, is none of them."""
KAPPA_PRIOR = (0.69, 0.2)
"""Median of κ and standard deviation of ln κ."""
NU_PRIOR = (0.55, 0.2)
"""Median of ν and standard deviation of ln ν."""
WEIGHT_PRIOR = (0.005, 4.0)
"""Median of a weight and standard deviation of ln w when nothing is known of transfer: from useless to a twin."""
VALUE_SPREAD = 1.0
"""Standard deviation of ln w around what the Shapley values say, where they are a prior."""
HARM_SPREAD = 1.0
"""Standard deviation of a signed weight: text of one other language alone takes an e-fold of the effective share, or
adds one."""
SLOPE_PRIOR = (0.3, 2.0)
"""Median of b and standard deviation of ln b: wide enough for losses in bits per byte and in nats per token."""
EXPONENT_PRIOR = (0.35, 0.5)
"""Median of α and of β and standard deviation of their logarithms: between 0.13 and 0.95. Published fits lie near the
median (0.34 and 0.28 in Hoffmann et al. 2022, 0.35 in Muennighoff et al. 2023); two or three sizes cannot tell an
exponent from a floor."""


@dataclass(frozen=True)
class ShapleyLaw(Law):
    """``L_t = s(N, D) (1 + c (p̃_t^-γ - 1)/γ)`` with the effective share ``p̃_t = (p_t^ν + h_t^ν)^(1/ν)`` of the own text
    and the help ``h_t = (Σ_{l≠t} (w_l p_l)^κ)^(1/κ)`` of the others.

    ``s = E + A N^-α + B D^-β`` (the terms that vary) is the loss of training on the target alone; ``c s`` is what an
    e-fold of effective share is worth; γ bends the curve (0: linear in ln p̃); w is the exchange rate, how many tokens
    of the target one token of l replaces; κ and ν below 1 make a mixture of helpers better than the best of them. He et
    al. is the case w = 0, c = γ. Finite at p_t = 0 as long as anything transfers. For a target outside the mixture
    p̃ = h, and s is the loss at p̃ = 1.

    γ, κ, ν, w, α and β carry weak priors (module constants), without which a table of 15 coalitions cannot tell them
    all; with hundreds of runs they no longer matter.
    """

    name: ClassVar[str] = "shapley_law"
    each_its_own: ClassVar[bool] = True
    source: ClassVar[str] = "after ShapleyLaw, arXiv 2603.17945; the form is ours; weights free"
    formula: ClassVar[str] = (
        "L_t = (E + A N^-α + B D^-β) (1 + c (p̃^-γ - 1)/γ), p̃ = (p_t^ν + h^ν)^(1/ν), h = (Σ_{l≠t} (w_l p_l)^κ)^(1/κ)"
    )

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        return ("E", "c", "γ", *_share_names(problem), *scale.names(problem))

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        low, high = scale.bounds(problem)
        low_share, high_share = _share_bounds(problem)
        low_P = np.array([0.0 if low else 1e-6, 1e-4, -1.0, *low_share, *low])
        return low_P, np.array([np.inf, 10.0, 2.0, *high_share, *high])

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        theta = np.tile([loss_R.min(), 0.15, GAMMA_PRIOR[0]], (n, 1))
        theta[1:, 1] *= np.exp(rng.normal(0, 0.5, n - 1))
        return np.hstack([theta, _share_starts(problem, n, rng), scale.starts(problem, float(loss_R.std()), n, rng)])

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        return self._at(problem, theta_P, inputs)[0]

    def _at(
        self, problem: Problem, theta_P: np.ndarray, inputs: Inputs, harm_R: np.ndarray | float = 0.0
    ) -> tuple[LawValue, np.ndarray]:
        """The law where ln p̃ is less by ``harm_R``, and dL / d ln p̃."""
        E, c, gamma = theta_P.T[:3]
        end = 3 + _share_size(problem)
        share = _share(problem, theta_P[..., 3:end], inputs)
        rest_R, rest_RP = scale.terms(problem, theta_P[..., end:], inputs)
        curve_R, by_log_R, by_gamma_R = box_cox(share.log_R - harm_R, gamma)
        s_R, shape_R = E + rest_R, 1 + c * curve_R
        slope_R = s_R * c * by_log_R

        def by_theta() -> np.ndarray:
            return np.column_stack(
                [
                    shape_R,
                    s_R * curve_R,
                    s_R * c * by_gamma_R,
                    slope_R[:, None] * _share_columns(problem, theta_P[3:end], share),
                    rest_RP * shape_R[:, None],
                ]
            )

        return LawValue(s_R * shape_R, by_theta, lambda: slope_R[:, None] * share.by_p()), slope_R

    def known(self, problem: Problem) -> list[Told]:
        """Priors of single parameters."""
        at = {name: i for i, name in enumerate(self.parameters(problem))}
        told = [normal(at["γ"], GAMMA_PRIOR), *_exponent_priors(at), *_size_priors(at)]
        return told + [log_normal(at[name], WEIGHT_PRIOR) for name in at if name.startswith("w/")]

    def prior(self, problem: Problem, theta_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return priors_of(self, problem).at(theta_P)


@dataclass(frozen=True)
class ShapleyLawPrior(ShapleyLaw):
    """ShapleyLaw in which the Shapley values are the prior of the weights: ``ln w_l ~ N(-(φ_t - φ_l)/b, 1)``.

    A share moved from the target to source l costs the target ``φ_{t→t} - φ_{l→t}`` in the game and ``b ln(1/w_l)`` in
    the law, where b is the loss per e-fold; so the values say what the weights are up to b, which is fitted. For a
    target outside the mixture the best source takes the target's place.
    """

    spread: float = VALUE_SPREAD
    """Standard deviation of ln w around what the values say: the smaller, the more they count."""

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

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        at = super().evaluate(problem, theta_P[..., :-1], inputs)

        def by_theta() -> np.ndarray:
            return np.column_stack([at.gradient_theta_RP, np.zeros(len(at.loss_R))])

        return LawValue(at.loss_R, by_theta, at.by_p)

    def known(self, problem: Problem) -> list[Told]:
        at = {name: i for i, name in enumerate(self.parameters(problem))}
        told = [normal(at["γ"], GAMMA_PRIOR), *_exponent_priors(at), *_size_priors(at)]
        return [*told, log_normal(at["b"], SLOPE_PRIOR)]

    def prior(self, problem: Problem, theta_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at = {name: i for i, name in enumerate(self.parameters(problem))}
        distance, rows = priors_of(self, problem).at(theta_P)
        gap_S, b = _gaps(problem), theta_P[-1]
        w = np.array([i for name, i in at.items() if name.startswith("w/")], dtype=int)
        around = (np.log(theta_P[w]) + gap_S / b) / self.spread
        around_rows = np.zeros((len(w), len(theta_P)))
        around_rows[np.arange(len(w)), w] = 1 / (self.spread * theta_P[w])
        around_rows[:, -1] = -gap_S / b**2 / self.spread
        return np.concatenate([distance, around]), np.vstack([rows, around_rows])


@dataclass(frozen=True)
class ShapleyLawFixed(Law):
    """ShapleyLaw in which the Shapley values fix the weights, ``w_l = exp(-(φ_t - φ_l)/b)``; only b is fitted.

    Six parameters whatever the number of languages: the law for tables too small to fit weights to.
    """

    name: ClassVar[str] = "shapley_law_fixed"
    source: ClassVar[str] = "after ShapleyLaw, arXiv 2603.17945; the form is ours; w fixed by the Shapley values"
    formula: ClassVar[str] = ShapleyLaw.formula + ", w_l = exp(-(φ_t - φ_l)/b)"
    needs: ClassVar[frozenset[str]] = frozenset({"transfer"})

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        names = ShapleyLaw().parameters(problem)
        return (*[name for name in names if not name.startswith("w/")], "b")

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

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        keep, b, gap_L = self._kept(problem), theta_P[-1], _gaps(problem)
        inner_P = np.empty(len(keep))
        inner_P[keep] = theta_P[:-1]
        inner_P[~keep] = np.exp(np.maximum(-gap_L / b, -60))
        at = ShapleyLaw().evaluate(problem, inner_P, inputs)
        by_b_R = at.gradient_theta_RP[:, ~keep] @ (inner_P[~keep] * gap_L / b**2)
        return LawValue(at.loss_R, np.column_stack([at.gradient_theta_RP[:, keep], by_b_R]), at.by_p)

    def known(self, problem: Problem) -> list[Told]:
        """Priors of single parameters."""
        at = {name: i for i, name in enumerate(self.parameters(problem))}
        told = [normal(at["γ"], GAMMA_PRIOR), *_exponent_priors(at), *_size_priors(at)]
        return [*told, log_normal(at["b"], SLOPE_PRIOR)]

    def prior(self, problem: Problem, theta_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return priors_of(self, problem).at(theta_P)

    def _kept(self, problem: Problem) -> np.ndarray:
        return np.array([not name.startswith("w/") for name in ShapleyLaw().parameters(problem)])


@dataclass(frozen=True)
class ShapleyLawSigned(ShapleyLaw):
    """ShapleyLaw that allows interference: ``ln p̃`` falls by ``Σ_{l≠t} v_l p_l``, v of either sign.

    Shares are at most 1, so the effective share is never less than ``e^-v`` of what it would be without harm, and
    losses stay finite.
    """

    name: ClassVar[str] = "shapley_law_signed"
    source: ClassVar[str] = "after ShapleyLaw, arXiv 2603.17945; the form is ours; interference allowed"
    formula: ClassVar[str] = ShapleyLaw.formula + ", p̃ times exp(-Σ_{l≠t} v_l p_l)"
    each_its_own: ClassVar[bool] = False

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        return (*super().parameters(problem), *[f"v/{name}" for name in problem.languages if name != problem.target])

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        low_P, high_P = super().bounds(problem)
        harm = len(self.parameters(problem)) - len(low_P)
        return np.append(low_P, [-10.0] * harm), np.append(high_P, [10.0] * harm)

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        theta = super().starts(problem, inputs, loss_R, n, rng)
        return np.hstack([theta, np.zeros((n, len(self.parameters(problem)) - theta.shape[1]))])

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        before = len(super().parameters(problem))
        other_RS = inputs.p_RL if problem.own is None else np.delete(inputs.p_RL, problem.own, axis=1)
        at, slope_R = self._at(problem, theta_P[:before], inputs, other_RS @ theta_P[before:])
        harm_L = theta_P[before:] if problem.own is None else np.insert(theta_P[before:], problem.own, 0.0)
        columns = np.column_stack([at.gradient_theta_RP, -slope_R[:, None] * other_RS])
        return LawValue(at.loss_R, columns, lambda: at.gradient_p_RL - slope_R[:, None] * harm_L)

    def known(self, problem: Problem) -> list[Told]:
        at = {name: i for i, name in enumerate(self.parameters(problem))}
        return super().known(problem) + [normal(at[name], (0.0, HARM_SPREAD)) for name in at if name.startswith("v/")]


@dataclass(frozen=True)
class ShapleyLawData(Law):
    """``L_t = E + A N^-α + B (p̃_t D)^-β``: the effective share enters through effective data, as in ATLAS.

    p̃ as in :class:`ShapleyLaw`, weights free. Additive: the mixture never touches what the model's size leaves over.
    Where D does not vary, B holds its power.
    """

    name: ClassVar[str] = "shapley_law_data"
    source: ClassVar[str] = "after ShapleyLaw, arXiv 2603.17945, and ATLAS, arXiv 2510.22037; the form is ours"
    each_its_own: ClassVar[bool] = True
    formula: ClassVar[str] = "L_t = E + A N^-α + B (p̃ D)^-β, p̃ = (p_t^ν + h^ν)^(1/ν), h = (Σ_{l≠t} (w_l p_l)^κ)^(1/κ)"

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        size = ("A", "α") if "N" in problem.varies else ()
        return ("E", "B", "β", *_share_names(problem), *size)

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        low_share, high_share = _share_bounds(problem)
        size = "N" in problem.varies
        low_P = np.array([0.0, 1e-6, 0.005, *low_share] + [0.0, 0.01] * size)
        return low_P, np.array([np.inf, 1e3, 3.0, *high_share] + [1e3, 3.0] * size)

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        theta = np.tile([0.3 * loss_R.min(), 0.7 * loss_R.min(), 0.2], (n, 1))
        theta[1:, 0] *= rng.uniform(0, 2, n - 1)
        theta = np.hstack([theta, _share_starts(problem, n, rng)])
        if "N" in problem.varies:
            theta = np.column_stack([theta, np.full(n, 0.3 * loss_R.std()), np.full(n, 0.35)])
        return theta

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        E, B, beta = theta_P.T[:3]
        end = 3 + _share_size(problem)
        share = _share(problem, theta_P[..., 3:end], inputs)
        data_R = share.log_R + (np.log(inputs.D_R / scale.D_UNIT) if "D" in problem.varies else 0.0)
        power_R = np.exp(-beta * data_R)
        slope_R = -beta * B * power_R
        loss_R, size_columns = E + B * power_R, []
        if "N" in problem.varies:
            A, alpha = theta_P.T[end:]
            n_R = inputs.N_R / scale.N_UNIT
            loss_R = loss_R + A * n_R**-alpha
            size_columns = [n_R**-alpha, -A * n_R**-alpha * np.log(n_R)]

        def by_theta() -> np.ndarray:
            share_RS = slope_R[:, None] * _share_columns(problem, theta_P[3:end], share)
            columns = [np.ones(len(loss_R)), power_R, -B * power_R * data_R, share_RS, *size_columns]
            return np.column_stack(columns)

        return LawValue(loss_R, by_theta, lambda: slope_R[:, None] * share.by_p())

    def known(self, problem: Problem) -> list[Told]:
        """Priors of single parameters."""
        at = {name: i for i, name in enumerate(self.parameters(problem))}
        told = [*_exponent_priors(at), *[log_normal(at[name], WEIGHT_PRIOR) for name in at if name.startswith("w/")]]
        # Where D does not vary, β bends the curve over mixtures, of which the published exponents say nothing.
        return told + _size_priors({k: i for k, i in at.items() if k != "β" or "D" in problem.varies})

    def prior(self, problem: Problem, theta_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return priors_of(self, problem).at(theta_P)


def _share_names(problem: Problem) -> tuple[str, ...]:
    """``κ``, ``ν`` for a target in the mixture, and the weight of every other language."""
    sources = [language for language in problem.languages if language != problem.target]
    return ("κ", *(("ν",) if problem.own is not None else ()), *[f"w/{language}" for language in sources])


def _share_size(problem: Problem) -> int:
    """How many parameters these are."""
    return 1 + len(problem.languages)


def _share_bounds(problem: Problem) -> tuple[list[float], list[float]]:
    exponents = 1 if problem.own is None else 2
    sources = len(_share_names(problem)) - exponents
    return [0.05] * exponents + [1e-10] * sources, [3.0] * exponents + [1e3] * sources


def _share_starts(problem: Problem, n: int, rng: np.random.Generator) -> np.ndarray:
    exponents = [KAPPA_PRIOR[0]] if problem.own is None else [KAPPA_PRIOR[0], NU_PRIOR[0]]
    sources = len(_share_names(problem)) - len(exponents)
    theta = np.tile([*exponents, *[0.3 if problem.own is None else 1e-3] * sources], (n, 1))
    theta[1:, len(exponents) :] *= np.exp(rng.normal(0, 1.5, (n - 1, sources)))
    return theta


def _share(problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> EffectiveShare:
    if problem.own is None:
        return effective_share(inputs, None, theta_P[..., 1:], theta_P[..., 0], 1.0)
    return effective_share(inputs, problem.own, theta_P[..., 2:], theta_P[..., 0], theta_P[..., 1])


def _share_columns(problem: Problem, theta_P: np.ndarray, share: EffectiveShare) -> np.ndarray:
    """d ln p̃ by the parameters of :func:`_share_names`."""
    exponents = [share.by_kappa_R] if problem.own is None else [share.by_kappa_R, share.by_nu_R]
    return np.column_stack([*exponents, share.by_weight_RS / theta_P[len(exponents) :]])


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
        return np.asarray(value_L.max() - value_L)
    return np.asarray(np.maximum(np.delete(value_L[problem.own] - value_L, problem.own), 0.0))


def _exponent_priors(at: dict[str, int]) -> list[Told]:
    return [log_normal(at[name], prior) for name, prior in (("κ", KAPPA_PRIOR), ("ν", NU_PRIOR)) if name in at]


def _size_priors(at: dict[str, int]) -> list[Told]:
    return [log_normal(at[name], EXPONENT_PRIOR) for name in ("α", "β") if name in at]
