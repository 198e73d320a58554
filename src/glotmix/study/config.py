"""What every kind of study trains by: languages, corpus, tokens, proxies, the target run, and the sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pydantic import Field

from glotmix.config import Section
from glotmix.corpus.config import CorpusConfig
from glotmix.proxy.config import ProxyConfig
from glotmix.sweep.config import SweepConfig
from glotmix.tokens.config import TokensConfig


class TargetConfig(Section):
    """The expensive run that the study is for."""

    tokens: float | None = Field(None, gt=0)
    """Training tokens D of the target run; default: so many that proxies repeat data as they are (no scaling)."""
    parameters: float | None = Field(None, gt=0)
    """Parameters N (without embeddings) of the target model; used by laws that know N."""
    unique_tokens: dict[str, float] = Field(default_factory=dict)
    """Unique tokens U of a language in the target's corpus, where the study's own corpus is only a sample of it."""


class TrainedBy(Protocol):
    """What :class:`glotmix.study.training.Training` reads of a configuration, whatever else that holds."""

    @property
    def name(self) -> str: ...
    @property
    def languages(self) -> Sequence[str]: ...
    @property
    def outside(self) -> Sequence[str]: ...
    @property
    def seed(self) -> int: ...
    @property
    def corpus(self) -> CorpusConfig: ...
    @property
    def tokens(self) -> TokensConfig: ...
    @property
    def proxy(self) -> ProxyConfig: ...
    @property
    def target(self) -> TargetConfig: ...
    @property
    def sweep(self) -> SweepConfig: ...


def told_unique(config: TrainedBy) -> dict[str, float]:
    """Unique tokens U of the target's corpus, as far as the study tells them: a source may tell its own."""
    own = {name: one.tokens for name, one in config.corpus.described.items() if one.tokens is not None}
    return {**own, **config.target.unique_tokens}


class TrainingConfig(Section):
    """The part of a study file that proxies are trained by."""

    name: str
    """Title of the study."""
    languages: list[str] = Field(min_length=1)
    """Languages that are trained on, as tags."""
    outside: list[str] = Field(default_factory=list)
    """Languages that are measured but never trained on."""
    seed: int = 0
    """Seed of everything that is drawn."""
    corpus: CorpusConfig = CorpusConfig()
    tokens: TokensConfig = TokensConfig()
    proxy: ProxyConfig = ProxyConfig()
    target: TargetConfig = TargetConfig()
    sweep: SweepConfig = SweepConfig()
