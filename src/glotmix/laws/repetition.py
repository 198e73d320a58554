"""Text that is read again: what a share is worth to a target after many passes, and laws of such shares.

Two things happen to text that is repeated. Another pass teaches less than the one before, in any language; and a model
that has read the target's own few texts too often learns them by heart, and its loss on new text rises again. Laws that
only know the first can never turn, whatever they are fitted to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glotmix.laws.atlas import saturated
from glotmix.laws.effective_share import TINY
from glotmix.laws.law import Inputs, Law, LawValue, Problem
from glotmix.laws.own_ratio import OwnRatioFloored
from glotmix.laws.priors import log_normal, normal, of_parameters
from glotmix.laws.shapley_law import ShapleyLawData
from glotmix.laws.shapley_law_joint import ShapleyLawJoint

DISCOUNT_PRIOR = (10.0, 0.7)
"""Median of R and standard deviation of ln R: 2.5 to 40 passes, among them the 15.4 of Muennighoff et al. 2023."""
TURN_PRIOR = (18.0, 0.5)
"""The same of T: 7 to 48 passes. Scarce corpora within a mixture were found to bear 15 to 20 (arXiv 2605.12715)."""
TURN_SHARE_PRIOR = (0.5, 1.5)
"""The same of T where passes are not known and it is a share: anywhere on the simplex, or beyond it."""
STEEPNESS_PRIOR = (4.0, 0.7)
"""The same of a: from hardly falling (1: what is read again neither adds nor takes) to a sharp turn."""
CAPACITY_PRIOR, ADDED_PRIOR, SIZE_PRIOR = (1.0, 2.0), (0.1, 1.5), (1.0, 1.0)
"""The same of g where it is an exponent, and where it is a loss; mean and standard deviation of n."""
COMPANY_PRIOR = (1 / 3, 0.15)
"""Mean and standard deviation of b, how much of the passes that count are those of the whole run instead of the
target's own. Read off one long tail, as ``LEFT`` (docs/methods/repetition.md)."""
LEFT = 1e-3
"""What own text is still worth in the end, as a part of what it would be worth had it not been learned by heart."""


@dataclass(frozen=True)
class Discounted:
    """What shares of repeated text are worth in shares of fresh text."""

    q_RL: np.ndarray
    """``q_l = S_R(e_l) p_l / e_l``; p itself where passes are not known."""
    by_p_RL: np.ndarray
    """dq_l/dp_l."""
    by_R_RL: np.ndarray
    """dq_l/dR; zeros where passes are not known."""


def discounted(inputs: Inputs, R: float | None) -> Discounted:
    """``S_R(e) = 1 + R (1 - exp(-(e - 1)/R))`` fresh passes for ``e = p D / U`` passes, e itself below one.

    Source: Muennighoff et al., arXiv 2305.16264, eq. 5. R is None where passes are not known.
    """
    if R is None:
        return Discounted(inputs.p_RL.copy(), np.ones_like(inputs.p_RL), np.zeros_like(inputs.p_RL))
    assert inputs.unique_RL is not None, "the fit passes unique tokens on to a law fitted with them"
    D_R1 = inputs.D_R[:, None]
    seen_RL, by_d_RL, by_rate_RL = saturated(inputs.p_RL * D_R1, inputs.unique_RL, 1 / R)
    return Discounted(seen_RL / D_R1, by_d_RL, -by_rate_RL / D_R1 / R**2)


@dataclass(frozen=True)
class Memorised:
    """How far a model has learned the target's own text by heart, ``h = s ln(1 + x^a)`` [R], with its derivatives."""

    h_R: np.ndarray
    """h."""
    by_p_RL: np.ndarray
    """By the shares."""
    by_theta_RP: np.ndarray
    """By T, a and, where they are parameters, b, g and n."""


