"""The section `design` of a study: which mixtures to train."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from glotmix.config import Section
from glotmix.mixture.phases import MOST_PHASES, check_boundaries


class ActiveConfig(Section):
    """Runs added batch by batch, each chosen by what the runs so far leave open, until that is settled or the budget is
    spent. At least one of ``runs``, ``flops`` and ``hours`` is given; the first that is reached ends it."""

    aim: Literal["optimum", "shapley"] = "optimum"
    """What is to become certain: the optimum against its rivals, or the Shapley values of the law."""
    batch: int = Field(4, ge=1)
    """Runs between two decisions; as many as run side by side cost no time."""
    runs: int | None = Field(None, ge=1)
    """Most runs of the design in all, the first ones included."""
    flops: float | None = Field(None, gt=0)
    """Most training FLOPs of the design in all."""
    hours: float | None = Field(None, gt=0)
    """Most hours that the study may have worked when the last batch ends."""
    tolerance: float | None = Field(None, gt=0)
    """Settled below this. Optimum: what another choice could win, relative to the objective (default 0.001). Shapley
    values: half-width of their intervals relative to the values, root mean square (default 0.1)."""

    @model_validator(mode="after")
    def _some_budget(self) -> ActiveConfig:
        if self.runs is None and self.flops is None and self.hours is None:
            raise ValueError("no budget: give runs, flops or hours")
        return self


class DesignConfig(Section):
    """Which mixtures to train."""

    players: Literal["sources", "group", "language", "family"] = "sources"
    """Players of the game: every source by itself, or groups of them that come and go as wholes, by the sources'
    ``group``, language or language family. Groups have Shapley values between them, their members Owen values."""
    coalitions: Literal["all", "between", "sampled", "none"] = "all"
    """``all`` 2^n - 1 subsets of the languages, ``sampled`` ones, or none. Where groups play, all that Owen values
    need; ``between``: whole groups alone, whose members then have no values of their own."""
    most_coalitions: int = Field(127, ge=1, le=1023)
    """Coalitions above which ``all`` and ``between`` are refused, so that nobody trains a thousand proxies unawares:
    127 are all of 7 languages, 1023 all of 10. ``--dry-run`` tells what they cost."""
    sampled_coalitions: int = Field(32, ge=1)
    """How many subsets when ``coalitions: sampled``."""
    budget: Literal["fixed", "own", "capped"] = "fixed"
    """``fixed``: every coalition trains on the same D, shares renormalised; one of little text repeats it. ``own``:
    absent languages take their tokens away and the run is shorter. ``capped``: no member is read more than ``passes``
    times; what one cannot take goes to the others, and what nobody can take makes the run shorter."""
    base: Literal["uniform", "natural"] = "uniform"
    """Mixture of the full coalition, from which the others are cut."""
    empty: Literal["uniform_tokens", "unigram"] = "unigram"
    """Loss of the empty coalition: ln V per token (what an untrained proxy scores), or a unigram over all languages.
    Where proxies start from a model it is that model's."""
    swarm: int = Field(12, ge=0)
    """Mixtures drawn from a Dirichlet distribution."""
    swarm_concentration: float = Field(1.0, gt=0)
    """Dirichlet concentration per language: 1 is uniform on the simplex, below 1 prefers its corners and edges."""
    passes: float | None = Field(None, gt=0)
    """Most passes over a language's text in a mixture of the swarm, and in coalitions whose ``budget`` is ``capped``,
    counted in the target run; None for no limit. Where proxies repeat text as the target would, mixtures far beyond
    what it may do tell nothing of the optimum."""
    beyond: int = Field(1, ge=0)
    """With ``passes``: runs per language that read it 2, 4, … times as often, to see where its loss turns."""
    schedules: int = Field(0, ge=0)
    """Runs whose mixture changes, drawn for all phases together, so that laws can tell when a language is best read;
    fitted to. Default 24 where ``optimize.phases`` asks for more than one."""
    phases: int = Field(2, ge=2, le=MOST_PHASES)
    """Phases of these runs; default those of ``optimize.phases``."""
    boundaries: list[Annotated[float, Field(gt=0, lt=1)]] | None = None
    """Shares of the run after which their mixture changes; default where the learning rate's decay (``proxy.decay``)
    begins, else 0.8, the phases before being equal."""
    swarm_roles: Literal["fit", "held_out"] = "held_out"
    """Whether the swarm is fitted to or held out to judge the laws."""
    anchors: int = Field(2, ge=0)
    """Mixtures that are repeated to measure the noise (the full coalition first, then single languages)."""
    anchor_seeds: int = Field(2, ge=1)
    """Extra seeds of each anchor."""
    seeds: int = Field(1, ge=1)
    """Seeds of every other mixture."""
    ladder: list[str] = Field(default_factory=list)
    """Other sizes ("0.1M", "1M") at which mixtures are trained too, so that laws see N and D vary; shapes, batches,
    learning rates and tokens follow the ladder's rules."""
    ladder_tokens: float = Field(20.0, gt=0)
    """Training tokens per parameter on the ladder; 20 is near compute-optimal (Hoffmann et al. 2022)."""
    ladder_mixtures: int = Field(6, ge=1)
    """How many mixtures at each of these sizes: the full coalition first, then those of the swarm."""
    active: ActiveConfig | None = None
    """Further runs, chosen by what the runs above leave open."""

    @model_validator(mode="after")
    def _one_boundary_per_change(self) -> DesignConfig:
        check_boundaries(self.boundaries, self.phases)
        return self

    @model_validator(mode="after")
    def _capped_at_something(self) -> DesignConfig:
        if self.budget == "capped" and self.passes is None:
            raise ValueError("budget: capped, and no passes to cap at: give passes, for instance 8, or budget: fixed")
        return self
