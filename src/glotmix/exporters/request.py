"""What a trainer must be told, in glotmix's words: the schedule in whole steps, token shares, sizes, paths."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from glotmix.errors import BadInput
from glotmix.exporters.quoting import check_text
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule, Stage


@dataclass(frozen=True)
class Phase:
    """Steps of the run over which one mixture holds."""

    first_step: int
    """Optimiser steps done before it."""
    steps: int
    """Its own steps, at least one."""
    mixture: Mixture
    """Token shares."""


@dataclass(frozen=True)
class ExportRequest:
    """What a trainer must be told, in glotmix's words."""

    schedule: Schedule
    """Token shares over training."""
    tokens: float
    """Training tokens D of the run; rounded to whole steps."""
    sequence_length: int
    """Tokens per sequence."""
    batch: int
    """Sequences per step, over all devices."""
    unique: Mapping[str, float]
    """Unique tokens U of each language with a share."""
    tokens_per_document: Mapping[str, float]
    """Measured tokens per document (per row of the data set) of each language with a share."""
    paths: str | Mapping[str, str] | None = None
    """Data of each language, or one template with ``{language}``; None for the exporter's own template."""
    seed: int = 0
    """Seed of the trainer's shuffling and draws."""
    document_lengths: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Tokens of each document in a sample of a language, where they were measured: what a trainer cuts off long
    documents is only known from them."""
    guessed: frozenset[str] = frozenset()
    """Languages whose unique tokens nobody told: what repeats them must not stop at the number assumed for them."""
    assumed: tuple[str, ...] = ()
    """What stands in for numbers that nobody told, one sentence each; they lead the remarks of ``realised.json``."""
    stands_in: object = "export schedule"
    """Where the schedule stands, for messages."""

    def __post_init__(self) -> None:
        for name in ("tokens", "sequence_length", "batch"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 1):
                raise BadInput(f"{name} is {value}", where="export", expected="a number of at least 1")
        if self.seed < 0:
            raise BadInput(f"seed is {self.seed}", where="export", expected="0 or more")
        for language in self.schedule.languages:
            check_text(language, "language tag")
        for given in ("unique", "tokens_per_document"):
            for language in self.languages:
                value = getattr(self, given).get(language)
                if value is None or not (math.isfinite(value) and value > 0):
                    raise BadInput(f"{given} of {language} is {value}", where="export", expected="a number above 0")
        self.phases  # noqa: B018  a stage shorter than a step is said here

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages with a share above zero in some stage; the others are left out of the files on purpose."""
        stages = self.schedule.stages
        return tuple(name for name in self.schedule.languages if any(stage.mixture[name] > 0 for stage in stages))

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return max(1, round(self.tokens / (self.sequence_length * self.batch)))

    @property
    def sequences(self) -> int:
        """Sequences of the whole run."""
        return self.steps * self.batch

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The stages in whole steps.

        Raises:
            BadInput: a stage that covers no step.
        """
        stages = self.schedule.stages
        starts = [round(stage.start * self.steps) for stage in stages] + [self.steps]
        phases = []
        for stage, start, end in zip(stages, starts, starts[1:], strict=False):
            if end <= start:
                raise BadInput(
                    f"the stage that starts at {stage.start:g} covers no step of {self.steps}",
                    where=self.stands_in,
                    expected="stages of at least one step",
                )
            phases.append(Phase(start, end - start, stage.mixture))
        return tuple(phases)

    def vector(self, phase: Phase) -> np.ndarray:
        """Token shares of a phase in the order of ``languages``, [L]."""
        return phase.mixture.vector(self.languages)

    def lengths(self) -> np.ndarray:
        """Tokens per document in the order of ``languages``, [L]."""
        return np.array([self.tokens_per_document[language] for language in self.languages])

    def kept_lengths(self) -> np.ndarray:
        """Tokens per document that a trainer keeps which cuts documents at the sequence length, [L].

        The mean of the measured lengths, cut; without measured lengths the mean length, cut.
        """
        kept = []
        for language in self.languages:
            lengths = np.asarray(self.document_lengths.get(language, ()), dtype=float)
            mean = self.tokens_per_document[language]
            cut = np.minimum(lengths, self.sequence_length).mean() / lengths.mean() * mean if lengths.size else mean
            kept.append(min(cut, self.sequence_length))
        return np.array(kept)

    def rows(self, language: str) -> int:
        """Documents of a language, from its unique tokens and tokens per document; at least one."""
        return max(1, int(self.unique[language] / self.tokens_per_document[language]))

    def runs(self) -> tuple[ExportRequest, ...]:
        """The run, or where stages restart optimiser and learning rate, the runs that begin anew there."""
        firsts = [i for i, stage in enumerate(self.schedule.stages) if i == 0 or stage.restart]
        if len(firsts) == 1:
            return (self,)
        phases, runs = self.phases, []
        for first, end in zip(firsts, [*firsts[1:], len(phases)], strict=True):
            part = phases[first:end]
            steps = sum(phase.steps for phase in part)
            stages = [Stage((phase.first_step - part[0].first_step) / steps, phase.mixture) for phase in part]
            tokens = float(steps * self.batch * self.sequence_length)
            runs.append(replace(self, schedule=Schedule(tuple(stages)), tokens=tokens, seed=self.seed + first))
        return tuple(runs)

    def documents(self, phase: Phase) -> np.ndarray:
        """Shares per document that give a phase's token shares, ``q_l ∝ p_l / tokens_per_document_l``, [L]."""
        q_L = self.vector(phase) / self.lengths()
        return np.asarray(q_L / q_L.sum())


def by_language(request: ExportRequest, count_L: np.ndarray, each: float | np.ndarray = 1.0) -> dict[str, float]:
    """``count_l × each_l`` keyed by language."""
    return dict(zip(request.languages, (np.asarray(count_L, dtype=float) * each).tolist(), strict=True))
