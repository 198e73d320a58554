"""What a share would be without transfer: shuffles within labels, bands, and intervals over seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glotmix.attribution.influence import Described, InfluenceScores
from glotmix.errors import BadInput
from glotmix.estimate import half_width
from glotmix.transfer.matrix import TransferMatrix

RESAMPLES = 1000
"""Draws of test samples behind the interval of a single run."""
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
    """Student's 95 % interval of a mean share over runs (the first axis), within 0 to 1; NaN with one run."""
    mean, half = value_R.mean(0), half_width(value_R)
    return np.clip(mean - half, 0, 1), np.clip(mean + half, 0, 1)


def band(value_S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the middle 95 % of a null's draws (the first axis) lie."""
    low, high = np.quantile(value_S, [0.025, 0.975], axis=0)
    return low, high


def over_tests(
    part_QL: np.ndarray, whole_QL: np.ndarray, target_Q: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals of ``Σ_q part / Σ_q whole`` for every target, [T, L]: its test samples drawn again.

    For a single run, of which nothing else is repeated: it says how much the choice of test samples matters, and
    nothing of what another seed of the training would give.
    """
    ends = []
    for t in range(int(target_Q.max()) + 1):
        rows = np.flatnonzero(target_Q == t)
        drawn = rng.choice(rows, (RESAMPLES, len(rows)))
        ends.append(np.quantile(_ratio(part_QL[drawn].sum(1), whole_QL[drawn].sum(1)), [0.025, 0.975], axis=0))
    low, high = np.stack(ends, 1)
    return low, high


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """0 where there is nothing of which it would be a part: intervals there stand beside a value of NaN."""
    return np.asarray(np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0))


def share_matrix(
    targets: Sequence[str],
    sources: Sequence[str],
    value_RTL: np.ndarray,
    method: str,
    m: int,
    ends: tuple[np.ndarray, np.ndarray],
) -> TransferMatrix:
    """Mean over runs of a share. Its interval: Student's over runs; of a single run ``ends``, over its test samples."""
    several = len(value_RTL) > 1
    low, high = student(value_RTL) if several else ends
    notes = {"m": m, "runs": len(value_RTL), "interval": "over runs" if several else "over test samples"}
    return TransferMatrix(tuple(targets), tuple(sources), value_RTL.mean(0), low, high, "1", method, notes)
