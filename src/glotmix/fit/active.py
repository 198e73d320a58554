"""Active design: which proxies to train next, so that what is asked becomes certain soonest.

What is asked are numbers that are linear in losses (the optimum against its rivals, or Shapley values). How uncertain
they are, and how much a further run would tell of them, follows from resampled fits alone, so any law will do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from glotmix.errors import BadInput
from glotmix.fit.fit import Fit

NORMAL_95 = 1.96
LEAST_RESAMPLES = 20
"""Fewer resampled fits give covariances that are mostly chance."""


@dataclass(frozen=True)
class Question:
    """K numbers that the next runs are to make more certain, ``z_k = Σ_t Σ_q weight_ktq L_t(p_q)``."""

    p_QL: np.ndarray
    """The mixtures whose losses the numbers are made of."""
    weight_KTQ: np.ndarray
    """Weight of each loss in each number."""
    words: str
    """What the numbers are, for people."""
    N: float | None = None
    """Model size at which they are asked; None for the fit's own."""
    D: float | None = None
    """Training tokens at which they are asked; None for the fit's own."""

    def __post_init__(self) -> None:
        if self.weight_KTQ.ndim != 3 or self.weight_KTQ.shape[2] != len(self.p_QL):
            raise BadInput(f"weights of shape {self.weight_KTQ.shape}", expected=f"[K, T, {len(self.p_QL)}]")


@dataclass(frozen=True)
class Batch:
    """The runs to train next."""

    chosen: tuple[int, ...]
    """Rows of the candidates, most telling first; a row named twice is to be trained with two seeds."""
    p_BL: np.ndarray
    """Their mixtures."""
    before: float
    """Half-width of the 95 % interval of what is asked, root mean square over its numbers, as things stand."""
    after: tuple[float, ...]
    """The same as expected after the first run of the batch, the first two, …"""

    @property
    def reduction(self) -> float:
        """Share of the interval's width that the whole batch is expected to take away."""
        return 1 - self.after[-1] / self.before if self.before else 0.0


def next_batch(
    fitted: Fit,
    question: Question,
    candidates_CL: np.ndarray,
    size: int,
    *,
    cost_C: np.ndarray | None = None,
    N: float | np.ndarray | None = None,
    D: float | np.ndarray | None = None,
) -> Batch:
    """The ``size`` candidates that are expected to narrow the intervals of what is asked the most, chosen greedily.

    Over the resampled fits, ``z_kt = Σ_q weight_ktq L_t(p_q)`` and a candidate's loss ``y_ct`` vary together. Were the
    candidate trained, its loss would be measured with the variance ``r_ct = (scale_t L_t)²`` of a run, and

        Var(z_kt | y_ct) = Var(z_kt) - Cov(z_kt, y_ct)² / (Var(y_ct) + r_ct),

    whatever the outcome (Gaussian conditioning; MacKay, Information-based objective functions for active data
    selection, 1992, with the variance of what is asked in place of the parameters'). The candidate with the largest sum
    over k and t, per unit of cost, is taken; the resamples are conditioned on it (square-root filter, Whitaker & Hamill
    2002); and so on. Targets are fitted one by one, so their resamples are independent. The error of the law's form is
    not seen.

    Args:
        fitted: a law with resampled fits (``bootstrap`` of at least 20).
        question: what is to become certain.
        candidates_CL: mixtures that could be trained; each may be taken more than once.
        size: runs in the batch.
        cost_C: cost of each candidate; default all alike.
        N: model size of the candidates, one or one each; default the largest fitted to.
        D: training tokens, likewise.

    Raises:
        BadInput: too few resampled fits, no candidate, or weights for other targets than the law has.
    """
    candidates_CL = np.atleast_2d(np.asarray(candidates_CL, dtype=float))
    if not len(candidates_CL) or size < 1:
        raise BadInput(f"{size} runs of {len(candidates_CL)} candidates", expected="at least one of each")
    if question.weight_KTQ.shape[1] != len(fitted.targets):
        raise BadInput(f"weights of {question.weight_KTQ.shape[1]} targets", expected=f"{len(fitted.targets)}")
    asked = Spread.of(fitted, question, candidates_CL, N, D)
    price_C = np.ones(len(candidates_CL)) if cost_C is None else np.asarray(cost_C, dtype=float)
    before, chosen, after = asked.width, [], []
    for _ in range(size):
        best = int(np.argmax(asked.gain() / price_C))
        chosen.append(best)
        asked = asked.after(best)
        after.append(asked.width)
    return Batch(tuple(chosen), candidates_CL[chosen], before, tuple(after))


