"""In what a number of a target is told: losses as they are, scores in points, where more is better."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from glotmix.estimate import Estimate
from glotmix.report.evidence import Evidence
from glotmix.scored import Scored
from glotmix.transfer.matrix import TransferMatrix

OBJECTIVES = {
    "mean": "mean loss",
    "weighted": "weighted mean loss",
    "normalised": "mean normalised loss",
    "worst": "loss of the worst language",
    "regret": "largest loss above a language's own best",
    "quantile": "loss of all but the worst languages",
}
RELATIVE = ("normalised", "worst", "quantile")
"""Objectives whose losses are divided by each target's own best."""
POINTS = 100.0
"""Points of a score from 0 to 1."""


@dataclass(frozen=True)
class Reading:
    """How losses, or errors that stand for scores, are told."""

    unit: str
    """Unit of what is told."""
    what: str = "loss"
    """What it is."""
    factor: float = 1.0
    """From a loss or an error to the unit."""
    turned: bool = False
    """Whether it is one minus what is inside: the more the better."""

    @property
    def better(self) -> str:
        """Where better is."""
        return "right" if self.turned else "left"

    @property
    def higher(self) -> str:
        """How a better number compares with a worse one."""
        return "higher" if self.turned else "lower"

    def value(self, x: float) -> float:
        """One number."""
        return self.factor * (1 - x if self.turned else x)

    def of(self, inside: Estimate) -> Estimate:
        """A loss or error with its interval."""
        low, high = (None if x is None else self.value(x) for x in (inside.low, inside.high))
        return Estimate(self.value(inside.value), *((high, low) if self.turned else (low, high)))

    def change(self, inside: Estimate) -> Estimate:
        """What a loss or error changes by: below zero is better inside, and above zero where this is turned."""
        sign = -self.factor if self.turned else self.factor
        low, high = (None if x is None else sign * x for x in (inside.low, inside.high))
        return Estimate(sign * inside.value, *((high, low) if self.turned else (low, high)))

    def gain(self, inside: Estimate) -> Estimate:
        """A difference of which more is better, inside as here."""
        low, high = (None if x is None else self.factor * x for x in (inside.low, inside.high))
        return Estimate(self.factor * inside.value, low, high)


def _of_score(scored: Scored) -> Reading:
    return Reading("points", "score" if scored.higher_is_better else "error", POINTS, scored.higher_is_better)


def reading(evidence: Evidence, target: str) -> Reading:
    """How one target is told."""
    scored = evidence.scored.get(target)
    return Reading(evidence.unit) if scored is None else _of_score(scored)


def reading_of(evidence: Evidence, targets: Iterable[str]) -> Reading:
    """How numbers of several targets are told, which are of one kind."""
    first = next(iter(targets), None)
    return Reading(evidence.unit) if first is None else reading(evidence, first)


def aim(evidence: Evidence) -> Reading:
    """How the objective is told: mean scores as a score, anything relative by itself."""
    advice = evidence.advice
    if advice is None:
        return Reading(evidence.unit, "loss")
    weights = advice.weights or dict.fromkeys(advice.optimum.mixture, 1.0)
    counted = [evidence.scored.get(target) for target, weight in weights.items() if weight > 0]
    scores = [one for one in counted if one is not None]
    words, kind = evidence.in_own_words(OBJECTIVES[advice.objective]), "loss"
    if scores:
        kind = "error" if len(scores) == len(counted) else "loss or error"
    if advice.objective in RELATIVE and advice.reference:
        return Reading("× own best", words.replace("loss", kind))
    if kind == "loss":
        return Reading(evidence.unit, words)
    if kind == "error" and advice.objective == "regret":
        return Reading("points", words.replace("loss above", "error above"), POINTS)
    if kind == "error" and len({one.higher_is_better for one in scores}) == 1:
        one = _of_score(scores[0])
        return Reading(one.unit, words.replace("loss", one.what), one.factor, one.turned)
    return Reading("", words.replace("loss", kind))


def gain_unit(evidence: Evidence, matrix: TransferMatrix, target: str) -> str:
    """Unit of what a target gains in a matrix."""
    if target in evidence.scored:
        return "of the score"
    return evidence.unit if evidence.scored else matrix.unit
