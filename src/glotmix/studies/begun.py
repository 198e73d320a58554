"""What `glotmix init` ends with: a study file that was written, and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glotmix.errors import BadInput
from glotmix.notebook import Shown
from glotmix.study.kind import Price
from glotmix.study.proposing import Proposed

if TYPE_CHECKING:
    import polars as pl
    from rich.console import RenderableType


@dataclass(frozen=True, repr=False)
class Begun(Shown):
    """A study file that was written."""

    path: Path
    """The file."""
    proposal: Proposed
    """What is in it, and what it rests on."""
    price: Price
    """What running it would cost, as ``--dry-run`` tells."""
    problems: tuple[BadInput, ...]
    """What pre-flight would refuse; nothing, but for a machine that lacks something."""

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        told = {"path": str(self.path), "price": self.price.to_json(), "problems": [str(one) for one in self.problems]}
        return {**self.proposal.to_json(), **told}

    def to_polars(self) -> pl.DataFrame:
        """One row per language of the study: ``language``, its English ``name``, ``spelt`` (what folders, files or
        labels call it) and ``bytes`` of text. Of a study of mixtures ``documents``, ``is_counted`` (else they and the
        bytes are estimates) and ``tokens`` as well; of chats ``samples`` and ``is_trained`` (else only measured)."""
        return self.proposal.to_polars()

    def table(self) -> RenderableType:
        """The languages, for a terminal of 80 characters or a notebook."""
        return self.proposal.table()

    def tables(self) -> list[RenderableType]:
        """For a terminal: languages, what was not understood, the cost, and what to type next."""
        left = [f"Not used: {name}: {reason}" for name, reason in self.proposal.left_out.items()]
        return [
            self.table(),
            *left,
            *self.proposal.remarks,
            self.price.table(),
            f"{self.path} is written: read it, then glotmix run {self.path}",
        ]
