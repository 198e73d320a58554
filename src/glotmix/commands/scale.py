"""`glotmix scale`: the optimum as a function of size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from glotmix.commands.optimize import _question
from glotmix.errors import BadInput
from glotmix.fit.fit import Fit
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.optimum import Estimate
from glotmix.optimize.scale import FLOPS, Climb, allocate, along


def climb_of(
    fitted: Fit,
    config: OptimizeConfig,
    *,
    unique: Mapping[str, float] | None = None,
    sizes: Sequence[tuple[float, float]] = (),
    C: float | None = None,
) -> Climb:
    """The optimum at every ``(N, D)``, and the compute-optimal ``(N, D, p)`` of a budget of C FLOPs.

    The best N is sought between the least that was measured and one token per parameter.

    Raises:
        BadInput: neither sizes nor a budget, a budget for a law that knows no N, or whatever :func:`optimum_of` raises.
    """
    if not sizes and C is None:
        raise BadInput("no size and no budget", expected="--at N:D, --compute C, or both")
    aim, limits, _ = _question(fitted, config, unique, max([D for _, D in sizes], default=1.0))
    climbed = along(fitted, aim, limits, sizes, measured=fitted.measured)
    best = None
    if C is not None:
        known_R = np.array([]) if fitted.measured is None else fitted.measured.N_R[np.isfinite(fitted.measured.N_R)]
        largest = math.sqrt(C / FLOPS)
        smallest = float(known_R.min()) if len(known_R) else largest / 1e4
        best = allocate(
            fitted, aim, limits, C, smallest=min(smallest, largest / 10), largest=largest, measured=fitted.measured
        )
    return Climb(climbed, best)


def climb_table(climb: Climb) -> RenderableType:
    """One row per size, the best one last; every share with the range in which the law cannot tell it."""
    rows = [("", Estimate(o.optimum.N or 0.0), Estimate(o.optimum.D or 0.0), o.optimum) for o in climb.sizes]
    if climb.best is not None:
        rows.append(("best", climb.best.N, climb.best.D, climb.best.optimum))
    table = Table(title=f"optimum of the {rows[0][3].aim.name}, with 95 % intervals", title_justify="left")
    for column in ("", "N", "D", "6 N D", "objective", *rows[0][3].mixture):
        table.add_column(column, justify="right" if column else "left")
    for label, N, D, optimum in rows:
        shares = []
        for language, share in optimum.mixture.items():
            low, high = (optimum.spread or {}).get(language, (None, None))
            shares.append(f"{share:.1%}" + ("" if low is None or high is None else f" [{low:.1%}, {high:.1%}]"))
        numbers = [_within(N), _within(D), f"{FLOPS * N.value * D.value:.3g}", _within(optimum.objective, ".4g")]
        table.add_row(label, *numbers, *shares, style="bold" if label else None)
    every = [warning for one in climb.sizes for warning in one.warnings]
    every += [] if climb.best is None else climb.best.warnings
    return Group(table, *(Text(warning) for warning in dict.fromkeys(every)))


def _within(estimate: Estimate, form: str = ".3g") -> str:
    if estimate.low is None or estimate.high is None:
        return format(estimate.value, form)
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"
