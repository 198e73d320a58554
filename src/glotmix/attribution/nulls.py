"""What a share would be without transfer: shuffles within labels, bands, and intervals over seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from glotmix.attribution.influence import Described, InfluenceScores
from glotmix.errors import BadInput
from glotmix.transfer.matrix import TransferMatrix

SHUFFLES = 200
"""Shuffles behind the 95 % band of a null."""


def described(runs: Sequence[InfluenceScores]) -> tuple[Described, Described]:
    """Test and training samples of runs that differ in their seed only.

    Raises:
        BadInput: no runs, or runs over different samples.
    """
    if not runs:
        raise BadInput("no influence scores")
    if any(run.test != runs[0].test or run.train != runs[0].train for run in runs):
        raise BadInput("runs over different samples", expected="the same test and training samples for every seed")
    return runs[0].test, runs[0].train


def codes(values: Sequence[object], names: Sequence[object]) -> np.ndarray:
    """Place of every value among the names."""
    place = {name: i for i, name in enumerate(names)}
    return np.array([place[value] for value in values])


def groups(labels: Sequence[object] | None, samples: int) -> list[np.ndarray]:
    """Places of the samples of each label, within which a null shuffles; one group without labels."""
    if labels is None:
        return [np.arange(samples)]
    label_N = codes(labels, tuple(dict.fromkeys(labels)))
    return [np.flatnonzero(label_N == label) for label in range(label_N.max() + 1)]


def shuffled(values_N: np.ndarray, within: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """The values in random order within each group."""
    found = values_N.copy()
    for group in within:
        found[group] = rng.permutation(values_N[group])
    return found


def student(value_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Student's 95 % interval of the mean over runs (the first axis); NaN with one run."""
    R, mean = len(value_R), value_R.mean(0)
    if R < 2:
        return np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = stats.t.ppf(0.975, R - 1) * value_R.std(0, ddof=1) / np.sqrt(R)
    return mean - half, mean + half


def band(value_S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the middle 95 % of a null's draws (the first axis) lie."""
    low, high = np.quantile(value_S, [0.025, 0.975], axis=0)
    return low, high


def share_matrix(
    targets: Sequence[str], sources: Sequence[str], value_RTL: np.ndarray, method: str, m: int
) -> TransferMatrix:
    """Mean over runs of a share, with intervals where there are several."""
    low, high = student(value_RTL) if len(value_RTL) > 1 else (None, None)
    notes = {"m": m, "runs": len(value_RTL)}
    return TransferMatrix(tuple(targets), tuple(sources), value_RTL.mean(0), low, high, "1", method, notes)
