"""How sure: mixtures that were trained after they were predicted, and whether differences exceed the noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glotmix.estimate import Estimate, Outcome, pooled_means, unpaired, verdict
from glotmix.report.evidence import Advice, Evidence, Trained
from glotmix.report.frames.languages import foretold_in_words
from glotmix.report.frames.units import RELATIVE, aim
from glotmix.wording import NBSP, listed, number

SENTENCES: dict[Outcome, str] = {
    "worse": "Measured, the optimum is worse than {} beyond the noise.",
    "better": "Measured, the optimum is better than {} beyond the noise.",
    "within the noise": "Against {} the difference is within the noise: these runs cannot tell which is better.",
    "no noise known": "Against {} no noise between seeds is known, so nothing tells a difference from chance.",
}
"""The closed loop's findings, the most important first."""


@dataclass(frozen=True)
class LoopRow:
    """One trained mixture."""

    name: str
    """Name of the mixture."""
    seeds: tuple[float, ...]
    """Measured objective of each seed."""
    measured: Estimate
    """Their mean and 95 % interval, from the spread between seeds pooled over all trained mixtures."""
    predicted: Estimate | None
    """What the law expected."""


@dataclass(frozen=True)
class LoopVerdict:
    """The optimum against one baseline, as measured."""

    baseline: str
    """Name of the baseline."""
    difference: Estimate
    """Baseline minus optimum; positive: the optimum is better."""
    outcome: Outcome
    """How the optimum compares."""


def objective_of(advice: Advice | None, trained: Trained, inside: tuple[str, ...]) -> tuple[float, ...]:
    """The objective of each seed, where the study did not say: see :mod:`glotmix.optimize.objective`.

    Seeds that lack one of the targets in the objective are left out.
    """
    if trained.objectives:
        return trained.objectives
    weights = dict(advice.weights) if advice is not None and advice.weights else dict.fromkeys(inside, 1.0)
    targets = [t for t, w in weights.items() if w > 0 and t in trained.measured]
    if not targets:
        targets, weights = list(trained.measured), dict.fromkeys(trained.measured, 1.0)
    seeds = min(len(trained.measured[t]) for t in targets)
    loss_ST = np.array([trained.measured[t][:seeds] for t in targets], dtype=float).T.reshape(seeds, len(targets))
    w_T = np.array([weights[t] for t in targets])
    if advice is not None and advice.reference:
        best_T = np.array([advice.reference[t] for t in targets])
        loss_ST = (
            loss_ST / best_T if advice.objective in RELATIVE else loss_ST - best_T * (advice.objective == "regret")
        )
    loss_ST = loss_ST[np.isfinite(loss_ST).all(axis=1)]
    if advice is not None and advice.objective in ("worst", "regret"):
        return tuple(map(float, (loss_ST * w_T).max(axis=1)))
    return tuple(map(float, loss_ST @ w_T / w_T.sum()))


def loop_rows(evidence: Evidence) -> list[LoopRow]:
    """Trained mixtures, the best measured first.

    The spread between seeds is pooled over mixtures (:func:`glotmix.estimate.pooled_means`).
    """
    if not evidence.trained:
        return []
    inside = _inside(evidence)
    seeds = {t.name: objective_of(evidence.advice, t, inside) for t in evidence.trained}
    predicted = {t.name: t.objective for t in evidence.trained}
    rows = [LoopRow(name, seeds[name], mean, predicted[name]) for name, mean in pooled_means(seeds).items()]
    return sorted(rows, key=lambda row: row.measured.value)


def verdicts(evidence: Evidence) -> list[LoopVerdict]:
    """The optimum against each baseline: the study's own (paired) test, else means and a pooled 95 % t interval."""
    rows = {row.name: row for row in loop_rows(evidence)}
    if "optimum" not in rows:
        return []
    tested = {t.name: t.difference for t in evidence.trained if t.difference is not None}
    found = unpaired({name: row.seeds for name, row in rows.items()}, "optimum") | {
        name: difference for name, difference in tested.items() if name in rows
    }
    return [LoopVerdict(name, found[name], verdict(found[name])) for name in rows if name != "optimum"]


def summary(evidence: Evidence) -> str:
    """The closed loop in plain words."""
    if not evidence.trained:
        how = (
            "Set validation.seeds to 3 or more to close it."
            if evidence.config
            else "Train it and its rivals with three seeds or more each to close it."
        )
        return (
            f"The loop is open: nothing was trained on the recommended mixture, so its gain is a prediction only. {how}"
        )
    found = verdicts(evidence)
    if not found:
        return "Mixtures were trained to check the predictions, but the recommended one is not among them."
    told = aim(evidence)
    parts = []
    for judged, words in SENTENCES.items():
        chosen = [v for v in found if v.outcome == judged]
        if chosen:
            apart = [number(abs(told.gain(v.difference).value)) for v in chosen]
            named = [f"{v.baseline} (by {x}{NBSP}{told.unit})" for v, x in zip(chosen, apart, strict=True)]
            parts.append(words.format(listed(named, most=8)))
    parts.append(foretold_in_words(evidence))
    missed = [
        row
        for row in loop_rows(evidence)
        if row.predicted is not None and row.measured.low is not None and not _overlap(row.predicted, row.measured)
    ]
    if missed:
        names = listed([row.name for row in missed], most=8)
        parts.append(f"The predicted objective of {names} misses the measured one by more than both intervals.")
    return " ".join(filter(None, parts))


def _inside(evidence: Evidence) -> tuple[str, ...]:
    if evidence.advice is not None:
        return tuple(evidence.advice.optimum.mixture)
    return evidence.measurements.languages if evidence.measurements is not None else ()


def _overlap(a: Estimate, b: Estimate) -> bool:
    low_a, high_a = (a.low, a.high) if a.low is not None and a.high is not None else (a.value, a.value)
    assert b.low is not None
    assert b.high is not None
    return low_a <= b.high and b.low <= high_a
