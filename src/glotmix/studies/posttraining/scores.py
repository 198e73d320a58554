"""The scores of every answer of a post-training grid, and the two tables of measurements made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from glotmix.artifact import read_json
from glotmix.mixture.mixture import Mixture
from glotmix.posttraining.analysis.curve import Curve
from glotmix.posttraining.analysis.interval import ScoreMean, mean_interval
from glotmix.posttraining.analysis.noise import Floor
from glotmix.posttraining.grid import Cell
from glotmix.posttraining.sources import is_parallel
from glotmix.posttraining.tasks import find_task
from glotmix.studies.posttraining.cells import Plan
from glotmix.sweep.sweep import write_tables

if TYPE_CHECKING:
    from glotmix.studies.posttraining.config import PosttrainingConfig


@dataclass(frozen=True)
class Scores:
    """The primary score of every answer."""

    pivot: str
    """Language in every cell."""
    cells: Mapping[str, Cell]
    """Name to cell, those that are complete."""
    items: Mapping[tuple[str, str, str], np.ndarray]
    """Cell, task and language to the scores of the test items, in the order of their ids."""
    wrong: Mapping[tuple[str, str], float]
    """Cell and task to the share of answers in another language than the question's."""
    parallel: Mapping[str, bool]
    """Task to whether item i is a translation of item i in the other languages."""

    @classmethod
    def of(cls, config: PosttrainingConfig, done: Sequence[Cell], scores: Mapping[str, pl.DataFrame]) -> Scores:
        """The scores of these cells."""
        items: dict[tuple[str, str, str], np.ndarray] = {}
        wrong: dict[tuple[str, str], float] = {}
        for cell in done:
            for task in config.tasks:
                own = scores[cell.name].filter(
                    (pl.col("task") == task) & pl.col("metric").is_in([find_task(task).metric, "judge"])
                )
                if own.height:
                    wrong[cell.name, task] = float(own["wrong_language"].to_numpy().mean())
                for (language,), part in own.sort("id").group_by("language", maintain_order=True):
                    items[cell.name, task, str(language)] = part["value"].to_numpy().astype(float)
        sources = {name: task.test or task.train for name, task in config.tasks.items()}
        parallel = {}
        for task, source in sources.items():
            lengths = {len(value) for (_, name, _), value in items.items() if name == task}
            parallel[task] = is_parallel(source) and len(lengths) == 1
        return cls(config.pivot, {cell.name: cell for cell in done}, items, wrong, parallel)

    def table(self, tasks: Sequence[str]) -> pl.DataFrame:
        """Mean scores as :func:`glotmix.posttraining.analysis.curve.curves_from` takes them.

        The cell without other languages stands in the curve of every mix.
        """
        rows = []
        for (name, task, language), value_I in self.items.items():
            cell = self.cells[name]
            if task not in tasks or not cell.tasks:
                continue
            for mix in [cell.languages] if cell.languages else self._mixes(cell):
                trained = "+".join(cell.tasks)
                rows.append((task, trained, cell.base, " ".join(mix), cell.size, cell.seed, language, value_I.mean()))
        columns = ["task", "trained", "base", "mix", "n", "seed", "language", "value"]
        return pl.DataFrame(rows, schema=columns, orient="row")

    def _mixes(self, alone: Cell) -> list[tuple[str, ...]]:
        like = [c for c in self.cells.values() if (c.tasks, c.base) == (alone.tasks, alone.base) and c.languages]
        return list(dict.fromkeys(cell.languages for cell in like))

    def of_size(self, curve: Curve, size: int) -> list[str]:
        """Cells of a curve with that size, by seed."""
        found = [
            cell
            for cell in self.cells.values()
            if cell.base == curve.base
            and "+".join(cell.tasks) == curve.trained
            and cell.size == size
            and cell.languages in (curve.mix, ())
        ]
        return [cell.name for cell in sorted(found, key=lambda cell: cell.seed)]

    def mean(self, names: Sequence[str], task: str, languages: Sequence[str], noise: Floor | None = None) -> ScoreMean:
        """Mean over cells, languages and items; scores lie between 0 and 1, and so does the interval."""
        stacks = [self._stack(names, task, name) for name in languages]
        found = mean_interval(stacks, parallel=self.parallel[task], noise=noise)
        return ScoreMean(found.value, max(0.0, found.low), min(1.0, found.high))

    def difference(self, task: str, *terms: tuple[int, Sequence[str], Sequence[str]], noise: Floor | None) -> ScoreMean:
        """Signed sum of means over cells and languages; paired by item where items are parallel.

        Args:
            task: the task.
            terms: sign, cells by seed (or a single one, for all seeds), languages.
            noise: deviation between seeds of this very sum, pooled over cells.
        """
        stacks = [(sign, [self._stack(names, task, name) for name in languages]) for sign, names, languages in terms]
        if self.parallel[task]:
            total_SI = sum(sign * np.mean(stack, 0) for sign, stack in stacks)
            return mean_interval([np.asarray(total_SI)], parallel=True, noise=noise)
        means = [(sign, mean_interval(stack, parallel=False)) for sign, stack in stacks]
        value = sum(sign * mean.value for sign, mean in means)
        half = float(np.sqrt(sum((mean.high - mean.value) ** 2 for _, mean in means)))
        return ScoreMean(value, value - half, value + half)

    def _stack(self, names: Sequence[str], task: str, language: str) -> np.ndarray:
        return np.stack([self.items[name, task, language] for name in names])


def write_measurements(
    config: PosttrainingConfig,
    plan: Plan,
    grid: Scores,
    failed: Mapping[str, str],
    directory: Path,
) -> None:
    """The two tables of :mod:`glotmix.measurements`: a run per cell, a row per task, language and metric."""
    runs, losses = [], []
    for cell in plan.cells:
        row: dict[str, Any] = {"run": cell.name, "role": "posttraining", "seed": cell.seed, "schedule": ""}
        shares = dict.fromkeys(config.measured, 0.0)
        if cell.name in failed:
            row |= {"N": None, "D": None, "C": None, "status": "failed", "reason": failed[cell.name]}
        else:
            record = read_json(plan.folder / cell.name / "cell.json")
            D = float(record["tokens"])
            row |= {"N": float(record["N"]), "D": D, "C": 6 * record["parameters"] * D, "status": "complete"}
            row["reason"] = ""
            if D:
                shares |= Mixture.normalised(record["tokens_by_language"]).to_json()
            for (name, task, language), value_I in grid.items.items():
                if name == cell.name:
                    metric = f"{task}/{find_task(task).metric}"
                    told = {"run": name, "step": record["steps"], "tokens": D, "language": language, "metric": metric}
                    losses.append({**told, "value": float(value_I.mean())})
        runs.append(row | {f"p/{language}": share for language, share in shares.items()})
    floats = dict.fromkeys(("N", "D", "C"), pl.Float64)
    write_tables(
        directory,
        pl.DataFrame(runs, schema_overrides=floats | {"reason": pl.String}, infer_schema_length=None),
        pl.DataFrame(losses, infer_schema_length=None),
    )
