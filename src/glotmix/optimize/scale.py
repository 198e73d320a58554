"""Scale: the optimum as a function of model size and tokens, and the best way to spend a compute budget."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from rich.console import Group, RenderableType
from rich.text import Text
from scipy.optimize import minimize_scalar

from glotmix.errors import BadInput, Infeasible
from glotmix.estimate import Estimate
from glotmix.fit.extrapolation import Measured, beyond
from glotmix.fit.fit import Fit
from glotmix.notebook import Shown
from glotmix.optimize.composite import Composite
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.constraint import Constraints
from glotmix.optimize.objective import Objective
from glotmix.optimize.optimum import Optimum
from glotmix.optimize.predictor import Predictor
from glotmix.optimize.request import _question
from glotmix.optimize.search import search, starting_points, with_own_bests
from glotmix.optimize.solve import minimise
from glotmix.tables import by_group

FLOPS = 6.0
"""Training FLOPs per parameter and token: ``C = 6 N D``."""
GRID, FINE = 9, 33
"""Sizes at which the mixture is optimised to bracket the best one, and at which resampled fits are compared."""


@dataclass(frozen=True, repr=False)
class Scaled(Shown):
    """The optimum at one size."""

    optimum: Optimum
    """The optimum; its N and D are those of the size."""
    warnings: tuple[str, ...]
    """Where the size goes beyond what was measured."""

    def to_polars(self) -> pl.DataFrame:
        """The table of the optimum (:meth:`~glotmix.optimize.optimum.Optimum.to_polars`)."""
        return self.optimum.to_polars()


@dataclass(frozen=True, repr=False)
class Allocation(Shown):
    """The best model size, tokens and mixture for a compute budget."""

    N: Estimate
    """Parameters without embeddings; the interval is that of the best size under resampled fits."""
    D: Estimate
    """Training tokens, ``C / (6 N)``."""
    optimum: Optimum
    """The optimum at that size, the epochs limit taken at that D."""
    warnings: tuple[str, ...]
    """Where it goes beyond what was measured, or ends at the edge of the range that was searched."""

    def to_polars(self) -> pl.DataFrame:
        """The table of the optimum (:meth:`~glotmix.optimize.optimum.Optimum.to_polars`)."""
        return self.optimum.to_polars()


def along(
    predictor: Predictor,
    objective: Objective,
    constraints: Constraints,
    sizes: Iterable[tuple[float, float]],
    *,
    measured: Measured | None = None,
    seed: int = 0,
) -> tuple[Scaled, ...]:
    """The optimum at each ``(N, D)``; an epochs limit follows D.

    Raises:
        BadInput, Infeasible: as :func:`~glotmix.optimize.solve.minimise`; a D that ``max_epochs`` cannot fill.
    """
    found = []
    for N, D in sizes:
        p_RL = None if measured is None else measured.p_RL
        optimum = minimise(predictor, objective, _at(constraints, D), N=N, D=D, seed=seed, measured=p_RL)
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
    measured: Measured | None = None,
    seed: int = 0,
) -> Allocation:
    """``min_{N, p} objective(L(N, C/(6N), p))``: compute-optimal size, tokens and mixture (Chinchilla, with a mixture).

    For every N the mixture is optimised; over ``log N`` between ``smallest`` and ``largest`` a grid of nine sizes
    brackets the minimum and Brent's method ends it. The interval of N is that of the minimum under resampled fits along
    the mixtures found on the grid: near its optimum the mixture moves the value by second order only. An objective
    relative to own bests would compare each size with itself, so only mean and weighted objectives are accepted.

    Small models have many tokens to fill; sizes at which no mixture meets the limits (``max_epochs``) are left out.

    Raises:
        BadInput: C or the range is not positive, the objective is relative, or the loss does not depend on N and D.
        Infeasible: no size of the range can be filled.
    """
    if not (C > 0 and 0 < smallest < largest):
        raise BadInput(f"C = {C:g}, N from {smallest:g} to {largest:g}", expected="C > 0 and 0 < smallest < largest")
    if objective.relative:
        raise BadInput(f"objective {objective.name}", where="allocate", expected="mean or weighted")

    def best(log_N: float) -> tuple[float, np.ndarray]:
        N, D = _spent(log_N, C)
        composite = Composite(predictor, objective, _at(constraints, D), N, D)
        composite.check()
        rng = np.random.default_rng(seed)
        found = search(with_own_bests(composite, rng), starting_points(composite, 3, rng))
        return found.value, found.p_L

    least = _smallest_filled(constraints, C, np.log(smallest), np.log(largest))
    grid_G = np.linspace(least, np.log(largest), GRID)
    found = [best(log_N) for log_N in grid_G]
    value_G, p_GL = np.array([value for value, _ in found]), np.array([p_L for _, p_L in found])
    if np.ptp(value_G) <= 1e-9 * abs(value_G[0]):
        raise BadInput("the law's losses do not depend on N and D", expected="a law fitted to runs in which they vary")
    at = int(np.argmin(value_G))
    ends = (grid_G[max(at - 1, 0)], grid_G[min(at + 1, GRID - 1)])
    log_N = float(minimize_scalar(lambda x: best(x)[0], bounds=ends, method="bounded", options={"xatol": 1e-3}).x)
    N, D = _spent(log_N, C)
    low, high = _resampled_sizes(predictor, objective, C, grid_G, p_GL)
    warnings = beyond(measured, N, D)
    if at in (0, GRID - 1):
        edges = f"{float(np.exp(least)):.3g} to {largest:.3g}"
        warnings += (f"the best N lies at the edge of the range from {edges}",)
    if least > np.log(smallest):
        warnings += (
            f"below N = {float(np.exp(least)):.3g} no mixture meets the limits: the run would have more than "
            f"{_spent(least, C)[1]:.3g} tokens",
        )
    p_RL = None if measured is None else measured.p_RL
    optimum = minimise(predictor, objective, _at(constraints, D), N=N, D=D, seed=seed, measured=p_RL)
    if low is None or high is None:
        return Allocation(Estimate(N), Estimate(D), optimum, warnings)
    tokens = Estimate(D, _spent(high, C)[1], _spent(low, C)[1])
    return Allocation(Estimate(N, _spent(low, C)[0], _spent(high, C)[0]), tokens, optimum, warnings)


def _resampled_sizes(
    predictor: Predictor, objective: Objective, C: float, grid_G: np.ndarray, p_GL: np.ndarray
) -> tuple[float | None, float | None]:
    """2.5 and 97.5 % of ln N of the least objective under resampled fits; None without resamples."""
    fine_F = np.linspace(grid_G[0], grid_G[-1], FINE)
    p_FL = np.column_stack([np.interp(fine_F, grid_G, p_G) for p_G in p_GL.T])
    loss_FBT = np.array(
        [predictor.bootstrap_losses(p_L, *_spent(log_N, C)) for log_N, p_L in zip(fine_F, p_FL, strict=True)]
    )
    if not loss_FBT.shape[1]:
        return None, None
    value_FB = objective.value(loss_FBT)
    low, high = np.percentile([_lowest(fine_F, value_F) for value_F in value_FB.T], [2.5, 97.5])
    return float(low), float(high)


def _lowest(x_F: np.ndarray, y_F: np.ndarray) -> float:
    """Where the parabola through the least point and its neighbours is least."""
    k = int(np.argmin(y_F))
    if k in (0, len(x_F) - 1):
        return float(x_F[k])
    left, middle, right = y_F[k - 1 : k + 2]
    bend = left - 2 * middle + right
    return float(x_F[k] + (0.5 * (left - right) / bend * (x_F[1] - x_F[0]) if bend > 0 else 0.0))


def _smallest_filled(constraints: Constraints, C: float, low: float, high: float) -> float:
    """The least ln N from which on some mixture of the tokens ``C / (6 N)`` meets the limits.

    Raises:
        Infeasible: none up to ``high`` does; the message is that of ``high``.
    """
    if _fits(constraints, _spent(low, C)[1]):
        return low
    _at(constraints, _spent(high, C)[1])  # raises where not even the fewest tokens can be filled
    while high - low > 1e-3:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if _fits(constraints, _spent(middle, C)[1]) else (middle, high)
    return high


def _fits(constraints: Constraints, D: float) -> bool:
    """Whether some mixture meets the limits of a run of D tokens."""
    try:
        _at(constraints, D)
    except Infeasible:
        return False
    return True


def _spent(log_N: float, C: float) -> tuple[float, float]:
    """N and the D that is left of the budget."""
    N = float(np.exp(log_N))
    return N, C / (FLOPS * N)


def _at(constraints: Constraints, D: float) -> Constraints:
    """The limits of a run of D tokens."""
    return replace(constraints, D=D) if constraints.max_epochs is not None else constraints


@dataclass(frozen=True)
class Unfilled:
    """A size at which no mixture meets the limits."""

    N: float
    """Parameters."""
    D: float
    """Training tokens."""
    why: str
    """The limits in conflict."""


@dataclass(frozen=True, repr=False)
class Scaling(Shown):
    """The optimum at several sizes, and the best way to spend a budget."""

    sizes: tuple[Scaled, ...]
    """The optimum at each size asked for that some mixture can fill."""
    best: Allocation | None
    """The compute-optimal size, tokens and mixture; None where no budget was given."""
    unfilled: tuple[Unfilled, ...] = ()
    """Sizes asked for at which no mixture meets the limits."""

    def table(self) -> RenderableType:
        """One row per size, the best one last."""
        return scaling_table(self)

    def to_polars(self) -> pl.DataFrame:
        """One row per size, the best one last: ``N`` (parameters without embeddings), ``D`` (training tokens), ``best``
        (whether it is the compute-optimal size), and of the optimum there ``p/<language>``, ``objective``,
        ``objective/low``, ``objective/high``, ``loss/<target>``, ``loss/<target>/low``, ``loss/<target>/high``."""
        found = [(one.optimum, False) for one in self.sizes]
        found += [] if self.best is None else [(self.best.optimum, True)]
        told = {
            "N": [optimum.N for optimum, _ in found],
            "D": [optimum.D for optimum, _ in found],
            "best": [best for _, best in found],
        }
        rows = [optimum.to_polars().head(1).select(pl.exclude("name", "^gain.*$")) for optimum, _ in found]
        return pl.concat([pl.DataFrame(told), pl.concat(rows, how="diagonal")], how="horizontal")

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        best = self.best
        return {
            "sizes": [{"optimum": one.optimum.to_json(), "warnings": list(one.warnings)} for one in self.sizes],
            "best": None
            if best is None
            else {
                "N": best.N.to_json(),
                "D": best.D.to_json(),
                "optimum": best.optimum.to_json(),
                "warnings": list(best.warnings),
            },
            "infeasible": [{"N": one.N, "D": one.D, "why": one.why} for one in self.unfilled],
        }


def scaling_of(
    fitted: Fit,
    config: OptimizeConfig,
    *,
    unique: Mapping[str, float] | None = None,
    sizes: Sequence[tuple[float, float]] = (),
    C: float | None = None,
) -> Scaling:
    """The optimum at every ``(N, D)``, and the compute-optimal ``(N, D, p)`` of a budget of C FLOPs.

    The best N is sought between the least that was measured and one token per parameter.

    Raises:
        BadInput: neither sizes nor a budget, a budget for a law that knows no N, or whatever :func:`optimum_of` raises.
        Infeasible: nothing of what was asked can be filled; what can be is told, beside the reasons of the others.
    """
    if not sizes and C is None:
        raise BadInput("no size and no budget", expected="--at N:D, --compute C, or both")
    aim, limits, known = _question(fitted, config, unique, D=1.0)  # of no run in particular: any corpus fills one token
    fitted = fitted.with_unique(known)
    climbed: list[Scaled] = []
    unfilled: list[Unfilled] = []
    for N, D in sizes:
        try:
            climbed.extend(along(fitted, aim, limits, [(N, D)], measured=fitted.measured))
        except Infeasible as error:
            unfilled.append(Unfilled(N, D, str(error)))
    if unfilled and not climbed and C is None:
        raise Infeasible("; ".join(f"N = {one.N:g}, D = {one.D:g}: {one.why}" for one in unfilled), where="--at")
    best = None
    if C is not None:
        known_R = np.array([]) if fitted.measured is None else fitted.measured.N_R[np.isfinite(fitted.measured.N_R)]
        largest = math.sqrt(C / FLOPS)
        smallest = float(known_R.min()) if len(known_R) else largest / 1e4
        best = allocate(
            fitted, aim, limits, C, smallest=min(smallest, largest / 10), largest=largest, measured=fitted.measured
        )
    return Scaling(tuple(climbed), best, tuple(unfilled))


def scaling_table(climb: Scaling) -> RenderableType:
    """Sizes, the best one last; then every group's share at each, with the range in which the law cannot tell it."""
    rows = [("", Estimate(o.optimum.N or 0.0), Estimate(o.optimum.D or 0.0), o.optimum) for o in climb.sizes]
    if climb.best is not None:
        rows.append(("best", climb.best.N, climb.best.D, climb.best.optimum))
    labels = [label or f"size {i + 1}" for i, (label, *_) in enumerate(rows)]
    sizes = by_group(
        f"Optimum of the {rows[0][3].aim.name}, with 95 % intervals",
        labels,
        [
            ("N", [_within(N) for _, N, _, _ in rows]),
            ("D", [_within(D) for _, _, D, _ in rows]),
            ("6 N D", [f"{FLOPS * N.value * D.value:.3g}" for _, N, D, _ in rows]),
            ("objective", [_within(optimum.objective, ".4g") for *_, optimum in rows]),
        ],
    )
    groups = list(rows[0][3].mixture)
    columns = [(label, [_share(row[3], group) for group in groups]) for label, row in zip(labels, rows, strict=True)]
    shares = by_group("Shares in %, and the range in which the law cannot tell them", groups, columns)
    every = [warning for one in climb.sizes for warning in one.warnings]
    every += [] if climb.best is None else climb.best.warnings
    every += [f"N = {one.N:g}, D = {one.D:g} is left out: {one.why}" for one in climb.unfilled]
    return Group(*sizes, *shares, *(Text(warning) for warning in dict.fromkeys(every)))


def _share(optimum: Optimum, group: str) -> str:
    low, high = (optimum.spread or {}).get(group, (None, None))
    told = f"{100 * optimum.mixture[group]:.1f}"
    return told if low is None or high is None else f"{told} [{100 * low:.1f}, {100 * high:.1f}]"


def _within(estimate: Estimate, form: str = ".3g") -> str:
    if estimate.low is None or estimate.high is None:
        return format(estimate.value, form)
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"
