"""Influence across languages as plain data: what the page of such an experiment shows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np

from glotmix.estimate import Estimate
from glotmix.report.frames.transfer import certain
from glotmix.transfer.agreement import Agreement, Parting
from glotmix.transfer.matrix import TransferMatrix
from glotmix.wording import listed, number, share


@dataclass(frozen=True)
class CheckpointShares:
    """A test language at one checkpoint."""

    checkpoint: str
    """Its name."""
    own: Estimate
    """Share of the language's own samples among its top samples."""
    own_null: Estimate
    """The same when training samples' languages are shuffled within their labels."""
    translated: Estimate | None = None
    """Share of the foreign top samples that are translations of own top samples."""
    translated_null: Estimate | None = None
    """The same when identities are shuffled within language and label."""


@dataclass(frozen=True)
class Reinforcing:
    """A test language's translation share."""

    language: str
    """The test language."""
    value: Estimate
    """Share of the foreign top samples that are translations of own top samples."""
    chance: float
    """What it is if the tops of languages are independent."""
    shuffled: Estimate
    """What it is with identities shuffled within language and label."""


@dataclass(frozen=True)
class ShownSample:
    """One training sample on a test sample's list."""

    language: str
    """Its language."""
    label: str
    """Its class; "" without classes."""
    text: str
    """Its text."""
    score: float
    """Its influence."""
    translates: str = ""
    """Text of the same identity in the test language, where there is one."""
    reinforces: bool = False
    """Whether it is a foreign sample whose translation is on the list too."""


@dataclass(frozen=True)
class ShownTest:
    """One test sample with the training samples that its prediction rests on."""

    language: str
    """Its language."""
    label: str
    """Its class; "" without classes."""
    text: str
    """Its text."""
    helpful: tuple[ShownSample, ...]
    """The most helpful training samples, the first one most."""
    harmful: tuple[ShownSample, ...]
    """The most harmful ones."""


@dataclass(frozen=True)
class OverlapRow:
    """Zero-shot against regular fine-tuning."""

    language: str
    """Language left out of the training."""
    value: Estimate
    """Share of the top samples that both runs have."""
    ceiling: Estimate
    """The same between two seeds of the regular run."""
    chance: float
    """At random."""


@dataclass(frozen=True)
class ImbalanceRow:
    """Fine-tuning with another number of one language's samples, the others' as ever."""

    language: str
    """The language."""
    factor: float
    """Its samples, in multiples of those of the regular run; 1 is that run."""
    part: float
    """Its part of all training samples: its share of the top by chance."""
    own: Estimate
    """Its share of the top samples of its own test samples."""
    own_change: Estimate
    """Difference to the regular run, seed by seed."""
    others: Estimate
    """Its share of the top samples of the other languages' test samples."""
    others_change: Estimate
    """Difference to the regular run, seed by seed."""


@dataclass(frozen=True)
class RemovalRow:
    """Retraining without some samples."""

    kind: str
    """What was removed."""
    change: Estimate
    """Mean change of the confidence in the right class."""


@dataclass(frozen=True)
class ScoreRow:
    """How well a score predicts retraining."""

    score: str
    """Name of the score."""
    lds: Estimate
    """Linear datamodeling score."""


@dataclass(frozen=True)
class TaskInfluence:
    """What was found for one task."""

    name: str
    """Its name."""
    about: str
    """What the task is, in a sentence."""
    parallel: bool
    """Whether training samples of different languages are translations."""
    m: int
    """How many samples count as the top."""
    seeds: int
    """Runs behind the intervals."""
    accuracy: Mapping[str, Estimate]
    """Test language to accuracy."""
    shares: TransferMatrix
    """Shares of the top samples, with intervals."""
    null: TransferMatrix
    """Shares of random samples of the same label (or of all samples)."""
    negative: TransferMatrix
    """Shares of the most harmful samples."""
    reinforcing: tuple[Reinforcing, ...] = ()
    """Translation shares; empty where nothing is parallel."""
    course: Mapping[str, tuple[CheckpointShares, ...]] = field(default_factory=dict)
    """Test language to its checkpoints."""
    asked: tuple[ShownTest, ...] = ()
    """Test samples for the browser."""
    overlap: tuple[OverlapRow, ...] = ()
    """Zero-shot overlap."""
    imbalance: tuple[ImbalanceRow, ...] = ()
    """More and less of a language."""
    removal: tuple[RemovalRow, ...] = ()
    """Removal tests."""
    removed: int = 0
    """Samples removed each time."""
    scores: tuple[ScoreRow, ...] = ()
    """Linear datamodeling scores."""
    subsets: int = 0
    """Retrainings behind them."""

    def to_json(self) -> dict[str, Any]:
        """Everything but the texts, as a plain dict; what is not known (with one seed, a spread) becomes None."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self) if f.name != "asked"}


def _plain(value: Any) -> Any:
    if isinstance(value, TransferMatrix):
        return value.to_json()
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return [_plain(one) for one in value] if isinstance(value, tuple | list) else value


@dataclass(frozen=True)
class Lenses:
    """Several lenses on transfer side by side."""

    matrices: Mapping[str, TransferMatrix]
    """Lens to its mean matrix."""
    agreements: tuple[Agreement, ...]
    """Rank correlations of every two."""
    partings: tuple[Parting, ...]
    """Pairs of languages, those they disagree on most first."""


@dataclass(frozen=True)
class InfluenceEvidence:
    """Everything that a page on influence shows."""

    title: str
    """Name of the experiment."""
    description: str = ""
    """What it asks."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Language to what the page calls it."""
    tasks: tuple[TaskInfluence, ...] = ()
    """What was found for each task."""
    lenses: Lenses | None = None
    """Several lenses on the same languages."""
    method: Mapping[str, str] = field(default_factory=dict)
    """How scores were computed, for the record."""

    def name_of(self, language: str) -> str:
        """What the page calls a language."""
        return self.names.get(language, language)


