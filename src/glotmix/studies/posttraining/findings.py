"""Post-training, as plain data for the page: filled in by the study, drawn by the sections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from glotmix.estimate import Estimate


@dataclass(frozen=True)
class TaskRow:
    """How well a task was learnt at all."""

    task: str
    """The task."""
    base: str
    """Base model."""
    metric: str
    """Name of the score."""
    chance: float
    """Blind score."""
    untrained: Estimate
    """The base model as it is, trained languages and pivot."""
    best: Estimate
    """The cell with the most data, same languages."""
    gain: Estimate
    """Best minus untrained, on the same items."""
    wrong_language: float
    """Share of the best cell's answers in another language than the question's; 0 where that is not judged."""

    @property
    def learnt(self) -> bool:
        """Whether the largest cell beats blind answers and the untrained model, both beyond the noise."""
        low = self.best.low if self.best.low is not None else self.best.value
        return low > self.chance and (self.gain.low or 0.0) > 0


@dataclass(frozen=True)
class SaturationRow:
    """Where half of the gain is there."""

    languages: str
    """ "seen" or "unseen"."""
    n50: float | None
    """Samples per language; None where nothing was gained for sure."""
    low: float
    """Lower end; 0 is unbounded."""
    high: float
    """Upper end; infinity is unbounded."""


@dataclass(frozen=True)
class CurveRow:
    """One curve over the number of samples."""

    task: str
    """Task measured."""
    trained: str
    """Tasks trained on."""
    base: str
    """Base model."""
    mix: tuple[str, ...]
    """Languages beside the pivot."""
    sizes: tuple[int, ...]
    """Samples of each."""
    groups: Mapping[str, tuple[Estimate, ...]]
    """ "pivot", "seen", "unseen", "Latin", "other scripts", and every language by tag: score at every size."""
    relative: tuple[Estimate, ...]
    """Mean of the languages beside the pivot over the pivot's, at every size."""
    saturation: tuple[SaturationRow, ...]
    """Of the seen and the unseen mean."""
    plateau: int | None
    """Size from which on nothing is gained, shown by an equivalence test; None where that is not shown."""
    margin: float
    """Gain that counted as nothing in it."""
    gap: tuple[Estimate, ...]
    """Seen minus unseen mean, at every size."""
    gap_change: Estimate | None
    """Gap at the largest size minus that at 0; None where it cannot be paired."""
    rho: float
    """Spearman's coefficient of seen and unseen means over sizes."""
    rho_p: float
    """Its p-value."""


@dataclass(frozen=True)
class PlanRow:
    """The least data that reaches a share of the best."""

    task: str
    """The task."""
    base: str
    """Base model."""
    mix: tuple[str, ...]
    """Languages beside the pivot."""
    size: int
    """Samples of each of them, per task."""
    samples: int
    """All samples beside the pivot's."""
    reached: float
    """Share of the best cell's mean over the languages beside the pivot."""
    low: float
    """Lower end of that share."""
    sure_size: int | None
    """Least size at which the lower end reaches the share too; None where none does."""
    sure_samples: int | None
    """All its samples."""
    most: int
    """Samples of the largest cell."""


@dataclass(frozen=True)
class VariableRow:
    """What a variable explains."""

    variable: str
    """ "task", "size", "script", "similarity" or "samples"."""
    alone: Estimate
    """By itself."""
    part: Estimate
    """Its part of all together."""


@dataclass(frozen=True)
class Ablated:
    """What explains how near a language comes to the pivot."""

    variables: tuple[VariableRow, ...]
    """Every variable."""
    together: Estimate
    """All, added up."""
    interactions: Estimate
    """What their pairs add."""
    beyond_single: Estimate
    """All minus the best single one."""
    best_single: str
    """The best single one."""
    holds: bool
    """Whether all explain more than any single one."""


@dataclass(frozen=True)
class InfluenceRow:
    """Which fine-tuning languages a test language's answers rest on."""

    task: str
    """The task."""
    languages: tuple[str, ...]
    """Training languages."""
    shares: Mapping[str, tuple[Estimate, ...]]
    """Test language to the training languages' shares of its most influential samples."""
    chance: tuple[float, ...]
    """Shares of the training samples."""
    top: int
    """How many samples count as most influential."""


@dataclass(frozen=True)
class PosttrainingReport:
    """Everything on the page."""

    title: str
    """Name of the experiment."""
    question: str
    """What it asks."""
    names: Mapping[str, str]
    """Language to the name that the page calls it by."""
    pivot: str
    """Language in every cell."""
    share: float
    """Share of the best that a plan reaches."""
    tasks: tuple[TaskRow, ...]
    """How well each task was learnt."""
    plans: tuple[PlanRow, ...]
    """The least data."""
    curves: tuple[CurveRow, ...]
    """Every curve."""
    apart: tuple[str, ...]
    """Sentences on saturation points that can be told apart, and on those that cannot."""
    noise: Mapping[str, float]
    """Task to the deviation of a run's mean over languages from its cell's."""
    ablation: Ablated | None
    """What explains the outcome; None where the grid is too small for it."""
    influence: tuple[InfluenceRow, ...]
    """Influence over the fine-tuning data, where it was asked for."""
    cells: int
    """Models trained."""
    failed: Mapping[str, str]
    """Cells without a result, and why."""
    equal_steps: bool
    """Whether every cell made the same number of updates."""
    dropped: Mapping[str, int]
    """Test samples left out because they are trained on, by task."""
    facts: Mapping[str, str]
    """What it cost and where it comes from."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The resolved study file."""

    def unlearnt(self) -> list[TaskRow]:
        """Tasks of which nothing can be recommended."""
        return [row for row in self.tasks if not row.learnt]

    def name_of(self, language: str) -> str:
        """What the page calls a language."""
        return self.names.get(language, language)
