"""What the runs do not tell about a law's parameters, in words."""

from __future__ import annotations

import numpy as np

from glotmix.fit.solve import Equations, Solution, inner
from glotmix.laws.law import Law, Problem

REDUNDANT = 1e-10
"""Eigenvalue of the scaled information, relative to the largest, below which a direction is not seen at all."""
TOLD = 0.1
"""A parameter is the prior's if the runs take away less than this share of its prior variance."""
VAGUE = 1.0
"""A parameter without a prior is vague if its standard deviation is more than this on the scale of its logarithm."""


def unclear(law: Law, problem: Problem, wanted: Equations, found: Solution) -> tuple[str, ...]:
    """One sentence per group of parameters that only their combination is known of, or that the runs hardly speak of.

    The information of the runs is ``JᵀJ / scale²`` at the fitted point, J the derivatives of ln L, and that of the
    prior its curvature; both by the fit's own variables (the logarithm of a scale). Directions in which the sum
    vanishes are redundant. Source: Raue et al., Structural and practical identifiability analysis (2009), in its local
    form.
    """
    names = law.parameters(problem)
    low_P, high_P = law.bounds(problem)
    robust = len(wanted.log_loss_R)
    _, rows_MP = wanted(inner(np.clip(found.theta_P, low_P, high_P), wanted.log_P))
    runs_PP = rows_MP[:robust].T @ rows_MP[:robust]
    prior_PP = rows_MP[robust:].T @ rows_MP[robust:]
    bound_P = (found.theta_P <= low_P) | (found.theta_P >= high_P)
    sentences = [f"{name} is at the end of its range" for name in _named(names, bound_P & ~_unit(prior_PP))]
    free = np.flatnonzero(~bound_P)
    both_PP, free_names = (runs_PP + prior_PP)[np.ix_(free, free)], [names[k] for k in free]
    size_P = np.sqrt(np.maximum(np.diag(both_PP), 1e-300))
    value_K, vector_PK = np.linalg.eigh(both_PP / np.outer(size_P, size_P))
    unseen_K = value_K < REDUNDANT * max(float(value_K.max(initial=0.0)), 1e-300)
    redundant_P = np.zeros(len(free), dtype=bool)
    value_P = np.where(wanted.log_P[free], 1.0, np.maximum(np.abs(found.theta_P[free]), 1e-12))
    for vector_P in vector_PK[:, unseen_K].T:
        # In the units of the information a parameter that hardly matters hides; in its own units it may move most.
        own_P = np.abs(vector_P / size_P / value_P)
        part_P = (np.abs(vector_P) > 0.1) | (own_P > 0.1 * own_P.max())
        redundant_P |= part_P
        together = ", ".join(_named(free_names, part_P))
        only = "only a combination of them" if part_P.sum() > 1 else "nothing of it"
        sentences.append(f"{together}: the runs tell {only}")
    seen_PK = vector_PK[:, ~unseen_K] / size_P[:, None]
    variance_P = (seen_PK**2 / value_K[~unseen_K]).sum(axis=1)
    prior_P = np.diag(prior_PP)[free]
    untold = []
    for k, name in enumerate(free_names):
        if redundant_P[k]:
            continue
        if prior_P[k] > 0 and variance_P[k] * prior_P[k] > 1 - TOLD:
            untold.append(name)
        logarithmic = wanted.log_P[free[k]]
        size = 1.0 if logarithmic else abs(found.theta_P[free[k]])
        if prior_P[k] == 0 and np.sqrt(variance_P[k]) > VAGUE * max(size, 1e-12):
            sentences.append(f"{name} is not known to within {'a factor of e' if logarithmic else 'its own size'}")
    return (*sentences, *([f"the prior alone tells {', '.join(untold)}"] if untold else []))


def _unit(prior_PP: np.ndarray) -> np.ndarray:
    """Which parameters have a prior."""
    return np.diag(prior_PP) > 0


def _named(names: list[str] | tuple[str, ...], chosen_P: np.ndarray) -> list[str]:
    return [name for name, chosen in zip(names, chosen_P, strict=True) if chosen]