def excess(task: TaskInfluence) -> TransferMatrix:
    """Shares minus what random samples of the same label give; the intervals move along."""
    null_TL = task.null.value_TL
    low, high = task.shares.low_TL, task.shares.high_TL
    return TransferMatrix(
        task.shares.targets,
        task.shares.sources,
        task.shares.value_TL - null_TL,
        None if low is None else low - null_TL,
        None if high is None else high - null_TL,
        unit="share",
        method=task.shares.method,
        notes=task.shares.notes,
    )


def leaning(evidence: InfluenceEvidence, task: TaskInfluence) -> str:
    """The strongest preference of a test language for a training language, beyond its interval, in words."""
    matrix = excess(task)
    sure = certain(matrix)
    places = [(float(matrix.value_TL[t, s]), t, s) for t, s in np.argwhere(sure) if np.isfinite(matrix.value_TL[t, s])]
    if not places or max(places)[0] <= 0:
        return "No test language prefers any training language beyond the noise"
    _, t, s = max(places)
    target, source = matrix.targets[t], matrix.sources[s]
    whose = "its own samples" if target == source else f"samples in {evidence.name_of(source)}"
    return (
        f"{evidence.name_of(target)} rests on {whose} more than chance gives: "
        f"{share(task.shares[target, source])} against {share(task.null[target, source])}"
    )


def headline(evidence: InfluenceEvidence) -> str:
    """The answer in a sentence or two: translation shares first, because language shares alone say little."""
    parts = []
    for task in evidence.tasks:
        if task.reinforcing and task.parallel:
            value = mean([row.value.value for row in task.reinforcing])
            null = mean([row.shuffled.value for row in task.reinforcing])
            parts.append(
                f"{task.name}: {share(value)} of the foreign samples that a prediction rests on are translations of "
                f"own-language samples it rests on too; {share(null)} would be by chance."
            )
        else:
            own, null = own_share(task.shares), own_share(task.null)
            parts.append(
                f"{task.name}: {share(own)} of the samples that a prediction rests on are in its own language; "
                f"{share(null)} would be without any preference."
            )
    return " ".join(parts)


def agreed(lenses: Lenses) -> str:
    """What the lenses say of each other on different languages, in a sentence."""
    apart = [a for a in lenses.agreements if a.pairs == "different" and np.isfinite(a.value)]
    beyond = [f"{a.one} and {a.other}" for a in apart if a.value > a.null_high]
    against = [f"{a.one} and {a.other}" for a in apart if a.value < a.null_low]
    text = f"On pairs of different languages {len(beyond)} of {len(apart)} pairs of lenses agree more than chance gives"
    text += f": {listed(beyond)}." if beyond else "."
    return text + (f" Against each other stand {listed(against)}." if against else "")


def own_share(matrix: TransferMatrix) -> float:
    """Mean share of the own language over the test languages that are trained on."""
    return mean([matrix[t, t] for t in matrix.targets if t in matrix.sources])


def mean(values: list[float]) -> float:
    """NaN for none."""
    return float(np.mean(values)) if values else float("nan")


def doubts(evidence: InfluenceEvidence) -> list[tuple[str, str]]:
    """What a reader must know before believing the shares: (title, text)."""
    found = []
    for task in evidence.tasks:
        poor = [evidence.name_of(lang) for lang, value in task.accuracy.items() if value.value < 0.5]
        if poor:
            found.append(
                (
                    f"{task.name}: predictions are often wrong in {listed(poor)}",
                    "Influence explains the loss of the right class; where the model has not learned the task, there "
                    "is little to explain.",
                )
            )
        tracin = [row for row in task.scores if "TracIn" in row.score]
        if tracin:
            best = max(tracin, key=lambda row: row.lds.value)
            found.append(
                (
                    f"{task.name}: the scores predict retraining with LDS {number(best.lds.value, 2)}",
                    "1 would be a perfect prediction of what retraining on subsets does, 0 none. Shares of top samples "
                    "describe gradients; they are not measured effects of removing a language.",
                )
            )
        if task.seeds < 2:
            found.append(
                (
                    f"{task.name}: one run",
                    "Intervals are over its test samples. What another seed of the training would give is not known.",
                )
            )
    return found
