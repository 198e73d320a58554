"""How often a language may be read in the target run: what the study says, what the law judges, or an assumption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from glotmix.errors import BadInput
from glotmix.fit.fit import Fit
from glotmix.laws.repetition import Repeated
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.constraint import Constraints, constraints_from
from glotmix.wording import rounded_up

ASSUMED = 4.0
"""Passes up to which repeated text is worth nearly as much as fresh text (Muennighoff et al., arXiv 2305.16264)."""
NEAR = 1e-4
"""By how much the fewest passes are rounded up, so that the tolerance of the solver leaves a mixture."""


@dataclass(frozen=True)
class Passes:
    """The limit on passes over a language's text."""

    limits: OptimizeConfig
    """The section with ``max_epochs`` as a number or None."""
    sized: float
    """The number that UniMax takes where there is no limit."""
    words: str
    """Where the limit comes from, in a sentence; "" where the study says it."""


def passes_for(
    config: OptimizeConfig, fitted: Fit | None, languages: Sequence[str], *, unique: Mapping[str, float], D: float
) -> Passes:
    """What ``max_epochs`` is under a fitted law.

    ``auto`` is no limit where the law knows repetition (its own text may become worth less again) and was fitted to
    runs that read a language more than ``ASSUMED`` times. Else it is ``ASSUMED``, or the fewest passes that leave any
    mixture where that is more. UniMax, which needs a number, takes the same.

    Args:
        config: the section ``optimize``.
        fitted: the law that the optimum is taken on; None: one that knows nothing of repetition.
        languages: those whose share is sought.
        unique: unique tokens of each.
        D: training tokens of the target run.
    """
    said = config.max_epochs
    if not isinstance(said, str):
        return Passes(config, _assumed(config, languages, unique, D) if said is None else said, "")
    most = _assumed(config, languages, unique, D)
    if fitted is not None and _judges(fitted):
        words = f"How often a language is read is the judgement of {fitted.law.name}, which knows repetition"
        return Passes(config.model_copy(update={"max_epochs": None}), most, words)
    why = "4 passes leave no mixture" if most > ASSUMED else "the law knows no repetition, or has not seen it"
    words = (
        f"At most {most:.3g} passes over a language's text is an assumption ({why}); optimize.max_epochs sets another"
    )
    return Passes(config.model_copy(update={"max_epochs": most}), most, words)


def least_passes(
    config: OptimizeConfig, languages: Sequence[str], unique: Mapping[str, float], D: float
) -> float | None:
    """The fewest passes that leave some mixture within all other limits, to a tenth of a percent; None if none do."""

    def allowed(epochs: float | None) -> Constraints | None:
        try:
            return constraints_from(config.model_copy(update={"max_epochs": epochs}), languages, unique=unique, D=D)
        except BadInput:
            return None

    if (limits := allowed(None)) is None:
        return None
    unique_L = np.array([unique[language] for language in languages])
    equal = D / float(unique_L.sum())  # passes over everything alike
    found = _least_by_program(limits, unique_L)
    if found is not None and allowed(found * equal):
        return found * equal
    # A language of a billionth of all tokens is lost in the tolerance of the program, and not in that of the limits.
    high = D / float(unique_L.min())  # no language is held back any more
    low = equal * (1 - NEAR)
    while high > low * (1 + NEAR):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if allowed(middle) else (middle, high)
    return high


def _least_by_program(limits: Constraints, unique_L: np.ndarray) -> float | None:
    """``min t`` with ``p_l ≤ t U_l / ΣU``, rounded up: t times as many passes as equal ones over everything."""
    program, L = limits.linear_program(), len(unique_L)
    passes = np.hstack([np.eye(L), -unique_L[:, None] / unique_L.sum()])
    others = np.zeros((0, L)) if program["A_ub"] is None else program["A_ub"]
    program["A_ub"] = np.vstack([np.hstack([others, np.zeros((len(others), 1))]), passes])
    program["b_ub"] = np.append(program["b_ub"] if len(others) else [], np.zeros(L))
    program["A_eq"] = np.hstack([program["A_eq"], np.zeros((len(program["A_eq"]), 1))])
    program["bounds"] = np.vstack([program["bounds"], [0, np.inf]])
    found = linprog(np.eye(L + 1)[L], **program)
    return float(found.fun) * (1 + NEAR) if found.status == 0 else None


def _assumed(config: OptimizeConfig, languages: Sequence[str], unique: Mapping[str, float], D: float) -> float:
    least = least_passes(config, languages, unique, D)
    return ASSUMED if least is None or least <= ASSUMED else rounded_up(least)


def _judges(fitted: Fit) -> bool:
    runs = fitted.measured
    if not isinstance(fitted.law.inside, Repeated) or runs is None or fitted.unique_L is None:
        return False
    return bool((runs.p_RL * runs.D_R[:, None] > ASSUMED * fitted.unique_L).any())
