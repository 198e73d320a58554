"""What is uncertain about an optimum, as a question that further runs can answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from glotmix.fit.active import Question
from glotmix.fit.fit import Fit
from glotmix.mixture.mixture import Mixture
from glotmix.optimize import uncertainty
from glotmix.optimize.composite import Composite
from glotmix.optimize.constraint import Constraints
from glotmix.optimize.objective import Objective
from glotmix.optimize.search import with_own_bests


@dataclass(frozen=True)
class OptimumUncertainty:
    """How far the runs so far have settled the optimum."""

    question: Question
    """By how much the objective of every rival exceeds that of the optimum."""
    value: float
    """Objective of the optimum on the full fit."""
    regret: float
    """What the objective is expected to lose because this fit chose and not the truth: mean over resampled fits of
    what each would have gained by choosing itself."""
    most: float
    """The 95 % quantile of the same."""


def standing(
    fitted: Fit,
    objective: Objective,
    constraints: Constraints,
    mixture: Mapping[str, float],
    *,
    N: float | None = None,
    D: float | None = None,
    resamples: int = 24,
    seed: int = 0,
) -> OptimumUncertainty:
    """Rivals of an optimum are the mixtures that resampled fits choose; the question is how far each lies behind it.

    A difference of objectives is a weighted sum of differences of losses, ``Σ_t a_t (L_t(rival) - L_t(optimum))``. For
    a maximum (worst, regret, quantile) ``a_t`` is that of the sum times the share of resampled fits in which t decides.

    Args:
        fitted: a law with resampled fits.
        objective: what is made small.
        constraints: the limits.
        mixture: the optimum on ``fitted``.
        N: model size of the target; default the fit's own.
        D: its training tokens; default the fit's own.
        resamples: how many resampled fits choose again.
        seed: of the search for own bests, for relative objectives.
    """
    p_L = Mixture(mixture).over(constraints.languages).vector(constraints.languages)
    plain = Composite(fitted, objective, constraints, N, D)
    composite = with_own_bests(plain, np.random.default_rng(seed))
    chosen = uncertainty.choose_again(composite, p_L, resamples)
    rivals_KL = np.empty((0, len(p_L))) if chosen is None else chosen.p_CL
    weight_T = _weights(composite, fitted.resampled(p_L, N, D)[:, 0])
    K = len(rivals_KL)
    weight_KTQ = np.zeros((K, len(fitted.targets), K + 1))
    weight_KTQ[np.arange(K), :, np.arange(1, K + 1)] = weight_T
    weight_KTQ[:, :, 0] = -weight_T
    question = Question(np.vstack([p_L, rivals_KL]), weight_KTQ, "the optimum against its rivals", N, D)
    lost_K = np.zeros(1) if chosen is None else np.maximum(chosen.here_C - chosen.claimed_C, 0.0)
    value = composite.value(p_L) - composite.penalty(p_L)[0]
    return OptimumUncertainty(question, value, float(lost_K.mean()), float(np.quantile(lost_K, uncertainty.COVERAGE)))


def _weights(composite: Composite, loss_BT: np.ndarray) -> np.ndarray:
    """How much each target's loss moves the objective at the optimum, [T], on average over resampled fits."""
    aim = composite.objective
    weight_T = np.zeros(loss_BT.shape[1])
    if not aim.peak:
        weight_T[aim.members] = aim.slopes
        return weight_T
    for x_M in aim.scaled(loss_BT):
        deciding = int(np.argmax(np.where(aim.subset(x_M), x_M, -np.inf)))
        weight_T[aim.members[deciding]] += aim.slopes[deciding] / len(loss_BT)
    return weight_T
