"""Balancing methods side by side, as plain data: what a comparison measured, before any drawing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from glotmix.estimate import Estimate
from glotmix.wording import counted, interval, listed, number, signed

SURE = 0.05
"""p below which a difference counts as measured."""
MEAN, WORST = "mean", "worst"
"""Names of the two summaries beside the languages."""


@dataclass(frozen=True)
class EvaluationPoint:
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
class OverfittingRow:
    """Whether a method overfits or forgets a language, and since when."""

    method: str
    """The method."""
    language: str
    """The language."""
    moments: tuple[EvaluationPoint, ...]
    """Evaluations, in order."""
    best: EvaluationPoint
    """The evaluation with the least held-out loss."""
    rise: Estimate
    """Held-out loss at the end minus that at ``best``, nats per token, over seeds."""
    gap: Estimate
    """Held-out minus training loss at the end, nats per token."""

    @property
    def rises(self) -> bool:
        """Whether the held-out loss rises again beyond the noise."""
        return self.rise.low is not None and self.rise.low > 0

    @property
    def overfits(self) -> bool:
        """Whether it rises while the loss on training text falls."""
        return self.rises and self.moments[-1].trained <= self.best.trained

    @property
    def forgets(self) -> bool:
        """Whether it rises together with the loss on training text: the language is no longer read enough."""
        return self.rises and not self.overfits

    @property
    def verdict(self) -> str:
        """The same in words."""
        if self.gap.low is None and self.rise.low is None:
            return "one seed only"
        if not self.rises:
            return "does not overfit"
        return f"{'overfits' if self.overfits else 'forgets'} after {number(self.best.epochs, 1)} epochs"

    def tokens_at(self, epochs: float) -> float | None:
        """Training tokens at which the language has been read so many times; None if it never is."""
        before = EvaluationPoint(0.0, 0.0, math.nan, math.nan)
        for moment in self.moments:
            if moment.epochs >= epochs:
                share = (epochs - before.epochs) / (moment.epochs - before.epochs)
                return before.tokens + share * (moment.tokens - before.tokens)
            before = moment
        return None


@dataclass(frozen=True)
class MethodRow:
    """One method."""

    method: str
    """As it was written."""
    formula: str
    """What it does."""
    source: str
    """Paper."""
    is_static: bool
    """Whether one mixture is sampled throughout, without loss weights and without adapting."""
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
    quality: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    """Metric of translations to the language (or "mean") to its score, where runs learn to translate."""


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
    more: bool = False
    """Whether more is better: a difference of scores, and not of losses."""

    @property
    def verdict(self) -> str:
        """How ``one`` does against ``other``: an :data:`glotmix.estimate.Outcome`."""
        if math.isnan(self.p):
            return "no noise known"
        if self.p >= SURE:
            return "within the noise"
        return "better" if (self.difference.value > 0) == self.more else "worse"


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
    rows: tuple[MethodRow, ...]
    """The methods."""
    pairs: tuple[Pair, ...]
    """Every pair of methods on every language, their mean and the worst."""
    watches: tuple[OverfittingRow, ...]
    """Every method on every language."""
    predicted_epochs: float
    """Epochs from which a repeated token is worth less than 1/e of a new one by the data-constrained law."""
    side: Side | None
    """The gradient variance on these corpora; None where it was not probed."""
    lost: Mapping[str, str]
    """Runs that are not complete, with the reason."""
    precision: str = ""
    """Of the runs' matrix products."""
    quality: Mapping[str, tuple[Pair, ...]] = field(default_factory=dict)
    """Metric of translations to every pair of methods on every language and their mean."""
    sentences: Mapping[str, int] = field(default_factory=dict)
    """Language to held-out sentences that every run translated."""

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
        return _found(self.pairs, one, other, language)

    def quality_pair(self, metric: str, one: str, other: str, language: str) -> Pair | None:
        """Two methods' translations of a language, in this order."""
        return _found(self.quality.get(metric, ()), one, other, language)

    def watch(self, method: str, language: str) -> OverfittingRow | None:
        """A method on a language."""
        return next((w for w in self.watches if (w.method, w.language) == (method, language)), None)

    def to_json(self) -> dict[str, Any]:
        """A plain dict; NaN becomes None."""
        found: dict[str, Any] = _plain(dataclasses.asdict(self))
        return found


def headline(found: Comparison) -> str:
    """Which method has the least mean loss, and which cannot be told from it."""
    best = min(found.rows, key=lambda row: row.loss[MEAN].value)
    others = [row.method for row in found.rows if row is not best]
    if not others:
        return f"Only {best.method} was trained: there is nothing to hold it against."
    verdicts = {name: _verdict(found, best.method, name, MEAN) for name in others}
    if found.seeds < 2:
        return f"{best.method} has the least mean loss, but one seed says nothing about the noise."
    level = [name for name, verdict in verdicts.items() if verdict != "better"]
    beaten = len(others) - len(level)
    start = f"{best.method} has the least mean loss over the languages"
    if not level:
        return f"{start}, below each of the other {beaten} methods beyond the noise."
    if not beaten:
        return f"{start}, but none of the other {len(others)} methods can be told from it."
    return f"{start}; {listed(level)} cannot be told from it, {counted(beaten, 'method')} can."


