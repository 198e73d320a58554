"""Plan: the least data that reaches 95 % of the best, which is what somebody with a budget asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from glotmix.errors import BadInput
from glotmix.estimate import student
from glotmix.posttraining.analysis.curve import Curve
from glotmix.posttraining.analysis.noise import Floor


@dataclass(frozen=True)
class DataPlan:
    """Samples of which languages."""

    task: str
    """Task that it is for."""
    base: str
    """Base model."""
    trained: str
    """Tasks trained on."""
    mix: tuple[str, ...]
    """Languages beside the pivot."""
    size: int
    """Samples of each of them (per task trained)."""
    samples: int
    """Samples beside the pivot's, all languages and tasks together."""
    reached: float
    """Its mean score over the languages beside the pivot, as a share of the best."""
    low: float
    """Lower end of that share's one-sided 95 % interval; 0 without a noise floor, 1 for the best cell itself."""
    best: float
    """Score of the best cell."""
    sure: DataPlan | None = None
    """The least data whose lower end reaches the share too; None where none does, or where it is the same."""

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        names = ("task", "base", "trained", "size", "samples", "reached", "low", "best")
        kept: dict[str, Any] = {name: getattr(self, name) for name in names}
        return kept | {"mix": list(self.mix), "sure": self.sure.to_json() if self.sure else None}


def least_data(curves: Sequence[Curve], noise: Floor | None = None, share: float = 0.95) -> DataPlan:
    """The cell with the fewest samples beside the pivot's whose mean score reaches ``share`` of the best cell's.

    The interval of the ratio treats the best cell's mean as noisy too; that it was picked for being best makes the
    ratio of every other cell look a little small, so the plan errs on the side of more data.

    Args:
        curves: of one task and base model, over any mixes.
        noise: floor of the mean over the languages beside the pivot.
        share: of the best.

    Raises:
        BadInput: no curves, curves of several tasks or bases, or nothing but scores of 0.
    """
    if not curves or len({(curve.task, curve.base) for curve in curves}) > 1:
        raise BadInput(f"{len(curves)} curves", where="data plan", expected="curves of one task and one base")
    cells = []
    for curve in curves:
        value_NS = curve.mean()
        for size, runs in zip(curve.sizes, value_NS, strict=True):
            tasks = curve.trained.count("+") + 1
            cells.append((size * len(curve.mix) * tasks, size, curve, float(np.nanmean(runs)), np.isfinite(runs).sum()))
    top = max(cells, key=lambda cell: cell[3])
    *_, best, best_runs = top
    if best <= 0:
        raise BadInput("no cell scores above 0", where="data plan", expected="a task that was learnt at all")

    def plan(cell: tuple[int, int, Curve, float, int], sure: DataPlan | None = None) -> DataPlan:
        samples, size, curve, mean, runs = cell
        low = 1.0 if cell is top else _lower(mean, runs, best, best_runs, noise)
        return DataPlan(
            curve.task, curve.base, curve.trained, curve.mix, size, samples, mean / best, low, best, sure=sure
        )

    ordered = sorted(cells, key=lambda cell: (cell[0], -cell[3]))
    first = next(cell for cell in ordered if cell[3] >= share * best)
    surely = next((cell for cell in ordered if noise and plan(cell).low >= share), None)
    return plan(first, plan(surely) if surely is not None and surely is not first else None)


def _lower(mean: float, runs: int, best: float, best_runs: int, noise: Floor | None) -> float:
    """Lower end of mean / best, by the delta method."""
    if noise is None or best <= 0:
        return 0.0
    ratio = mean / best
    error = noise.deviation / best * np.sqrt(1 / runs + ratio**2 / best_runs)
    return float(ratio - student(noise.degrees, level=0.9) * error)
