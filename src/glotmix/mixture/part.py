"""Part of a run: what is trained of it, where another run's kept state is its beginning or its own end is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule, Stage


@dataclass(frozen=True)
class Part:
    """A part of a run. The learning rate, and where text is read on, are those of the whole run."""

    begin: float = 0.0
    """Share of the run's steps before it."""
    end: float = 1.0
    """Share of the run's steps at which it ends; weights and optimiser are kept there where that is before the run's
    end."""
    after: str = ""
    """Run whose kept weights and optimiser it goes on from; empty from the run's own beginning."""
    before: Schedule | None = None
    """Schedule of that run as it was planned, past ``begin`` too: it decides the order in which text was read."""

    @property
    def share(self) -> float:
        """Share of the run's tokens that are trained on."""
        return self.end - self.begin

    def to_json(self) -> dict[str, Any]:
        """A plain dict; defaults are omitted."""
        found: dict[str, Any] = {}
        found |= {"begin": self.begin} if self.begin else {}
        found |= {"end": self.end} if self.end != 1 else {}
        found |= {"after": self.after} if self.after else {}
        return found | ({"before": self.before.to_json()} if self.before is not None else {})

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, where: object = None) -> Part:
        """Read what :meth:`to_json` wrote."""
        before = value.get("before")
        return cls(
            float(value.get("begin", 0.0)),
            float(value.get("end", 1.0)),
            str(value.get("after", "")),
            None if before is None else Schedule.from_json(before, where=where),
        )


WHOLE = Part()
"""All of a run."""


def going_on(before: Schedule, begin: float, mixture: Mixture) -> Schedule:
    """``before`` until ``begin`` (a share of the run), and one mixture from there on."""
    members = tuple(dict.fromkeys([*before.languages, *mixture]))
    stages = [*(stage for stage in before.stages if stage.start < begin), Stage(begin, mixture)]
    return Schedule(tuple(replace(stage, mixture=stage.mixture.over(members)) for stage in stages))