def about_the_smallest(found: Comparison, name: str) -> list[str]:
    """Sentences on the language with the least text: who is best on it, and who overfits it."""
    language = found.smallest
    best = min(found.rows, key=lambda row: row.loss[language].value)
    told = f"{name}, the language with the least text, ends best with {best.method}"
    if found.seeds < 2:
        return [f"{told}."]
    others = [row.method for row in found.rows if row is not best]
    level = [one for one in others if _verdict(found, best.method, one, language) != "better"]
    sentences = [f"{told}; {listed(level)} cannot be told from it." if level else f"{told}."]
    for watch in (watch for watch in found.watches if watch.language == language and watch.rises):
        what = "overfits" if watch.overfits else "forgets"
        also = "falls" if watch.overfits else "rises too"
        sentences.append(
            f"{watch.method} {what} it: the held-out loss is least after {number(watch.best.epochs, 1)} epochs and "
            f"{interval(watch.rise)} nats per token higher at the end, after {number(watch.moments[-1].epochs, 1)}, "
            f"while that on training text {also}."
        )
    if not any(watch.overfits for watch in found.watches if watch.language == language):
        sentences.append("No method overfits it beyond the noise.")
    return sentences


def about_cooldown(found: Comparison, names: Mapping[str, str]) -> list[str]:
    """Does Cooldown reach the best low-resource loss of the static methods, without their overfitting, at what cost?"""
    cooldown = next((row for row in found.rows if row.method.partition(":")[0] == "cooldown"), None)
    static = [row for row in found.rows if row.is_static]
    if cooldown is None or not static or found.seeds < 2:
        return []
    language = found.smallest
    best = min(static, key=lambda row: row.loss[language].value)
    pair, watch = found.pair(cooldown.method, best.method, language), found.watch(cooldown.method, language)
    assert pair is not None
    assert watch is not None
    reached = {
        "better": "goes below",
        "worse": "does not reach",
        "within the noise": "can neither be told from nor be said to reach",
        "no noise known": "can neither be told from nor be said to reach",
    }[pair.verdict]
    sentences = [
        f"Cooldown {reached} the best low-resource loss of the static methods ({best.method}): "
        f"{names[language]} {signed(pair.difference.value)} bits per byte ({pair.verdict}), and " + _after(watch)
    ]
    changes = []
    for high in found.languages[: len(found.languages) // 2]:
        against = found.pair(cooldown.method, found.baseline, high)
        if against is not None:
            changes.append(f"{names[high]} {signed(against.difference.value)} ({against.verdict})")
    if changes:
        sentences.append(f"Against {found.baseline} the languages with most text change by: {listed(changes)}.")
    return sentences


def _after(watch: OverfittingRow) -> str:
    if watch.forgets:
        return f"forgets it after {number(watch.best.epochs, 1)} epochs, once it is read too little."
    return "overfits it too." if watch.overfits else "does not overfit it."


def about_translations(found: Comparison, names: Mapping[str, str]) -> list[str]:
    """Whose translations are best by each metric, on the mean and into the language with the fewest pairs."""
    sentences = []
    for metric in found.quality:
        for language, where in ((MEAN, "over the languages"), (found.smallest, f"of {names[found.smallest]}")):
            best = max(found.rows, key=lambda row: row.quality[metric][language].value)
            told = f"By {metric} {where}, {best.method} translates best ({interval(best.quality[metric][language], 1)})"
            pairs = {
                row.method: found.quality_pair(metric, best.method, row.method, language)
                for row in found.rows
                if row is not best
            }
            level = [name for name, pair in pairs.items() if pair is None or pair.verdict != "better"]
            sentences.append(f"{told}; {listed(level)} cannot be told from it." if level and pairs else f"{told}.")
    return sentences


def about_the_side(side: Side) -> str:
    """Which side of the general condition these corpora are on."""
    low, high = side.variances.low, side.variances.high
    known = low is not None and high is not None and (low > 1 or high < 1)
    quieter = "sampling" if side.variances.value > 1 else "weighting"
    told = (
        f"At τ = {side.tau:g}, weighting has {interval(side.variances, 2)} times the gradient variance of sampling "
        f"(the theory with equal gradients says {number(side.factor, 2)})"
    )
    if not known:
        return f"{told}: which is the quieter on these corpora cannot be told."
    return f"{told}: on these corpora {quieter} is the quieter form."


def _verdict(found: Comparison, one: str, other: str, language: str) -> str:
    pair = found.pair(one, other, language)
    return "" if pair is None else pair.verdict


def _found(pairs: Iterable[Pair], one: str, other: str, language: str) -> Pair | None:
    for pair in pairs:
        if pair.language == language and {pair.one, pair.other} == {one, other}:
            return pair if pair.one == one else _turned(pair)
    return None


def _turned(pair: Pair) -> Pair:
    value, low, high = pair.difference.value, pair.difference.low, pair.difference.high
    turned = Estimate(-value, None if high is None else -high, None if low is None else -low)
    return Pair(pair.other, pair.one, pair.language, turned, pair.p, pair.more)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
