"""AdaptivePlan: an adaptive method as a planned run names it, before it exists."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from glotmix.errors import BadInput
from glotmix.mixture.adaptives import ADAPTIVES
from glotmix.mixture.adaptives.adaptive import Adaptive
from glotmix.mixture.mixture import Mixture


@dataclass(frozen=True)
class AdaptivePlan:
    """Which method, from which mixture, with which settings."""

    name: str
    """Name in :data:`glotmix.mixture.adaptives.ADAPTIVES`."""
    start: Mixture
    """The mixture at step 0."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The method's own arguments."""
    reference: str = ""
    """Run whose final weights are the reference model; only methods that read ``excess`` need one."""

    def make(self, seed: int) -> Adaptive:
        """The method, at step 0; one that draws at random is given the run's seed.

        Raises:
            BadInput: no such method, or an argument that it does not take or lacks.
        """
        method = ADAPTIVES.find(self.name)
        taken = inspect.signature(method).parameters
        seeded = {"seed": seed} if "seed" in taken else {}
        try:
            made: Adaptive = method(self.start, **seeded, **self.settings)
            return made
        except TypeError as error:
            known = ", ".join(name for name in taken if name not in ("start", "seed"))
            raise BadInput(f"{self.name}: {error}", expected=f"among {known}" if known else "no settings") from None

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        found = {"name": self.name, "start": self.start.to_json(), "settings": dict(self.settings)}
        return found | ({"reference": self.reference} if self.reference else {})

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, where: object = None) -> AdaptivePlan:
        """Read what :meth:`to_json` wrote."""
        start = Mixture(value["start"], where=where)
        return cls(str(value["name"]), start, dict(value["settings"]), str(value.get("reference", "")))
