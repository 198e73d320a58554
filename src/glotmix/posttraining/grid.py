"""Grid: every fine-tuning of an experiment, planned before any is trained.

task(s) × languages × samples per language × base model × seed, the pivot's samples being the same everywhere. A cell is
trained on the first n samples of each language in an order of its seed, so that of two cells that differ in n alone
the smaller one's data are part of the larger one's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import Field, field_validator

from glotmix.config import Section
from glotmix.errors import BadInput
from glotmix.posttraining.sample import Sample
from glotmix.posttraining.tasks.task import ordered


class GridConfig(Section):
    """Cells that differ in samples, mix, base and seed."""

    tasks: list[str] = Field(default_factory=list)
    """Tasks; default all of the study."""
    together: bool = False
    """Train on all tasks at once, or on each by itself."""
    bases: list[str] = Field(default_factory=list)
    """Base models; default all of the study."""
    mixes: dict[str, list[str]] = Field(default_factory=dict)
    """Name to the languages trained on beside the pivot; default one mix of all."""
    samples: list[int]
    """Samples of each language beside the pivot, per task; 0 is the pivot alone."""
    pivot_samples: int = Field(ge=0)
    """Samples of the pivot, per task, in every cell."""
    seeds: int = Field(1, ge=1)
    """Runs of every cell, each with its own samples and order."""
    repeat_zero: bool = False
    """Train the cell without other languages once per mix, as the paper did, instead of once: repeats of one and the
    same configuration, which tell the noise."""

    @field_validator("samples")
    @classmethod
    def _sizes(cls, sizes: list[int]) -> list[int]:
        if 0 not in sizes or min(sizes) < 0 or len(set(sizes)) < len(sizes):
            raise ValueError("sizes with 0 among them, none negative, none twice")
        return sorted(sizes)


@dataclass(frozen=True)
class Cell:
    """One model to train."""

    base: str
    """Name of the base model."""
    tasks: tuple[str, ...]
    """Tasks trained on; none for the base model as it is."""
    mix: str
    """Name of the mix."""
    languages: tuple[str, ...]
    """Languages of the mix, beside the pivot."""
    size: int
    """Samples of each of them, per task."""
    pivot_samples: int
    """Samples of the pivot, per task."""
    seed: int
    """Seed of the samples, their order and the adapters."""

    @property
    def name(self) -> str:
        """Unique in the experiment, and safe as a file name."""
        if not self.tasks:
            return f"base-{self.base}"
        mix = f"-{self.mix}" if self.mix else ""
        return f"{'+'.join(self.tasks)}-{self.base}{mix}-n{self.size}-s{self.seed}"

    @property
    def samples(self) -> int:
        """All training samples."""
        return len(self.tasks) * (self.pivot_samples + self.size * len(self.languages))

    def counts(self, pivot: str) -> dict[str, int]:
        """Samples of each language, per task; languages without any left out."""
        counts = {pivot: self.pivot_samples} | dict.fromkeys(self.languages, self.size)
        return {language: count for language, count in counts.items() if count}

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Cell:
        """What :meth:`to_json` gave."""
        lists = {name: tuple(record[name]) for name in ("tasks", "languages")}
        return cls(**{**record, **lists})


def cells(grid: GridConfig, tasks: Sequence[str], bases: Sequence[str], languages: Sequence[str]) -> list[Cell]:
    """Cells of one grid, in the order seed, task, base, mix, size; so early cells already are a whole small grid.

    Raises:
        BadInput: a task, base or language of the grid that the study does not have.
    """
    _known(grid.tasks, tasks, "tasks")
    _known(grid.bases, bases, "bases")
    for name, members in grid.mixes.items():
        _known(members, languages, f"mixes.{name}")
    trained = list(grid.tasks or tasks)
    mixes = grid.mixes or {"": list(languages)}
    planned: dict[str, Cell] = {}
    for seed in range(grid.seeds):
        for group in [tuple(trained)] if grid.together else [(task,) for task in trained]:
            for base in grid.bases or bases:
                for mix, members in mixes.items():
                    for size in grid.samples:
                        alone = size == 0 and not grid.repeat_zero
                        cell = Cell(
                            base,
                            group,
                            "" if alone else mix,
                            () if alone else tuple(members),
                            size,
                            grid.pivot_samples,
                            seed,
                        )
                        planned.setdefault(cell.name, cell)
    return list(planned.values())


def _known(named: Sequence[str], known: Sequence[str], field: str) -> None:
    for name in named:
        if name not in known:
            raise BadInput(f"{name!r}", where=f"grids.{field}", expected=" | ".join(known))


Pool = Mapping[str, Mapping[str, Sequence[Sample]]]
"""Task to language to training samples."""


class Selection:
    """Which samples every cell trains on. Orders are drawn once per seed, task and language."""

    def __init__(self, pool: Pool, pivot: str):
        self._pool, self._pivot = pool, pivot
        self._ordered: dict[tuple[int, str, str], list[Sample]] = {}

    def __call__(self, cell: Cell) -> list[Sample]:
        """The training samples of a cell: task by task, language by language.

        Raises:
            BadInput: a language has too few, naming cell, task, language and how many there are.
        """
        found: list[Sample] = []
        for task in cell.tasks:
            for language, count in cell.counts(self._pivot).items():
                there = self._order(cell.seed, task, language)
                if len(there) < count:
                    raise too_few(cell, task, language, count, len(there))
                found += there[:count]
        return found

    def manifest(self, cell: Cell) -> dict[str, Any]:
        """What a cell trains on, without training it: ids by task and language."""
        ids: dict[str, dict[str, list[str]]] = {}
        for sample in self(cell):
            ids.setdefault(sample.task, {}).setdefault(sample.language, []).append(sample.id)
        return {"name": cell.name, **cell.to_json(), "total": cell.samples, "ids": ids}

    def _order(self, seed: int, task: str, language: str) -> list[Sample]:
        key = (seed, task, language)
        if key not in self._ordered:
            self._ordered[key] = ordered(self._pool[task].get(language, ()), seed)
        return self._ordered[key]


def too_few(cell: Cell, task: str, language: str, count: int, there: int) -> BadInput:
    """The error for a language that a cell wants more of than there is."""
    return BadInput(
        f"{task} has {there} training samples of {language}",
        where=f"cell {cell.name}",
        expected=f"at least {count}, or a smaller size in the grid",
    )


def largest(planned: Sequence[Cell], pivot: str, task: str, language: str) -> int:
    """Most samples of a language that any cell trains a task on."""
    return max((cell.counts(pivot).get(language, 0) for cell in planned if task in cell.tasks), default=0)


def paper_cells() -> list[Cell]:
    """All 152 models of "A Post-trainer's Guide" (arXiv 2504.16677, §3 and tables 3–23).

    72 on one task and all four languages (three base models), 48 on one task and two languages of like script (one base
    model), 32 on all tasks at once (two base models). The paper trained the size 0 of the script mixes anew.
    """
    tasks, bases = ("instructions", "summarisation", "mathematics"), ("aya-7b", "aya-35b", "llama-8b")
    seen = ("spa_Latn", "fra_Latn", "jpn_Jpan", "cmn_Hans")
    sizes = [0, 100, 200, 400, 800, 1000, 2000, 5000]
    single = GridConfig(samples=sizes, pivot_samples=10_000, mixes={"all": list(seen)}, repeat_zero=True)
    scripts = {"latin": ["spa_Latn", "fra_Latn"], "other": ["jpn_Jpan", "cmn_Hans"]}
    by_script = GridConfig(samples=sizes, pivot_samples=10_000, mixes=scripts, bases=["aya-7b"], repeat_zero=True)
    joint = GridConfig(
        samples=[0, 100, *range(500, 7001, 500)],
        pivot_samples=5_000,
        mixes={"all": list(seen)},
        bases=["aya-7b", "aya-35b"],
        together=True,
        repeat_zero=True,
    )
    return [cell for grid in (single, by_script, joint) for cell in cells(grid, tasks, bases, seen)]
