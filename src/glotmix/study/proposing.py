"""What a kind of study is asked for when it proposes a study file for data, and what a proposal has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from glotmix.corpus.layout import Layout
from glotmix.progress import Advance

if TYPE_CHECKING:
    import polars as pl
    from rich.console import RenderableType


@dataclass(frozen=True)
class ProposalWish:
    """Data, and what the study may cost."""

    layout: Layout
    """How the data are arranged by language."""
    place: str
    """The data as the study file names them."""
    folder: str
    """What they are called."""
    base: Path
    """Directory of the study file."""
    name: str | None
    """Title of the report; None for one that says how many languages of which folder."""
    hours: float
    """Time that the training may take on this machine, about."""
    model: str | None
    """What is fine-tuned, relative to ``base`` or on the hub; None for a small proxy."""
    progress: Advance
    """Told which language is read."""


class Proposed(Protocol):
    """A proposal of any kind of study."""

    @property
    def study(self) -> Mapping[str, Any]:
        """The fields of the study file."""

    @property
    def left_out(self) -> Mapping[str, str]:
        """Folder, file, label or language that is not in the study, to the reason."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What else there is to know of the data."""

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""

    def to_polars(self) -> pl.DataFrame:
        """One row per language of the study."""

    def table(self) -> RenderableType:
        """The languages, for a terminal of 80 characters or a notebook."""
