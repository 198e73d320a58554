"""Removal: does training without a prediction's top samples hurt it, more than training without others would?

The control that counts is random samples **of the same label**: taking those away moves a classifier by itself, so
plain random samples flatter the scores several times over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glotmix.attribution.influence import InfluenceScores
from glotmix.errors import BadInput
from glotmix.estimate import half_width

Retrain = Callable[[np.ndarray, int], np.ndarray]
"""Trains on the training samples at the given places with a seed; confidence in the truth of every test sample, [Q]."""

KINDS = ("top", "top_foreign", "bottom", "random", "random_same_label")
"""What is removed: the most helpful samples, those of other languages, the most harmful, and the two controls."""


@dataclass(frozen=True)
class Removal:
    """Mean change of confidence when k training samples are removed."""

    k: int
    """Samples removed each time."""
    change: Mapping[str, float]
    """Kind (:data:`KINDS`) to mean change of the confidence, over test samples and seeds; negative hurts."""
    low: Mapping[str, float]
    """Lower ends of 95 % intervals over seeds, not below -1; NaN with one seed, or where seeds agree exactly."""
    high: Mapping[str, float]
    """Upper ends, not above 1."""
    changes_KRQ: np.ndarray
    """Every change: kinds in the order of ``change``, seeds, test samples."""

    @property
    def ratio(self) -> float:
        """Effect of the top samples over that of as many random samples of the same label."""
        return self.change["top"] / self.change["random_same_label"]


def removal(
    scores: InfluenceScores,
    retrain: Retrain,
    k: int,
    seeds: Sequence[int],
    *,
    test: Sequence[int] | None = None,
    kinds: Sequence[str] = KINDS,
) -> Removal:
    """Retrain without k samples, for every kind, seed and chosen test sample: kinds × seeds × tests + seeds trainings.

    Args:
        scores: influence; labels are needed for ``random_same_label``.
        retrain: see :data:`Retrain`; it is compared with itself on all samples, seed by seed.
        k: samples to remove.
        seeds: seeds of the trainings and of the random controls.
        test: places of the test samples to try; all of them by default.
        kinds: what to remove.

    Raises:
        BadInput: unknown kinds, no seeds, missing labels, or fewer than k samples of a kind.
    """
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise BadInput(f"kind {unknown[0]!r}", expected=f"among {', '.join(KINDS)}")
    if not seeds:
        raise BadInput("no seeds")
    tests = range(len(scores.test)) if test is None else test
    everything = np.arange(len(scores.train))
    value_QN = scores.value_QN
    changes = np.empty((len(kinds), len(seeds), len(tests)))
    for r, seed in enumerate(seeds):
        rng = np.random.default_rng(seed)
        full_Q = retrain(everything, seed)
        for i, q in enumerate(tests):
            for j, kind in enumerate(kinds):
                removed = _removed(kind, scores, value_QN[q], q, k, rng)
                changes[j, r, i] = retrain(np.setdiff1d(everything, removed), seed)[q] - full_Q[q]
    mean_KR = changes.mean(2)
    half = half_width(mean_KR.T)
    means = mean_KR.mean(1)
    low, high = (np.clip(end, -1, 1) for end in (means - half, means + half))  # a probability changes by no more
    change, lows, highs = ({kind: float(x) for kind, x in zip(kinds, of, strict=True)} for of in (means, low, high))
    return Removal(k, change, lows, highs, changes)


def _removed(
    kind: str, scores: InfluenceScores, value_N: np.ndarray, q: int, k: int, rng: np.random.Generator
) -> np.ndarray:
    """Places of the k samples to remove for test sample q."""
    candidates = np.arange(len(value_N))
    if kind == "top_foreign":
        candidates = np.flatnonzero(np.array(scores.train.languages) != scores.test.languages[q])
    elif kind == "random_same_label":
        if scores.test.labels is None or scores.train.labels is None:
            raise BadInput("samples without labels", where=f"removal of {kind}", expected="labels of test and training")
        candidates = np.flatnonzero(np.array(scores.train.labels) == scores.test.labels[q])
    if len(candidates) < k or k >= len(value_N) or k < 1:
        raise BadInput(
            f"{len(candidates)} samples for test sample {q}", where=f"removal of {kind}", expected=f"over {k}"
        )
    if kind.startswith("random"):
        return rng.choice(candidates, k, replace=False)
    order = np.argsort(value_N[candidates] if kind == "bottom" else -value_N[candidates], kind="stable")
    return candidates[order[:k]]