def memorised(problem: Problem, theta: dict[str, float], inputs: Inputs) -> Memorised:
    """``x = e_t^(1-b) ē^b / T`` with passes ``e_l = p_l D / U_l`` and their mean ``ē = Σ p_l max(e_l, 1)``.

    In the company of fresh text own text is learned by heart later; ē says how fresh a run is. ``s = g (N ē / D)^n``
    where N varies, as a larger model learns more by heart and D / ē is the unique text that it has; else s is g, or 1
    without g. Where passes are not known ``x = p_t / T``.
    """
    p_RL, own = inputs.p_RL, problem.own
    assert own is not None, "a target outside the mixture has no text of its own"
    own_R = np.maximum(p_RL[:, own], TINY)
    log_x_R, by_b_R, load_R = np.log(own_R), np.zeros(len(p_RL)), np.zeros(len(p_RL))
    by_p_RL, mean_by_p_RL = np.zeros_like(p_RL), np.zeros_like(p_RL)
    by_p_RL[:, own] = 1 / own_R
    if "unique" in problem.varies:
        assert inputs.unique_RL is not None, "the fit passes unique tokens on to a law fitted with them"
        passes_RL = p_RL * inputs.D_R[:, None] / inputs.unique_RL
        mean_R = (p_RL * np.maximum(passes_RL, 1)).sum(axis=1)
        mean_by_p_RL = np.where(passes_RL > 1, 2 * passes_RL, 1.0) / mean_R[:, None]
        b, log_e_R = theta["b"], log_x_R + np.log(inputs.D_R / inputs.unique_RL[:, own])
        by_b_R = np.log(mean_R) - log_e_R
        log_x_R = log_e_R + b * by_b_R
        by_p_RL = (1 - b) * by_p_RL + b * mean_by_p_RL
        load_R = np.log(inputs.N_R * mean_R / inputs.D_R) if "n" in theta else load_R
    T, a, g, n = theta["T"], theta["a"], theta.get("g", 1.0), theta.get("n", 0.0)
    log_x_R = log_x_R - np.log(T)
    power_R = np.exp(a * log_x_R)
    s_R = g * np.exp(n * load_R)
    h_R, by_x_R = s_R * np.log1p(power_R), s_R * power_R / (1 + power_R)
    columns = {"T": -a * by_x_R / T, "a": by_x_R * log_x_R, "b": a * by_x_R * by_b_R, "g": h_R / g, "n": h_R * load_R}
    by_p_RL = (a * by_x_R)[:, None] * by_p_RL + n * h_R[:, None] * mean_by_p_RL
    return Memorised(h_R, by_p_RL, np.column_stack([columns[name] for name in columns if name in theta]))


