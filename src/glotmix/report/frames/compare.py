"""Balancing methods side by side, as plain data: what a comparison measured, before any drawing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from glotmix.report.evidence import Estimate

SURE = 0.05
"""p below which a difference counts as measured."""
MEAN, WORST = "mean", "worst"
"""Names of the two summaries beside the languages."""


@dataclass(frozen=True)
class Moment:
    """A method and a language at one evaluation, means over seeds."""

    tokens: float
    """Training tokens so far, of all languages."""
    epochs: float
    """Passes over the language's unique tokens so far."""
    trained: float
    """Loss on text that is trained on, nats per token."""
    held_out: float
    """Loss on held-out text, nats per token."""


@dataclass(frozen=True)
class Watch:
    """Whether a method overfits a language, and since when."""

    method: str
    """The method."""
    language: str
    """The language."""
    moments: tuple[Moment, ...]
    """Evaluations, in order."""
    best: Moment
    """The evaluation with the least held-out loss."""
    rise: Estimate
    """Held-out loss at the end minus that at ``best``, nats per token, over seeds."""
    gap: Estimate
    """Held-out minus training loss at the end, nats per token."""

    @property
    def overfits(self) -> bool:
        """Whether the held-out loss rises again beyond the noise."""
        return self.rise.low is not None and self.rise.low > 0


@dataclass(frozen=True)
class Row:
    """One method."""

    method: str
    """As it was written."""
    formula: str
    """What it does."""
    source: str
    """Paper."""
    seeds: int
    """Complete runs."""
    loss: Mapping[str, Estimate]
    """Final held-out loss, bits per byte, of every language, their mean, and the worst of them."""
    worst_language: str
    """Language with the greatest loss."""
    tokens_to: Mapping[str, float | None]
    """Tokens until the language (or the mean) has the loss that the baseline ends with; None: never."""
    flops: float
    """Training FLOPs, those of runs beforehand and of the method's own looking included."""
    epochs: Mapping[str, float]
    """Passes over each language's unique tokens."""
    shares: Mapping[str, float]
    """Realised share of each language."""
    stages: tuple[tuple[float, Mapping[str, float]], ...]
    """Where each stage starts, and each language's epochs by then; one stage without a schedule."""


@dataclass(frozen=True)
class Pair:
    """Two methods on one language, paired by seed."""

    one: str
    """A method."""
    other: str
    """Another."""
    language: str
    """A language, "mean" or "worst"."""
    difference: Estimate
    """Loss of ``one`` minus that of ``other``, bits per byte; below zero, ``one`` is better."""
    p: float
    """Two-sided p of no difference, after Holm over all pairs on this language; NaN with one seed."""

    @property
    def verdict(self) -> str:
        """ "better", "worse" or "within the noise": how ``one`` does against ``other``."""
        if math.isnan(self.p):
            return "one seed only"
        if self.p >= SURE:
            return "within the noise"
        return "better" if self.difference.value < 0 else "worse"


@dataclass(frozen=True)
class Side:
    """On which side of the theory these corpora are: is sampling or weighting the quieter at the temperature probed?"""

    tau: float
    """Temperature that both forms stand for; weighting samples in proportion."""
    G: Mapping[str, Estimate]
    """Second moment of each language's single-sequence gradients."""
    factor: float
    """``F(τ)``: the ratio were all second moments equal."""
    second_moments: Estimate
    """``E‖g‖²`` of weighting over that of sampling, by the second moments measured."""
    variances: Estimate
    """Variance of weighting over that of sampling, by the same."""
    weights: Mapping[str, float]
    """Loss weights."""
    shares: Mapping[str, float]
    """Each language's share of the weighted gradient's second moment."""


@dataclass(frozen=True)
class Comparison:
    """Everything a page on a comparison shows."""

    baseline: str
    """Method that the others are held against."""
    sizes: Mapping[str, float]
    """Unique tokens of each language."""
    tokens: float
    """Training tokens of every run."""
    seeds: int
    """Seeds of each method."""
    rows: tuple[Row, ...]
    """The methods."""
    pairs: tuple[Pair, ...]
    """Every pair of methods on every language, their mean and the worst."""
    watches: tuple[Watch, ...]
    """Every method on every language."""
    predicted_epochs: float
    """Epochs from which a repeated token is worth less than 1/e of a new one by the data-constrained law."""
    side: Side | None
    """The gradient variance on these corpora; None where it was not probed."""
    lost: Mapping[str, str]
    """Runs that are not complete, with the reason."""

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages, the largest first."""
        return tuple(sorted(self.sizes, key=lambda name: -self.sizes[name]))

    @property
    def smallest(self) -> str:
        """The low-resource language of the question."""
        return self.languages[-1]

    def pair(self, one: str, other: str, language: str) -> Pair | None:
        """Two methods on a language, in this order."""
        for pair in self.pairs:
            if pair.language == language and {pair.one, pair.other} == {one, other}:
                return pair if pair.one == one else _turned(pair)
        return None

    def watch(self, method: str, language: str) -> Watch | None:
        """A method on a language."""
        return next((w for w in self.watches if (w.method, w.language) == (method, language)), None)

    def to_json(self) -> dict[str, Any]:
        """A plain dict; NaN becomes None."""
        found: dict[str, Any] = _plain(dataclasses.asdict(self))
        return found


def _turned(pair: Pair) -> Pair:
    value, low, high = pair.difference.value, pair.difference.low, pair.difference.high
    turned = Estimate(-value, None if high is None else -high, None if low is None else -low)
    return Pair(pair.other, pair.one, pair.language, turned, pair.p)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
