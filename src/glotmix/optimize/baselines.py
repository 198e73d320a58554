"""Baselines: what the optimum has to beat — balancing rules, the mixture in use, and the optima of other laws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from glotmix.errors import BadInput
from glotmix.mixture import balancing
from glotmix.mixture.mixture import Mixture
from glotmix.optimize.composite import Composite
from glotmix.optimize.constraint import Constraints
from glotmix.optimize.objective import Objective
from glotmix.optimize.predictor import Predictor
from glotmix.optimize.search import search, starting_points, with_own_bests

NEW_ONLY = "new_only"
"""Baseline of a model that is trained further: what joins alone, and nothing of what it has read."""
TAU = 3.33
"""Temperature of XLM-R and mT5 (α = 0.3)."""


def baselines_for(
    languages: Iterable[str],
    *,
    unique: Mapping[str, float] | None = None,
    D: float | None = None,
    current: Mapping[str, float] | None = None,
    max_epochs: float | None = None,
    tau: float = TAU,
    others: Mapping[str, Predictor] | None = None,
    objective: Objective | None = None,
    constraints: Constraints | None = None,
    joining: Iterable[str] = (),
    seed: int = 0,
) -> dict[str, Mixture]:
    """Name to mixture: "natural", "uniform", "temperature", "unimax", "current", "new_only", and one per other law.

    What cannot be formed is left out: natural and temperature need every language's unique tokens, UniMax also D and
    ``max_epochs``. A law that says nothing of a target that counts, or whose losses do not depend on the mixture, has
    no optimum to offer.

    Args:
        languages: languages of the mixture.
        unique: unique tokens U of each.
        D: training tokens of the target run.
        current: the mixture in use today.
        max_epochs: UniMax's cap.
        tau: temperature τ, ``p ∝ U^(1/τ)``.
        others: other laws; their optima are named after them.
        objective: what the other laws' optima minimise.
        constraints: the limits that they are taken under.
        joining: languages of which the model that is trained further has read nothing.
        seed: of their searches.
    """
    languages = tuple(languages)
    found = {"uniform": balancing.uniform(languages)}
    if unique and all(unique.get(language, 0) > 0 for language in languages):
        sizes = {language: float(unique[language]) for language in languages}
        found["natural"] = balancing.proportional(sizes)
        found["temperature"] = balancing.temperature(sizes, tau)
        if D is not None and max_epochs is not None and max_epochs * sum(sizes.values()) >= D:
            found["unimax"] = balancing.unimax(sizes, D, max_epochs)
    if new := [language for language in languages if language in set(joining)]:
        sizes = {language: float((unique or {}).get(language, 0)) for language in new}
        some = balancing.proportional(sizes) if min(sizes.values()) > 0 else balancing.uniform(new)
        found[NEW_ONLY] = some.over(languages)
    if current:
        found["current"] = Mixture(current, where="optimize.current").over(languages)
    if others and objective is not None and constraints is not None:
        for name, predictor in others.items():
            mixture = _optimum_of(predictor, objective, constraints, seed)
            if mixture is not None:
                found[name] = mixture
    order = ["natural", "uniform", "temperature", "unimax", "current", NEW_ONLY]
    return {name: found[name] for name in (*order, *(others or {})) if name in found}


def _optimum_of(predictor: Predictor, objective: Objective, constraints: Constraints, seed: int) -> Mixture | None:
    composite = Composite(predictor, objective, constraints)
    try:
        composite.check()
    except BadInput:
        return None
    rng = np.random.default_rng(seed)
    composite = with_own_bests(composite, rng)
    starts = starting_points(composite, 4, rng)
    if all(np.ptp(composite.slopes(p_L)) <= 1e-12 for p_L in starts):
        return None
    return Mixture.from_vector(constraints.languages, search(composite, starts).p_L)
