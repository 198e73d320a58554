"""Scale: the optimum as a function of model size and tokens, and the best way to spend a compute budget."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize_scalar

from glotmix.errors import BadInput
from glotmix.measurements import Measurements
from glotmix.mixture.mixture import Mixture
from glotmix.optimize.composite import Composite
from glotmix.optimize.constraint import Constraints
from glotmix.optimize.objective import Objective
from glotmix.optimize.optimum import Optimum
from glotmix.optimize.predictor import Predictor
from glotmix.optimize.search import search, starting_points, with_own_bests
from glotmix.optimize.solve import minimise

FLOPS = 6.0
"""Training FLOPs per parameter and token: ``C = 6 N D``."""
FAR = 4.0
"""Extrapolation beyond this multiple of the largest measured N or D is warned of strongly."""


@dataclass(frozen=True)
class Scaled:
    """The optimum at one size."""

    optimum: Optimum
    """The optimum; its N and D are those of the size."""
    warnings: tuple[str, ...]
    """Where the size goes beyond what was measured."""


@dataclass(frozen=True)
class Allocation:
    """The best model size, tokens and mixture for a compute budget."""

    N: float
    """Parameters without embeddings."""
    D: float
    """Training tokens, ``C / (6 N)``."""
    mixture: Mixture
    """Shares at that size, the epochs limit taken at that D."""
    value: float
    """The objective there."""
    warnings: tuple[str, ...]
    """Where it goes beyond what was measured, or ends at the edge of the range that was searched."""


def along(
    predictor: Predictor,
    objective: Objective,
    constraints: Constraints,
    sizes: Iterable[tuple[float, float]],
    *,
    measured: Measurements | None = None,
    seed: int = 0,
) -> tuple[Scaled, ...]:
    """The optimum at each ``(N, D)``; an epochs limit follows D.

    Raises:
        BadInput, Infeasible: as :func:`~glotmix.optimize.solve.minimise`; a D that ``max_epochs`` cannot fill.
    """
    found = []
    for N, D in sizes:
        limits = replace(constraints, D=D) if constraints.max_epochs is not None else constraints
        p_RL = None if measured is None else measured.p_RL
        optimum = minimise(predictor, objective, limits, N=N, D=D, seed=seed, measured=p_RL)
        found.append(Scaled(optimum, beyond(measured, N, D)))
    return tuple(found)


def allocate(
    predictor: Predictor,
    objective: Objective,
    constraints: Constraints,
    C: float,
    *,
    smallest: float,
    largest: float,
    measured: Measurements | None = None,
    seed: int = 0,
) -> Allocation:
    """``min_{N, p} objective(L(N, C/(6N), p))``: compute-optimal size, tokens and mixture (Chinchilla, with a mixture).

    For every N the mixture is optimised; over ``log N`` between ``smallest`` and ``largest`` a grid of nine sizes
    brackets the minimum and Brent's method ends it. An objective relative to own bests would compare each size with
    itself, so only mean and weighted objectives are accepted.

    Raises:
        BadInput: C or the range is not positive, the objective is relative, or the loss does not depend on N and D.
    """
    if not (C > 0 and 0 < smallest < largest):
        raise BadInput(f"C = {C:g}, N from {smallest:g} to {largest:g}", expected="C > 0 and 0 < smallest < largest")
    if objective.relative:
        raise BadInput(f"objective {objective.name}", where="allocate", expected="mean or weighted")

    def best(log_N: float) -> tuple[float, np.ndarray]:
        N = float(np.exp(log_N))
        D = C / (FLOPS * N)
        limits = replace(constraints, D=D) if constraints.max_epochs is not None else constraints
        composite = Composite(predictor, objective, limits, N, D)
        composite.check()
        rng = np.random.default_rng(seed)
        found = search(with_own_bests(composite, rng), starting_points(composite, 3, rng))
        return found.value, found.p_L

    grid = np.linspace(np.log(smallest), np.log(largest), 9)
    values = np.array([best(log_N)[0] for log_N in grid])
    if np.ptp(values) <= 1e-9 * abs(values[0]):
        raise BadInput("the law's losses do not depend on N and D", expected="a law fitted to runs in which they vary")
    at = int(np.argmin(values))
    ends = (grid[max(at - 1, 0)], grid[min(at + 1, 8)])
    log_N = float(minimize_scalar(lambda x: best(x)[0], bounds=ends, method="bounded", options={"xatol": 1e-3}).x)
    value, p_L = best(log_N)
    N = float(np.exp(log_N))
    warnings = beyond(measured, N, C / (FLOPS * N))
    if at in (0, 8):
        warnings += (f"the best N lies at the edge of the range from {smallest:.3g} to {largest:.3g}",)
    return Allocation(N, C / (FLOPS * N), Mixture.from_vector(constraints.languages, p_L), value, warnings)


def beyond(measured: Measurements | None, N: float, D: float) -> tuple[str, ...]:
    """Warnings for a size beyond the measured ones."""
    if measured is None:
        return ()
    found = []
    for name, value, known_R in (("N", N, measured.N_R), ("D", D, measured.D_R)):
        known_R = known_R[np.isfinite(known_R)]
        if not len(known_R):
            found.append(f"{name} = {value:.3g}, but the runs do not tell their {name}")
        elif value > known_R.max() * 1.001 or value < known_R.min() * 0.999:
            times = max(value / known_R.max(), known_R.min() / value)
            far = "far " if times > FAR else ""
            found.append(
                f"{name} = {value:.3g} lies {far}outside the measured range "
                f"{known_R.min():.3g} to {known_R.max():.3g} (by a factor of {times:.3g})"
            )
        if len(known_R) and known_R.max() < 1.01 * known_R.min():
            found.append(f"{name} was the same in all runs, so nothing was learned about it")
    return tuple(found)
