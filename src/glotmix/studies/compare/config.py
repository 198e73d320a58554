"""A comparison of balancing methods as a file."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field, field_validator, model_validator

from glotmix.config import FieldErrors, Place, Section
from glotmix.corpus.config import CorpusConfig
from glotmix.errors import BadInput
from glotmix.language import Language
from glotmix.mixture.methods import parse
from glotmix.proxy.config import ProxyConfig
from glotmix.study.config import TrainingConfig
from glotmix.study.training import sized
from glotmix.sweep.config import SweepConfig
from glotmix.tokens.config import TokensConfig

V = TypeVar("V")


PAPER = (
    "proportional temperature:5 temperature:100 scalarization:5 unimax order_matters increasing cooldown doremi odm"
).split()
"""The methods that "Upsample or Upweight?" compares, and two more."""


class VarianceProbeConfig(Section):
    """The gradient variance on these corpora, measured at the end of the proportional run."""

    sequences: int = Field(64, ge=0)
    """Training sequences of each language; 0 leaves it out."""
    tau: float = Field(5.0, gt=0)
    """Temperature that sampling and weighting are compared at."""


class TranslationConfig(Section):
    """How translations are judged where the corpus is pairs (``corpus.reader: pairs``)."""

    sentences: int = Field(100, ge=0)
    """Held-out sentences of each source that every run translates, greedily, for BLEU and chrF (extra ``translate``); 0
    leaves it out."""


def _resolved(values: Mapping[str, V], sources: Set[str]) -> dict[str, V]:
    """The same keyed by tags: "sw" and "swh" are "swh_Latn"; names of sources stay."""
    return {name if name in sources else Language.resolve(name).tag: value for name, value in values.items()}


class CompareConfig(Section):
    """Which methods, on what, with how many seeds."""

    instead: ClassVar[Mapping[str, str]] = {
        "sources": "methods balance languages, each with all of its text (corpus.sources: a language to its path); "
        "shares of parts of the data are sought, and held against others, by a study of kind mixture",
        "targets": "methods are judged by the held-out text of the languages; other texts are measured by a study of "
        "kind mixture",
    }

    kind: Literal["compare"] = "compare"
    """Kind of the study file."""
    name: str = Field(min_length=1, max_length=100)
    """Title of the report."""
    description: str = ""
    """What it asks, in a sentence."""
    languages: list[str] = Field(min_length=2)
    """Languages, as tags; or names of sources that ``corpus.sources`` describes, such as pairs: ``eng-fra``."""
    seed: int = 0
    """Seed of everything that is drawn."""
    corpus: CorpusConfig = CorpusConfig()
    tokens: TokensConfig = TokensConfig()
    proxy: ProxyConfig = ProxyConfig(evaluations=12)
    sweep: SweepConfig = SweepConfig()
    methods: list[str] = Field(default_factory=lambda: list(PAPER), min_length=1)
    """Methods with their numbers (see ``glotmix methods``); the first is what the others are held against."""
    seeds: int = Field(3, ge=1)
    """Proxies of each method, the same seeds for all."""
    unique_tokens: dict[str, float] = Field(default_factory=dict)
    """Read no more than so many training tokens of a language, a fair sample of its text: how a long tail is made of
    corpora that have none."""
    unique_pairs: dict[str, int] = Field(default_factory=dict)
    """The same of pairs, in pairs."""
    high_resource: list[str] = Field(default_factory=list)
    """Languages of Order Matters' first stage; default those of at least the median size."""
    max_epochs: float | None = Field(None, gt=0)
    """Most passes over any language over a whole schedule; a method that needs more is an error. None: no limit."""
    probe: VarianceProbeConfig = VarianceProbeConfig()
    translation: TranslationConfig = TranslationConfig()

    @model_validator(mode="before")
    @classmethod
    def _tags(cls, data: Any) -> Any:
        """Languages in any spelling as tags; names of described sources stay."""
        if not isinstance(data, dict):
            return data
        corpus = data.get("corpus")
        known = corpus.sources if isinstance(corpus, CorpusConfig) else None
        told = corpus.get("sources") if isinstance(corpus, dict) else known
        sources = {name for name, one in told.items() if not isinstance(one, str)} if isinstance(told, dict) else set()
        found: dict[str, Any] = {}
        wrong: dict[Place, str] = {}
        for field in ("languages", "high_resource", "unique_tokens", "unique_pairs"):
            if isinstance(value := data.get(field), list | dict):
                keyed = value if isinstance(value, dict) else dict.fromkeys(map(str, value))
                try:
                    named = _resolved(keyed, sources)
                except BadInput as error:
                    wrong[(field,)] = str(error)
                else:
                    found[field] = named if isinstance(value, dict) else list(named)
        if wrong:
            raise FieldErrors(wrong)
        return {**data, **found}

    @field_validator("methods")
    @classmethod
    def _known(cls, methods: list[str]) -> list[str]:
        for method in methods:
            try:
                parse(method)
            except BadInput as error:
                raise ValueError(str(error)) from None
        if len(set(methods)) < len(methods):
            raise ValueError("a method is listed twice")
        return methods

    @property
    def learns_pairs(self) -> bool:
        """Whether the runs learn to translate."""
        return any(self.corpus.is_pairs(name) for name in self.languages)

    def as_training(self) -> TrainingConfig:
        """What the proxies are trained by, their size worked out."""
        return TrainingConfig(
            name=self.name,
            languages=self.languages,
            seed=self.seed,
            corpus=self.corpus,
            tokens=self.tokens,
            proxy=sized(self.proxy, self.tokens.vocab_size),
            sweep=self.sweep,
        )
