"""What the stated objective costs in terms of one that it leaves out, as measured where mixtures were trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from glotmix.estimate import Estimate, pooled_means
from glotmix.report.evidence import Evidence, Front, Trained
from glotmix.report.frames.loop import loop_rows


@dataclass(frozen=True)
class TradeRow:
    """One mixture under both objectives."""

    name: str
    """"optimum", "natural", ..."""
    predicted: tuple[Estimate, Estimate]
    """What the law says of the stated objective and of the second one."""
    measured: tuple[Estimate, Estimate] | None
    """Both as measured; None where the mixture was not trained."""


def trade_rows(evidence: Evidence, front: Front) -> list[TradeRow]:
    """The recommended mixture and those it is compared with."""
    stated = {row.name: row.measured for row in loop_rows(evidence)}
    second = pooled_means({one.name: _per_seed(one, front.weights) for one in evidence.trained})
    return [
        TradeRow(name, pair, (stated[name], second[name]) if name in stated and name in second else None)
        for name, pair in front.known.items()
    ]


def trade_finding(front: Front, unit: str) -> str:
    """What it costs the stated objective to serve the second one as well as can be."""
    (least, there, _), (most, best, _) = front.points[0], front.points[-1]
    if there - best < 1e-4:
        return f"The {front.first} and the {front.second} want the same mixture"
    return (
        f"To lower the {front.second} as far as it goes, by {there - best:.3f} {unit}, the {front.first} must rise by "
        f"{most - least:.3f}"
    )


def _per_seed(trained: Trained, weights: Mapping[str, float]) -> list[float]:
    """Weighted mean of the losses, seed by seed; seeds that lack one of them are left out."""
    if not weights or not all(target in trained.measured for target in weights):
        return []
    seeds = min(len(trained.measured[target]) for target in weights)
    loss_ST = np.array([trained.measured[target][:seeds] for target in weights], dtype=float).T
    mean_S = loss_ST @ np.array(list(weights.values())) / sum(weights.values())
    return [float(x) for x in mean_S if np.isfinite(x)]