@dataclass(frozen=True)
class Repeated(Law):
    """A law of what shares are worth after all passes; a class per law that it stands on.

    Every share counts by :func:`discounted`, the target's own times ``ε + (1 - ε) exp(-h)`` with :func:`memorised` h:
    what is learned by heart is worth nothing any more, and the loss is again that of the help of others alone. R is how
    many passes it takes until another one teaches little, T after how many the own text begins to be learned by heart,
    a how sharply, b how much the company counts. For a target outside the mixture only R is left. Where N varies, g
    and n say how many more passes a smaller model bears. All carry weak priors (module constants).
    """

    source: ClassVar[str] = "Muennighoff et al., arXiv 2305.16264, eq. 5, for the discount; the turn is ours"
    inner: ClassVar[Law]
    """The law of the shares."""
    added: ClassVar[bool] = False
    """Whether h is added to the loss instead."""

    def parameters(self, problem: Problem) -> tuple[str, ...]:
        return (*self.inner.parameters(problem), *self._names(problem))

    def bounds(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        low_P, high_P = self.inner.bounds(problem)
        least = 0.5 if "unique" in problem.varies else 0.01
        ranges = {
            "R": (0.5, 1e3),
            "T": (least, 1e3),
            "a": (0.3, 8.0),
            "b": (0.0, 1.0),
            "g": (1e-4, 1e2),
            "n": (-1.0, 4.0),
        }
        told = [ranges[name] for name in self._names(problem)]
        return np.append(low_P, [low for low, _ in told]), np.append(high_P, [high for _, high in told])

    def starts(
        self, problem: Problem, inputs: Inputs, loss_R: np.ndarray, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        theta, priors = self.inner.starts(problem, inputs, loss_R, n, rng), self._priors(problem)
        more = np.tile([priors[name][0] for name in self._names(problem)], (n, 1))
        more[1:] *= np.exp(rng.normal(0, 0.5, more[1:].shape))
        return np.hstack([theta, more])

    def usable(self, problem: Problem, inputs: Inputs) -> np.ndarray:
        return self.inner.usable(problem, inputs)

    def evaluate(self, problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> LawValue:
        names, own = self._names(problem), problem.own
        end = len(theta_P) - len(names)
        theta = dict(zip(names, theta_P[end:].tolist(), strict=True))
        worth = discounted(inputs, theta.get("R"))
        q_RL, by_p_RL, by_R_RL = worth.q_RL, worth.by_p_RL, worth.by_R_RL
        heart, fresh_R = None if own is None else memorised(problem, theta, inputs), np.zeros(0)
        if heart is not None and not self.added:
            fresh_R, kept_R = q_RL[:, own].copy(), LEFT + (1 - LEFT) * np.exp(-heart.h_R)
            for of_RL in (q_RL, by_p_RL, by_R_RL):
                of_RL[:, own] *= kept_R
        at = self.inner.evaluate(problem, theta_P[:end], Inputs(q_RL, inputs.N_R, inputs.D_R, inputs.unique_RL))
        loss_R, by_p_RL = at.loss_R, at.gradient_p_RL * by_p_RL
        columns = [at.gradient_theta_RP]
        if "R" in theta:
            columns.append((at.gradient_p_RL * by_R_RL).sum(axis=1))
        if heart is not None:
            by_h_R = np.ones(len(loss_R))
            if self.added:
                loss_R = loss_R + heart.h_R
            else:
                by_h_R = -at.gradient_p_RL[:, own] * fresh_R * (1 - LEFT) * np.exp(-heart.h_R)
            by_p_RL = by_p_RL + by_h_R[:, None] * heart.by_p_RL
            columns.append(by_h_R[:, None] * heart.by_theta_RP)
        return LawValue(loss_R, np.column_stack(columns), by_p_RL)

    def prior(self, problem: Problem, theta_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        names, priors = self._names(problem), self._priors(problem)
        end = len(theta_P) - len(names)
        told = [(normal if name in ("b", "n") else log_normal)(end + k, priors[name]) for k, name in enumerate(names)]
        distance, rows = of_parameters(theta_P, told)
        known = self.inner.prior(problem, theta_P[:end])
        if known is None:
            return distance, rows
        inner_rows = np.hstack([known[1], np.zeros((len(known[0]), len(names)))])
        return np.concatenate([known[0], distance]), np.vstack([inner_rows, rows])

    def of_own_text(self, problem: Problem) -> tuple[str, ...]:
        """Parameters that a target within the mixture has."""
        known = "unique" in problem.varies
        sized = known and "N" in problem.varies
        return ("T", "a", *(("b",) if known else ()), *(("g",) if sized or self.added else ()), *(("n",) * sized))

    def _names(self, problem: Problem) -> tuple[str, ...]:
        own = () if problem.own is None else self.of_own_text(problem)
        return (*(("R",) if "unique" in problem.varies else ()), *own)

    def _priors(self, problem: Problem) -> dict[str, tuple[float, float]]:
        return {
            "R": DISCOUNT_PRIOR,
            "T": TURN_PRIOR if "unique" in problem.varies else TURN_SHARE_PRIOR,
            "a": STEEPNESS_PRIOR,
            "b": COMPANY_PRIOR,
            "g": ADDED_PRIOR if self.added else CAPACITY_PRIOR,
            "n": SIZE_PRIOR,
        }


READ_AGAIN = "with q_l = p_l S_R(e_l)/e_l for p_l"
FALLS = f"{READ_AGAIN}, q_t times exp(-h), h = s ln(1 + (e_t^(1-b) ē^b/T)^a), e_l = p_l D/U_l"


@dataclass(frozen=True)
class ShapleyLawRepeated(Repeated):
    """ShapleyLaw over mixtures, sizes and tokens, of text that is read again (:class:`Repeated`)."""

    name: ClassVar[str] = "shapley_law_repeated"
    formula: ClassVar[str] = f"shapley_law_joint {FALLS}"
    inner: ClassVar[Law] = ShapleyLawJoint()


@dataclass(frozen=True)
class ShapleyLawDataRepeated(Repeated):
    """ShapleyLaw with effective data, of text that is read again (:class:`Repeated`)."""

    name: ClassVar[str] = "shapley_law_data_repeated"
    formula: ClassVar[str] = f"shapley_law_data {FALLS}"
    inner: ClassVar[Law] = ShapleyLawData()


@dataclass(frozen=True)
class OwnRatioRepeated(Repeated):
    """The own-ratio law with a floor, of text that is read again (:class:`Repeated`)."""

    name: ClassVar[str] = "own_ratio_repeated"
    formula: ClassVar[str] = f"own_ratio_floored {FALLS}"
    needs: ClassVar[frozenset[str]] = OwnRatioFloored.needs
    inner: ClassVar[Law] = OwnRatioFloored()


@dataclass(frozen=True)
class ShapleyLawOverfit(Repeated):
    """ShapleyLaw with effective data and a loss of overfitting, ``L = E + A N^-α + B D_eff^-β + h``.

    h is added instead of taking from the worth of the own text (:class:`Repeated`): no help of others bounds it. With
    ``s = g (N ē / D)^n`` it depends on size and passes, as in the law that arXiv 2605.12715 is quoted with.
    """

    name: ClassVar[str] = "shapley_law_overfit"
    source: ClassVar[str] = "after arXiv 2605.12715 and Muennighoff et al., arXiv 2305.16264, eq. 5; the form is ours"
    formula: ClassVar[str] = f"shapley_law_data {READ_AGAIN}, + s ln(1 + (e_t^(1-b) ē^b/T)^a), e_l = p_l D/U_l"
    inner: ClassVar[Law] = ShapleyLawData()
    added: ClassVar[bool] = True


OF_REPETITION = tuple(
    law.name for law in (ShapleyLawRepeated, ShapleyLawDataRepeated, OwnRatioRepeated, ShapleyLawOverfit)
)
"""Names of the laws in this file."""
