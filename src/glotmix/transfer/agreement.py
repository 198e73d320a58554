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
    one_C, other_C = one_RTL.mean(0)[mask_TL], other_RTL.mean(0)[mask_TL]
    some_SC = rng.integers(0, len(one_C), (resamples, len(one_C)))
    drawn_SC = [
        np.take_along_axis(x[rng.integers(0, len(x), (resamples, len(x)))].mean(1)[:, mask_TL], some_SC, 1)
        for x in (one_RTL, other_RTL)
    ]
    # Within every target, in the order in which the mask reads the cells.
    shuffled_SC = np.concatenate(
        [
            rng.permuted(np.tile(row[mask], (resamples, 1)), axis=1)
            for row, mask in zip(other_RTL.mean(0), mask_TL, strict=True)
        ],
        axis=1,
    )
    draws = _spearman(*drawn_SC), _spearman(np.tile(one_C, (resamples, 1)), shuffled_SC)
    ends = [float(x) for draw_S in draws for x in _middle(draw_S)]
    return float(_spearman(one_C[None], other_C[None])[0]), ends[0], ends[1], ends[2], ends[3]


def _middle(draw_S: np.ndarray) -> np.ndarray:
    """Where the middle 95 % of the draws lie; NaN where a lens is constant."""
    there = draw_S[np.isfinite(draw_S)]
    ends: np.ndarray = np.quantile(there, [0.025, 0.975]) if there.size else np.full(2, np.nan)
    return ends


def _spearman(a_SC: np.ndarray, b_SC: np.ndarray) -> np.ndarray:
    """Of every row; NaN where one side is constant."""
    ranks = (stats.rankdata(x, axis=1) for x in (a_SC, b_SC))
    a, b = (r - r.mean(1, keepdims=True) for r in ranks)
    size = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return np.asarray(np.divide((a * b).sum(1), size, out=np.full(len(a), np.nan), where=size > 0))
