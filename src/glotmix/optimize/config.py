"""The section `optimize` of a study: what a good mixture is, and its limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from glotmix.config import Section
from glotmix.mixture.phases import MOST_PHASES, check_boundaries


class OptimizeConfig(Section):
    """What a good mixture is, and its limits."""

    objective: Literal["mean", "weighted", "normalised", "worst", "regret", "quantile"] = "mean"
    """Mean loss, weighted mean, mean of losses relative to each language's own best, the worst of these, the greatest
    difference to the own best, or a quantile of the relative ones."""
    quantile: float = Field(0.75, gt=0, le=1)
    """Which quantile, under ``objective: quantile``: the share of languages that must do well."""
    weights: dict[str, float] = Field(default_factory=dict)
    """Weight of each target language; default 1 for the languages in the mixture and 0 for those outside."""
    floors: dict[str, float] = Field(default_factory=dict)
    """Least share of a language."""
    ceilings: dict[str, float] = Field(default_factory=dict)
    """Greatest share of a language."""
    max_epochs: Annotated[float, Field(gt=0)] | Literal["auto"] | None = "auto"
    """Most passes over a language's unique tokens in the target run; none for no limit. ``auto`` leaves it to a law
    that knows repetition and has seen it, and is 4 under any other, or the fewest passes that leave a mixture."""
    groups: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Name to ``{languages: [...], floor: x, ceiling: y, max_epochs: z}`` for the sum of their shares; ``keep: within``
    leaves the relative shares inside it as they are in the mixture in use (else the natural one), ``keep: between``
    their sum. A group of ``sources`` has its members already."""
    current: dict[str, float] = Field(default_factory=dict)
    """The mixture in use today, shown beside the optimum."""
    kl: float = Field(0.0, ge=0)
    """Weight of the KL divergence to the mixture ``near``, which holds the optimum near where there is data."""
    l1: float = Field(0.0, ge=0)
    """Weight of the sum of absolute differences to it, which leaves as many shares as they are as it can."""
    near: Literal["natural", "current"] = "natural"
    """The mixture that ``kl`` and ``l1`` hold on to."""

    phases: int = Field(1, ge=1, le=MOST_PHASES)
    """Mixtures that the run has one after the other, sought together under limits on the whole run; 1 is one mixture
    from start to end. More need a law that knows order (``LAW+order``) and runs whose mixtures changed."""
    boundaries: list[Annotated[float, Field(gt=0, lt=1)]] | Literal["free"] | None = None
    """Shares of the run's tokens after which its mixture changes; default those of the runs. ``free`` seeks the end of
    the first of two phases as well."""

    rehearsal: float = Field(0.1, ge=0, le=1)
    """Least share of a language in every phase, as a part of its share in the best single mixture: models forget a
    language that is not read for a while, and laws have no term for that."""

    @model_validator(mode="after")
    def _one_boundary_per_change(self) -> OptimizeConfig:
        if self.boundaries == "free" and self.phases != 2:
            raise ValueError(f"boundaries: free, and {self.phases} phases; expected phases: 2")
        check_boundaries(self.boundaries if isinstance(self.boundaries, list) else None, self.phases)
        if self.phases > 1 and (kept := [name for name, one in self.groups.items() if one.get("keep") == "within"]):
            raise ValueError(
                f"groups.{kept[0]} keeps its shares within, and {self.phases} phases; expected one of the two"
            )
        return self

    @model_validator(mode="after")
    def _one_distance(self) -> OptimizeConfig:
        if self.kl and self.l1:
            raise ValueError("kl and l1 at once; give one of them")
        if self.near == "current" and not self.current:
            raise ValueError("near: current, but no current mixture is given")
        return self
