"""How good each law is on mixtures that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glotmix.report.evidence import Evidence, HeldOutPredictions

NULL = "null"
"""Name of the law that knows nothing of mixtures."""


@dataclass(frozen=True)
class LawRow:
    """One law over all targets that it speaks of."""

    law: str
    """Name."""
    error: float
    """Mean over the targets in the mixture of the mean relative error |predicted / measured - 1|; it ranks laws."""
    outside: float
    """The same over targets outside the mixture; NaN where there is none, or the law says nothing of them."""
    worst: float
    """The largest error of one target."""
    worst_target: str
    """Which target that is."""
    absolute: float
    """Mean over targets of the mean absolute error, in the unit of the losses."""
    rank: float
    """Mean over targets of the rank correlation between predicted and measured; NaN for the null law."""
    targets: int
    """How many targets it speaks of."""
    null_error: float
    """``error`` of the null law; NaN when it was not fitted."""
    chosen: bool
    """Whether the optimum was taken on it."""


def relative_error(held: HeldOutPredictions) -> float:
    """Mean of |predicted / measured - 1| over runs where both are finite."""
    keep = np.isfinite(held.predicted_R) & np.isfinite(held.measured_R)
    return float(np.mean(np.abs(held.predicted_R[keep] / held.measured_R[keep] - 1))) if keep.any() else float("nan")


def absolute_error(held: HeldOutPredictions) -> float:
    """Mean of |predicted - measured| over runs where both are finite."""
    keep = np.isfinite(held.predicted_R) & np.isfinite(held.measured_R)
    return float(np.mean(np.abs(held.predicted_R[keep] - held.measured_R[keep]))) if keep.any() else float("nan")


def rank_correlation(held: HeldOutPredictions) -> float:
    """Spearman's ρ; NaN where one side is constant."""
    keep = np.isfinite(held.predicted_R) & np.isfinite(held.measured_R)
    a, b = held.predicted_R[keep], held.measured_R[keep]
    if len(a) < 3 or np.ptp(a) < 1e-12 or np.ptp(b) < 1e-12:
        return float("nan")
    rank_a, rank_b = _ranks(a), _ranks(b)
    return float(np.corrcoef(rank_a, rank_b)[0, 1])


def law_rows(evidence: Evidence) -> list[LawRow]:
    """Laws by held-out error, the best first; a law without a word on one target in the mixture has no error."""
    inside = _inside(evidence)
    null = {h.target: relative_error(h) for h in evidence.held_out if h.law == NULL}
    chosen = evidence.advice.law if evidence.advice else evidence.law.name if evidence.law else ""
    # Errors of scores are in another unit than losses.
    targets = {h.target for h in evidence.held_out}
    alike = targets - set(evidence.scored) or targets
    rows = []
    for law in dict.fromkeys(h.law for h in evidence.held_out):
        held = [h for h in evidence.held_out if h.law == law]
        errors = np.array([relative_error(h) for h in held])
        ranks = np.array([rank_correlation(h) for h in held])
        at = int(np.nanargmax(errors)) if np.isfinite(errors).any() else 0
        rows.append(
            LawRow(
                law,
                _complete({h.target: relative_error(h) for h in held}, inside),
                _mean(np.array([relative_error(h) for h in held if h.target not in inside])),
                float(errors[at]),
                held[at].target,
                _mean(np.array([absolute_error(h) for h in held if h.target in alike])),
                float("nan") if law == NULL else _mean(ranks),
                len(held),
                _complete(null, inside),
                law == chosen,
            )
        )
    return sorted(rows, key=lambda row: (not np.isfinite(row.error), row.error))


def beaten_by_null(evidence: Evidence) -> list[tuple[str, str]]:
    """(law, target) pairs whose held-out error is no better than the null law's."""
    null = {h.target: relative_error(h) for h in evidence.held_out if h.law == NULL}
    return [
        (h.law, h.target)
        for h in evidence.held_out
        if h.law != NULL and h.target in null and not relative_error(h) < null[h.target]
    ]


def _inside(evidence: Evidence) -> list[str]:
    """Targets that are in the mixture; all of them where it is not known or none is."""
    if evidence.advice is not None:
        languages = set(evidence.advice.optimum.mixture)
    else:
        languages = set(evidence.measurements.languages) if evidence.measurements is not None else set()
    targets = list(dict.fromkeys(h.target for h in evidence.held_out))
    return [target for target in targets if target in languages] or targets


def _complete(errors: dict[str, float], targets: list[str]) -> float:
    return float(np.mean([errors.get(target, np.nan) for target in targets])) if targets else float("nan")


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def _ranks(x: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]
