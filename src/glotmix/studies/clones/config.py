"""A study of clones as a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from glotmix.config import Section, checked
from glotmix.corpus.config import CorpusConfig
from glotmix.errors import BadInput
from glotmix.probe.equivalents import FEWEST_BUDGETS
from glotmix.proxy.config import ProxyConfig
from glotmix.study.training import on_rung
from glotmix.sweep.config import SweepConfig
from glotmix.tokens.clone import ClonesConfig
from glotmix.tokens.config import TokensConfig


class AnchorsConfig(Section):
    """Share of the vocabulary that both clones keep, at equal shares."""

    shares: list[float] = Field(default_factory=list)
    """Each is an arm; 0 is the main arm's 50/50 and 1 is the text itself."""
    by: Literal["random", "frequency"] = "random"
    """Which ids are kept."""
    seeds: int = Field(1, ge=1)
    """Seeds of each."""


class ManyConfig(Section):
    """More than two clones."""

    n: int = Field(10, ge=3, le=100)
    """Languages."""
    main: list[float] = Field(default_factory=lambda: [0.1, 0.5])
    """Shares of the first; the others have equal parts of the rest."""
    seeds: int = Field(1, ge=1)
    """Seeds of each."""


class RelativesConfig(Section):
    """Languages that write with the same ids and mean other things by a share of them, at equal shares."""

    permuted: list[float] = Field(default_factory=list)
    """Shares of the ids that are permuted; each is an arm."""
    seeds: int = Field(1, ge=1)
    """Seeds of each."""


class PairConfig(Section):
    """The same on two real languages, each in its own ids or in common ones."""

    languages: list[str] = Field(min_length=2, max_length=2)
    """The two; the first is the main one."""
    vocabulary: list[Literal["disjoint", "merged"]] = Field(default=["disjoint", "merged"])
    """``disjoint``: the second language's ids are its own; ``merged``: equal pieces have equal ids."""
    splits: list[float] = Field(default_factory=lambda: [0.5, 0.1])
    """Shares of the second language."""
    schedules: list[list[float]] = Field(default_factory=list)
    """Shares of the second language in stages of equal length; ``[0.1, 0.9]`` swaps."""
    seeds: int = Field(1, ge=1)
    """Seeds of each."""


class LensesConfig(Section):
    """The yardstick: what each lens on transfer says of languages that are equal."""

    splits: list[float] = Field(default_factory=list)
    """Shares of the second clone; none leaves the lenses out."""
    seeds: int = Field(1, ge=1)
    """Runs of each."""
    every: int = Field(20, ge=1)
    """In-run scores: updates between two measurements."""
    windows: int = Field(16, ge=1)
    """In-run scores: held-out sequences of each language."""
    tests: int = Field(16, ge=2)
    """TracIn: held-out sequences of each language."""
    trained: int = Field(200, ge=10)
    """TracIn: training sequences, drawn as the run drew them."""
    top: int = Field(20, ge=1)
    """TracIn: samples that count as the top."""


class AlignmentProbeConfig(Section):
    """What is read off the checkpoints."""

    sentences: int = Field(32, ge=2)
    """Held-out sequences."""


