"""Do several lenses on transfer say the same? Rank correlations over pairs of languages, and where they part.

Lenses measure different things (bits per byte of a game, weights of a law, shares of top samples), so that only the
order of their values can be compared. A language helps itself most under nearly every lens: a correlation over all
pairs is high for that reason alone, which is why the pairs of different languages are told apart, and why each figure
stands beside the band in which it lies when a lens orders the sources of every target at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from glotmix.errors import BadInput
from glotmix.transfer.matrix import TransferMatrix

FEWEST = 3
"""Pairs below which no rank correlation is told."""


@dataclass(frozen=True)
class Agreement:
    """Rank correlation of two lenses over pairs of a target and a source."""

    one: str
    """Name of a lens."""
    other: str
    """Name of the other."""
    pairs: str
    """ "all", or "different" languages only."""
    count: int
    """How many pairs."""
    value: float
    """Spearman's correlation of the values, averaged over each lens's repeats."""
    low: float
    """Lower end of the 95 % interval: pairs and repeats drawn again with replacement."""
    high: float
    """Its upper end."""
    null_low: float
    """Lower end of the 95 % band when the other lens's sources are shuffled within every target."""
    null_high: float
    """Its upper end."""


@dataclass(frozen=True)
class Parting:
    """Ranks that lenses give one source among the sources of one target; 0 is the most helpful, 1 the least."""

    target: str
    """Language measured."""
    source: str
    """Language trained on."""
    rank: Mapping[str, float]
    """Lens to relative rank."""

    @property
    def spread(self) -> float:
        """How far the lenses are apart."""
        return max(self.rank.values()) - min(self.rank.values())


def agreements(
    lenses: Mapping[str, Sequence[TransferMatrix]], rng: np.random.Generator, *, resamples: int = 2000
) -> list[Agreement]:
    """Rank correlation of every two lenses, over all pairs and over those of different languages.

    Intervals treat pairs as drawn one by one; pairs that share a language are not independent, so with few languages
    they are too narrow rather than too wide.

    Args:
        lenses: name to matrices, one per repeat (seed or study); lenses may have different numbers of them.
        rng: draws the resamples and shuffles.
        resamples: of each.

    Raises:
        BadInput: fewer than two lenses, no matrices, or no target and source that all lenses know.
    """
    targets, sources = _common(lenses)
    values = {name: np.stack([_cells(m, targets, sources) for m in repeats]) for name, repeats in lenses.items()}
    different = np.array([[target != source for source in sources] for target in targets])
    found = []
    for one, other in combinations(lenses, 2):
        for name, mask in (("all", np.ones_like(different)), ("different", different)):
            if mask.sum() >= FEWEST:
                figures = _correlated(values[one], values[other], mask, rng, resamples)
                found.append(Agreement(one, other, name, int(mask.sum()), *figures))
    return found


def partings(lenses: Mapping[str, Sequence[TransferMatrix]]) -> list[Parting]:
    """Pairs of different languages, those on which lenses disagree most first.

    Raises:
        BadInput: as :func:`agreements`.
    """
    targets, sources = _common(lenses)
    means = {name: np.mean([_cells(m, targets, sources) for m in many], 0) for name, many in lenses.items()}
    found = []
    for t, target in enumerate(targets):
        foreign = [i for i, source in enumerate(sources) if source != target]
        if len(foreign) < 2:
            continue
        rank = {n: (stats.rankdata(-mean[t, foreign]) - 1) / (len(foreign) - 1) for n, mean in means.items()}
        for i, source in enumerate(foreign):
            found.append(Parting(target, sources[source], {name: float(of[i]) for name, of in rank.items()}))
    return sorted(found, key=lambda parting: -parting.spread)


def _common(lenses: Mapping[str, Sequence[TransferMatrix]]) -> tuple[list[str], list[str]]:
    if len(lenses) < 2:
        raise BadInput(f"{len(lenses)} lenses", expected="two or more to compare")
    for name, repeats in lenses.items():
        if not repeats:
            raise BadInput("no matrices", where=f"lens {name}")
    every = [matrix for repeats in lenses.values() for matrix in repeats]
    targets = [t for t in every[0].targets if all(t in m.targets for m in every)]
    sources = [s for s in every[0].sources if all(s in m.sources for m in every)]
    if not targets or len(sources) < 2:
        raise BadInput(f"{len(targets)} targets and {len(sources)} sources that all lenses know", expected="1 and 2")
    return targets, sources


def _cells(matrix: TransferMatrix, targets: Sequence[str], sources: Sequence[str]) -> np.ndarray:
    rows, columns = [matrix.targets.index(t) for t in targets], [matrix.sources.index(s) for s in sources]
    return np.asarray(matrix.value_TL, float)[np.ix_(rows, columns)]


def _correlated(
    one_RTL: np.ndarray, other_RTL: np.ndarray, mask_TL: np.ndarray, rng: np.random.Generator, resamples: int
) -> tuple[float, float, float, float, float]:
    """Correlation, its interval, and the null band."""
    drawn, null = [], []
    for _ in range(resamples):
        a_C, b_C = (_mean_of(x, rng.integers(0, len(x), len(x)))[mask_TL] for x in (one_RTL, other_RTL))
        some = rng.integers(0, len(a_C), len(a_C))
        drawn.append(_spearman(a_C[some], b_C[some]))
        shuffled_TL = np.full(mask_TL.shape, np.nan)
        for t, row in enumerate(other_RTL.mean(0)):
            shuffled_TL[t, mask_TL[t]] = rng.permutation(row[mask_TL[t]])
        null.append(_spearman(one_RTL.mean(0)[mask_TL], shuffled_TL[mask_TL]))
    value = _spearman(one_RTL.mean(0)[mask_TL], other_RTL.mean(0)[mask_TL])
    ends = [float(x) for draws in (drawn, null) for x in np.nanquantile(draws, [0.025, 0.975])]
    return value, ends[0], ends[1], ends[2], ends[3]


def _mean_of(value_RTL: np.ndarray, repeats: np.ndarray) -> np.ndarray:
    mean_TL: np.ndarray = value_RTL[repeats].mean(0)
    return mean_TL


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    """NaN where one side is constant."""
    rank_a, rank_b = stats.rankdata(a), stats.rankdata(b)
    if np.ptp(rank_a) == 0 or np.ptp(rank_b) == 0:
        return float("nan")
    return float(np.corrcoef(rank_a, rank_b)[0, 1])
