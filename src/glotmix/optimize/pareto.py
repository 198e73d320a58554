"""Pareto front: what one objective costs in terms of another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glotmix.errors import BadInput
from glotmix.mixture.mixture import Mixture
from glotmix.optimize.composite import Composite
from glotmix.optimize.constraint import Constraints
from glotmix.optimize.objective import Mean, Objective
from glotmix.optimize.predictor import Predictor
from glotmix.optimize.search import search, starting_points


@dataclass(frozen=True)
class FrontPoint:
    """A mixture that no allowed mixture beats in both objectives."""

    mixture: Mixture
    """Its shares."""
    first: float
    """Value of the first objective."""
    second: float
    """Value of the second objective."""
    weight: float
    """Weight of the second objective at which it was found, from 0 to 1."""


def front(
    predictor: Predictor,
    first: Objective,
    second: Objective,
    constraints: Constraints,
    *,
    N: float | None = None,
    D: float | None = None,
    points: int = 11,
    starts: int = 4,
    seed: int = 0,
) -> tuple[FrontPoint, ...]:
    """Mixtures that minimise ``(1 - λ) f/f₀ + λ g/g₀`` for λ from 0 to 1, each started from its neighbour.

    f₀ and g₀ are the objectives' own least values. Both must be sums over targets (mean, weighted, normalised), whose
    combination is a sum again; for a convex law that finds the whole front, otherwise its convex part.

    Raises:
        BadInput: an objective that is a maximum, or fewer than two points.
    """
    for objective in (first, second):
        if objective.peak:
            raise BadInput(f"objective {objective.name}", where="pareto", expected="mean, weighted or normalised")
    if points < 2:
        raise BadInput(f"{points} points", where="pareto", expected="at least 2")
    rng = np.random.default_rng(seed)
    one, two = (Composite(predictor, objective, constraints, N, D) for objective in (first, second))
    one.check()
    two.check()
    from_L = starting_points(one, starts, rng)
    least = [search(composite, from_L).value for composite in (one, two)]
    found: list[FrontPoint] = []
    for weight in np.linspace(0, 1, points):
        weights = {
            target: (1 - weight) * _slope(first, t) / least[0] + weight * _slope(second, t) / least[1]
            for t, target in enumerate(first.targets)
        }
        total = Composite(predictor, Mean(first.targets, weights), constraints, N, D)
        p_L = search(total, from_L).p_L
        centre_L = constraints.project_kl(np.ones(len(p_L)))
        from_L = [0.99 * p_L + 0.01 * centre_L, *starting_points(total, 1, rng)]
        mixture = Mixture.from_vector(constraints.languages, p_L)
        found.append(FrontPoint(mixture, one.value(p_L), two.value(p_L), float(weight)))
    return tuple(found)


def _slope(objective: Objective, t: int) -> float:
    at = np.flatnonzero(objective.members == t)
    return float(objective.slopes[at[0]]) if len(at) else 0.0