class CloneStudyConfig(Section):
    """A study file of ``kind: clones``."""

    instead: ClassVar[Mapping[str, str]] = {
        "sources": "what is mixed are clones of one language, whose text lies in corpus.path; parts of your data are "
        "mixed by a study of kind mixture",
        "targets": "what is measured is the held-out text of the clones; other texts are measured by kind mixture",
    }

    kind: Literal["clones"] = "clones"
    """This experiment."""
    name: str = Field(min_length=1, max_length=100)
    """Title of the report."""
    description: str = ""
    """What the study asks, in a sentence."""
    language: str
    """Text that is cloned."""
    seed: int = 0
    """Seed of everything that is drawn."""
    seeds: int = Field(3, ge=1)
    """Runs of each mixture of the main arm."""
    corpus: CorpusConfig = CorpusConfig()
    tokens: TokensConfig = TokensConfig()
    clones: ClonesConfig = ClonesConfig()
    """The main arm's clones."""
    proxy: ProxyConfig = ProxyConfig()
    sweep: SweepConfig = SweepConfig()
    splits: list[float] = Field(default_factory=lambda: [0.5, 0.1])
    """Shares of the second clone."""
    alone: list[float] = Field(default_factory=lambda: [0.05, 0.1, 0.25, 0.5, 1.0])
    """Budgets of runs on the first clone alone, as shares of ``proxy.tokens``: what token equivalents are read off."""
    alone_seeds: int | None = Field(None, ge=1)
    """Seeds of these runs; as many as ``seeds`` by default."""
    updates: list[float] = Field(default_factory=list)
    """Shares of ``proxy.tokens`` that a clone alone gets in as many updates as the whole run has, each on so much
    smaller a batch: what a share gains in a mixture beyond that is transfer and not the number of updates."""
    schedules: list[list[float]] = Field(default_factory=list)
    """Shares of the second clone in stages of equal length: ``[0.1, 0.9]`` swaps, ``[0, 1]`` is sequential."""
    budgets: list[float] = Field(default_factory=list)
    """Further budgets, as multiples of ``proxy.tokens``, at which every split is trained too."""
    sizes: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Further sizes of proxy at which splits and runs alone are repeated: a name, and the fields of ``proxy`` that are
    other there. Without ``width`` the name is a size ("1M") whose shape, batch and learning rate follow from the
    ladder's rules, except those given; tokens stay as they are. A list of names gives no fields."""
    vocabularies: dict[int, float] = Field(default_factory=dict)
    """Further vocabularies at which splits and runs alone are repeated, each with its training tokens (a larger
    vocabulary makes fewer tokens of the same text)."""
    vocabulary_splits: list[float] = Field(default_factory=lambda: [0.5, 0.1])
    """Shares of the second clone at each of them."""
    vocabulary_seeds: int = Field(1, ge=1)
    """Seeds at each of them."""
    anchors: AnchorsConfig = AnchorsConfig()
    relatives: RelativesConfig = RelativesConfig()
    many: ManyConfig | None = None
    pair: PairConfig | None = None
    lenses: LensesConfig = LensesConfig()
    probe: AlignmentProbeConfig = AlignmentProbeConfig()

    @field_validator("language")
    @classmethod
    def _resolve(cls, tag: str) -> str:
        from glotmix.language import Language

        try:
            return Language.resolve(tag).tag
        except BadInput as error:
            raise ValueError(str(error)) from None

    @field_validator("sizes", mode="before")
    @classmethod
    def _names_alone(cls, value: object) -> object:
        return {name: {} for name in value} if isinstance(value, list) else value

    @field_validator("splits")
    @classmethod
    def _shares(cls, values: list[float]) -> list[float]:
        if any(not 0 < value < 1 for value in values):
            raise ValueError(f"{values}: shares above 0 and below 1")
        return values

    @field_validator("alone", "budgets")
    @classmethod
    def _multiples(cls, values: list[float]) -> list[float]:
        if any(value <= 0 for value in values):
            raise ValueError(f"{values}: numbers above 0")
        return values

    @model_validator(mode="after")
    def _what_is_read_is_trained(self) -> CloneStudyConfig:
        if self.clones.n != 2:
            raise ValueError("clones.n: the main arm has two clones; more are asked for in `many`")
        if not self.splits and not self.alone:
            raise ValueError("splits and alone are both empty: the main arm has no runs")
        if 0 < len(set(self.alone)) < FEWEST_BUDGETS:
            raise ValueError(f"alone: {len(set(self.alone))} budgets; token equivalents need {FEWEST_BUDGETS}, or none")
        for share in self.updates:
            part = share * self.proxy.batch
            if not 0 < share < 1 or abs(part - round(part)) > 1e-9:
                raise ValueError(f"updates: {share:g} of a batch of {self.proxy.batch} are not whole sequences")
        try:
            for name in self.sizes:
                proxy_at(self, name)
        except BadInput as error:  # pydantic adds the field, the caller the file
            raise ValueError(str(error)) from None
        if lacking := [share for share in self.lenses.splits if share not in self.splits]:
            raise ValueError(f"lenses.splits: {lacking[0]:g} is none of the splits")
        if self.lenses.splits and self.proxy.evaluations < 2:
            raise ValueError("proxy.evaluations: in-run scores of the lenses need at least 2")
        return self


def proxy_at(config: CloneStudyConfig, name: str) -> ProxyConfig:
    """The proxy of one of ``sizes``.

    Raises:
        BadInput: a field that is none of a proxy's, or a name without a width that is no size.
    """
    own, where = config.sizes[name], f"sizes.{name}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise BadInput(f"a size called {name!r}", where="sizes", expected="letters, digits, dots and dashes")
    if "width" in own:
        return checked(ProxyConfig, config.proxy.model_dump() | own, where=where)
    kept = checked(ProxyConfig, config.proxy.model_dump() | own, where=where)
    by_rule = {"width", "layers", "heads", "feed_forward", "batch", "learning_rate"} - own.keys()
    return on_rung(kept, name, 2 * config.tokens.vocab_size, set(ProxyConfig.model_fields) - by_rule)
