"""Schedule: a mixture as a function of training progress."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glotmix.errors import BadInput
from glotmix.mixture.mixture import Mixture


@dataclass(frozen=True)
class Stage:
    """A mixture that holds from ``start`` (share of all training tokens, 0 ≤ start < 1) until the next stage."""

    start: float
    mixture: Mixture


@dataclass(frozen=True)
class Schedule:
    """Mixtures over training, piecewise constant in the share of tokens seen.

    All stages have the same member languages, the first starts at 0 and starts increase.
    """

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        starts = [stage.start for stage in self.stages]
        if not starts or starts[0] != 0:
            raise BadInput(f"stages start at {starts}", expected="the first stage to start at 0")
        if any(not a < b < 1 for a, b in zip(starts, starts[1:], strict=False)):
            raise BadInput(f"stages start at {starts}", expected="increasing numbers below 1")
        members = set(self.stages[0].mixture)
        if any(set(stage.mixture) != members for stage in self.stages):
            raise BadInput("stages have different languages", expected="one list of languages; use share 0")

    @classmethod
    def constant(cls, mixture: Mixture) -> Schedule:
        """The same mixture from start to end."""
        return cls((Stage(0.0, mixture),))

    @property
    def languages(self) -> tuple[str, ...]:
        """Member languages, in the order of the first stage."""
        return tuple(self.stages[0].mixture)

    @property
    def is_constant(self) -> bool:
        """Whether there is one stage only."""
        return len(self.stages) == 1

    def at(self, progress: float) -> Mixture:
        """The mixture after ``progress`` (0 to 1) of all training tokens."""
        current = self.stages[0].mixture
        for stage in self.stages:
            if stage.start <= progress:
                current = stage.mixture
        return current

    def lengths(self) -> tuple[float, ...]:
        """Share of all tokens that each stage covers; sums to one."""
        starts = [stage.start for stage in self.stages] + [1.0]
        return tuple(b - a for a, b in zip(starts, starts[1:], strict=False))

    def average(self) -> Mixture:
        """The mixture of all tokens of the run, stages weighted by their length."""
        lengths = self.lengths()
        return Mixture.normalised(
            {
                language: math.fsum(
                    length * stage.mixture[language] for length, stage in zip(lengths, self.stages, strict=True)
                )
                for language in self.languages
            }
        )

    def epochs(self, D: float, unique: Mapping[str, float]) -> dict[str, float]:
        """Passes over each language's unique tokens in the whole run of ``D`` tokens."""
        return self.average().epochs(D, unique)

    def to_json(self) -> list[dict[str, Any]]:
        """A list of ``{"start", "mixture"}``."""
        return [{"start": stage.start, "mixture": stage.mixture.to_json()} for stage in self.stages]

    @classmethod
    def from_json(cls, stages: Sequence[Mapping[str, Any]] | Mapping[str, float], *, where: object = None) -> Schedule:
        """Read what :meth:`to_json` wrote, or a single mixture as a dict."""
        if isinstance(stages, Mapping):
            return cls.constant(Mixture(stages, where=where))
        return cls(tuple(Stage(float(stage["start"]), Mixture(stage["mixture"], where=where)) for stage in stages))