@dataclass(frozen=True)
class Spread:
    """How what is asked and what could be measured vary over the resampled fits; one entry per target."""

    asked: tuple[np.ndarray, ...]
    """``z_kt`` minus its mean, [B, K] per target."""
    measured: tuple[np.ndarray, ...]
    """``y_ct`` minus its mean, [B, C] per target."""
    noise: tuple[np.ndarray, ...]
    """Variance ``r_ct`` of a run, [C] per target."""

    @classmethod
    def of(
        cls,
        fitted: Fit,
        question: Question,
        candidates_CL: np.ndarray,
        N: float | np.ndarray | None,
        D: float | np.ndarray | None,
    ) -> Spread:
        """From the resampled fits of every target that counts."""
        asked, measured, noise = [], [], []
        fitted = replace(fitted, form=None)  # more runs do not make a law right
        at_Q = fitted.resampled(question.p_QL, question.N, question.D)
        at_C = fitted.resampled(candidates_CL, N, D)
        if len(at_C) < LEAST_RESAMPLES:
            raise BadInput(f"{len(at_C)} resampled fits", expected=f"a fit with bootstrap={LEAST_RESAMPLES} or more")
        for t, target in enumerate(fitted.targets):
            weight_KQ = question.weight_KTQ[:, t]
            at = fitted.fits[target]
            if not weight_KQ.any() or not at.usable:
                continue
            counts_Q = weight_KQ.any(axis=0)
            z_BK = at_Q[:, counts_Q, t] @ weight_KQ[:, counts_Q].T
            y_BC = at_C[:, :, t]
            finite_C = np.isfinite(y_BC).all(axis=0)
            y_BC = np.where(finite_C, y_BC, 0.0)
            asked.append(z_BK - z_BK.mean(axis=0))
            measured.append(y_BC - y_BC.mean(axis=0))
            noise.append(np.where(finite_C, at.deviation(y_BC.mean(axis=0)) ** 2, np.inf))
        return cls(tuple(asked), tuple(measured), tuple(noise))

    @property
    def width(self) -> float:
        """Half-width of the 95 % interval, root mean square over the numbers asked for."""
        if not self.asked:
            return 0.0
        variance_K = np.sum([(z_BK**2).sum(axis=0) / (len(z_BK) - 1) for z_BK in self.asked], axis=0)
        return float(NORMAL_95 * np.sqrt(variance_K.mean()))

    def gain(self) -> np.ndarray:
        """Variance that measuring each candidate takes from the numbers asked for, summed over them, [C]."""
        gain_C = np.zeros(self.measured[0].shape[1] if self.measured else 0)
        for z_BK, y_BC, r_C in zip(self.asked, self.measured, self.noise, strict=True):
            freedom = len(z_BK) - 1
            covariance_KC = z_BK.T @ y_BC / freedom
            gain_C += (covariance_KC**2).sum(axis=0) / np.maximum((y_BC**2).sum(axis=0) / freedom + r_C, 1e-300)
        return gain_C

    def after(self, candidate: int) -> Spread:
        """The same once a candidate was measured."""
        asked, measured = [], []
        for z_BK, y_BC, r_C in zip(self.asked, self.measured, self.noise, strict=True):
            y_B, r = y_BC[:, candidate], r_C[candidate]
            total = float(y_B @ y_B) / (len(y_B) - 1) + r
            if not (np.isfinite(r) and total > 0):
                asked.append(z_BK)
                measured.append(y_BC)
                continue
            # The square root of the conditioned covariance: less of y_B is taken away than from the mean.
            pull_B = y_B / ((len(y_B) - 1) * total * (1 + np.sqrt(r / total)))
            asked.append(z_BK - np.outer(pull_B, y_B @ z_BK))
            measured.append(y_BC - np.outer(pull_B, y_B @ y_BC))
        return Spread(tuple(asked), tuple(measured), self.noise)
